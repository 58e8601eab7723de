import { z } from 'zod';
import type { PlanLimits } from '../../src/driver/kit/block-planner.ts';
import { durationSchema, lineSchema } from '../../src/driver/kit/schemas.ts';
import { DcsError } from '../../src/errors/errors.ts';

/** How one unit wants to be treated, where that differs from its port. The same for all pins of the unit. */
export const quirksSchema = z.strictObject({
  timeout: durationSchema.optional().describe('how long this device may take to answer'),
  pause: durationSchema.optional().describe('silence this device needs before each request'),
  line: lineSchema.optional().describe('line settings of this device, if not those of the port: 19200-8E1'),
  max_registers: z.int().min(1).max(125).optional().describe('most registers this device gives at once'),
  max_bits: z.int().min(1).max(2000).optional().describe('most coils or inputs this device gives at once'),
  max_gap: z.int().min(0).max(124).optional().describe('registers nobody asked for that may be read along'),
  merge: z.boolean().optional().describe('false: one request for every pin'),
  forbidden: z
    .array(z.tuple([z.int().min(0).max(0xffff), z.int().min(0).max(0xffff)]))
    .optional()
    .describe('ranges [first, last] of addresses that must not be read along'),
  heartbeat: z
    .strictObject({
      holding: z.int().min(0).max(0xffff).describe('the register, counted from 0'),
      every: durationSchema
        .refine((every) => every >= 10, { error: 'at least 10ms' })
        .describe('how often it is written, at least 10ms'),
      values: z.array(z.int().min(0).max(0xffff)).min(1).optional().describe('written in turn; default: it counts up'),
    })
    .optional()
    .describe("a register of this device's own watchdog, written for as long as the agent works"),
});

export type Quirks = z.output<typeof quirksSchema>;

/** The quirks of each unit. Rejects two pins of a unit that contradict each other with BAD_CONFIG. */
export function collectQuirks(pins: readonly { unit: number; quirks: Quirks | undefined }[]): Map<number, Quirks> {
  const units = new Map<number, Quirks>();
  for (const { unit, quirks } of pins) {
    if (!quirks) continue;
    const known = units.get(unit);
    if (known && JSON.stringify(known) !== JSON.stringify(quirks))
      throw new DcsError('BAD_CONFIG', `two pins of unit ${unit} have different quirks`, {
        found: [known, quirks],
        expected: 'the same quirks at every pin of a unit',
      });
    units.set(unit, quirks);
  }
  return units;
}

/** The limits of a unit's reads: the bus's, narrowed by its quirks. */
export function unitLimits(bus: PlanLimits, quirks: Quirks | undefined): PlanLimits {
  if (!quirks) return bus;
  const gap = quirks.max_gap;
  return {
    gapRegisters: gap ?? bus.gapRegisters,
    gapBits: gap === undefined ? bus.gapBits : 16 * gap,
    maxRegisters: quirks.max_registers ?? bus.maxRegisters,
    maxBits: quirks.max_bits ?? bus.maxBits,
    merge: quirks.merge ?? bus.merge,
    forbidden: quirks.forbidden ?? bus.forbidden,
  };
}
