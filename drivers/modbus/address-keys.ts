import { z } from 'zod';
import { durationSchema } from '../../src/driver/parse.ts';
import type { Table } from './protocol/request.ts';
import { quirksSchema } from './quirks.ts';
import { valueTypes } from './value/format.ts';
import { byteOrders } from './value/order.ts';

/** First digit of the numbers that manuals give to the items of a table (40001 is the first holding register). */
export const MANUAL_DIGIT = { coil: 0, discrete: 1, holding: 4, input: 3 } as const;

const where = (table: Table, what: string) =>
  z
    .union([z.number(), z.string()], { error: `the address of ${what}, counted from 0` })
    .optional()
    .describe(
      `${what}: its address on the wire, counted from 0; in quotes the manual's notation ("${MANUAL_DIGIT[table]}0001")`,
    );

export const unitSchema = z
  .number({
    error: (issue) =>
      typeof issue.input === 'string'
        ? `unit is the device's Modbus address, 0 to 255; for a unit of measure write uom: ${issue.input}`
        : "the device's Modbus address, 0 to 255",
  })
  .int()
  .min(0)
  .max(255)
  .describe("the device's Modbus address (slave id), 0 to 255");

const bit = z.int().min(0).max(15);

const shown = (what: string) => z.int().min(0).max(0xffff).optional().describe(`${what} that shows it, counted from 0`);

const verifySchema = z
  .strictObject({
    coil: shown('the coil'),
    discrete: shown('the discrete input'),
    holding: shown('the holding register'),
    input: shown('the input register'),
    delay: durationSchema.prefault('0ms').describe('how long the device may take, at most 10s'),
    tolerance: z.number().min(0).default(0).describe('numbers may differ by this, before scale and offset'),
  })
  .refine(({ delay }) => delay <= 10_000, { path: ['delay'], error: 'at most 10s: the answer to the command waits' });

/** The keys of a pin on a Modbus port, each by itself. */
export const addressKeys = z.strictObject({
  coil: where('coil', 'a coil'),
  discrete: where('discrete', 'a discrete input'),
  holding: where('holding', 'a holding register'),
  input: where('input', 'an input register'),
  base: z.literal([0, 1]).optional().describe('what the first item is called in your map: 0 (default) or 1'),
  unit: unitSchema.optional(),
  type: z.enum(valueTypes).optional().describe('how the value lies in its registers; default uint16'),
  order: z.enum(byteOrders).optional().describe('order of the bytes, A being the highest; default ABCD'),
  bit: bit.optional().describe('one bit of the register, 0 being the lowest: the pin is digital'),
  bits: z.tuple([bit, bit]).optional().describe('only these bits of the register: [lowest, highest]'),
  byte: z.enum(['hi', 'lo']).optional().describe('int8, uint8: which half of the register'),
  length: z.int().min(1).max(246).optional().describe('string: number of characters; raw: number of registers'),
  values: z
    .record(z.string().regex(/^-?\d+$/, { error: 'a whole number: its name' }), z.string().min(1))
    .optional()
    .describe('names of whole numbers, {0: stopped, 1: running}: the pin is text'),
  invalid: z
    .array(z.union([z.int(), z.string().regex(/^-?\d+$/)]))
    .optional()
    .describe("raw values by which the device says 'no value': the pin becomes bad"),
  scale_from: z
    .int()
    .min(0)
    .max(0xffff)
    .optional()
    .describe("address, in the same table, of the register with the value's power of ten (SunSpec)"),
  sunspec: z
    .int()
    .min(1)
    .max(0xfffe)
    .optional()
    .describe('SunSpec model: holding and scale_from count from its id register, wherever the device has it'),
  verify: verifySchema.optional().describe('outputs: where the device shows that a write has had its effect'),
  poll: durationSchema.optional().describe('how often it is read; default: as the port says'),
  quirks: quirksSchema.optional().describe('how this device wants to be treated'),
});

export type AddressKeys = z.output<typeof addressKeys>;
