import { z } from 'zod';
import { MAX_WRITE_REGISTERS, type Request } from './protocol/request.ts';
import { writeSchema } from './write-functions.ts';

const address = z.int().min(0).max(0xffff);
const word = z.int().min(0).max(0xffff);

const stepSchema = z.union(
  [
    z.strictObject({
      holding: address.describe('the holding register, counted from 0'),
      value: z
        .union([word, z.array(word).min(1).max(MAX_WRITE_REGISTERS)], { error: '0 to 65535, or a list of them' })
        .describe('its value, or a list for the registers from there on'),
    }),
    z.strictObject({
      coil: address.describe('the coil, counted from 0'),
      value: z.boolean().describe('true or false'),
    }),
  ],
  { error: '{ holding: ADDRESS, value: 0 to 65535 } or { coil: ADDRESS, value: true or false }' },
);
type WriteStepKeys = z.output<typeof stepSchema>;

/** The keys of a write: its functions, and the steps before and after it. */
export const pinWriteSchema = writeSchema.extend({
  before: z
    .array(stepSchema)
    .optional()
    .describe('written in this order before each value: a register that unlocks, a mode'),
  after: z
    .array(stepSchema)
    .optional()
    .describe('written in this order after each value: a register that makes it take effect'),
});
export type PinWriteKeys = z.output<typeof pinWriteSchema>;

/** The requests of steps. */
export function stepRequests(unit: number, steps: readonly WriteStepKeys[] = []): Request[] {
  return steps.map((step) => {
    if ('coil' in step) return { kind: 'write-coil', unit, at: step.coil, on: step.value };
    if (typeof step.value === 'number') return { kind: 'write-register', unit, at: step.holding, word: step.value };
    const data = Buffer.alloc(2 * step.value.length);
    for (const [at, value] of step.value.entries()) data.writeUInt16BE(value, 2 * at);
    return { kind: 'write-registers', unit, first: step.holding, data };
  });
}
