import { z } from 'zod';
import type { PlanLimits } from '../../src/driver/kit/block-planner.ts';
import { durationSchema, lineSchema } from '../../src/driver/kit/schemas.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { isBitTable, maxReadItems, type TableSpan } from './protocol/request.ts';

/** Deviations from the standard that the replies of a device, or of all devices behind a gateway, may have. */
export const replyQuirks = {
  transaction_id: z
    .literal('any')
    .optional()
    .describe(
      'Modbus TCP with in_flight 1: accept replies with another transaction id than that of the request, such as always 0',
    ),
  unit_id: z.literal('any').optional().describe('accept replies that name another unit than the request, such as 0'),
  write_reply: z
    .literal('whole')
    .optional()
    .describe('accept that the reply to a write of several items repeats the whole request (functions 15 and 16)'),
};

/** Treatment of one unit that differs from its port's. It must be the same for all pins of the unit. */
export const quirksSchema = z.strictObject({
  timeout: durationSchema.optional().describe('response timeout of this device'),
  pause: durationSchema.optional().describe('silence this device needs before each request'),
  retries: z.int().min(0).max(10).optional().describe('retries of this device, if not those of the port'),
  misses: z.int().min(1).max(1000).optional().describe('misses of this device, if not those of the port'),
  uncertain_after: durationSchema.optional().describe('uncertain_after of this device, if not that of the port'),
  bad_after: durationSchema.optional().describe('bad_after of this device, if not that of the port'),
  line: lineSchema.optional().describe('line settings of this device, if not those of the port: 19200-8E1'),
  min_registers: z
    .int()
    .min(1)
    .max(125)
    .optional()
    .describe(
      'fewest registers of one read of this device: a shorter read takes those behind it along, or those before it where the ones behind are forbidden',
    ),
  min_bits: z.int().min(1).max(2000).optional().describe('fewest coils or inputs of one read of this device'),
  max_registers: z.int().min(1).max(125).optional().describe('most registers of one read of this device'),
  max_bits: z.int().min(1).max(2000).optional().describe('most coils or inputs of one read of this device'),
  max_gap: z.int().min(0).max(124).optional().describe('unrequested registers that may be read along'),
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
    .describe("a register of this device's own watchdog, written while the agent works"),
  ...replyQuirks,
});

export type Quirks = z.output<typeof quirksSchema>;

/** The quirks of each unit. Throws BAD_CONFIG when two pins of a unit contradict each other. */
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

/** Limits of the reads of one table of a unit: those of the standard, narrowed by the unit's quirks. `gap` in registers. */
export function readLimits(
  span: Pick<TableSpan, 'table' | 'registerBytes'>,
  gap: number,
  quirks: Quirks | undefined,
): PlanLimits {
  const bits = isBitTable(span.table);
  const registers = quirks?.max_gap ?? gap;
  const most = bits ? quirks?.max_bits : quirks?.max_registers;
  const least = bits ? quirks?.min_bits : quirks?.min_registers;
  return {
    gap: bits ? 16 * registers : registers,
    maxItems: Math.min(most ?? Number.POSITIVE_INFINITY, maxReadItems(span)),
    merge: quirks?.merge ?? true,
    forbidden: quirks?.forbidden ?? [],
    ...(least !== undefined && { minItems: least }),
  };
}
