import { z } from 'zod';
import type { ChannelFacts } from '../../src/driver/contract.ts';
import { byteOrders } from '../../src/driver/kit/number-codec.ts';
import { durationSchema } from '../../src/driver/kit/schemas.ts';
import { isBitTable, MAX_READ_REGISTERS, type Table, type TableSpan } from './protocol/request.ts';
import { type Quirks, quirksSchema } from './quirks.ts';
import { type FormatSpec, formatOf, type RegisterFormat, valueTypes } from './register-format.ts';
import type { Verify } from './write.ts';
import { type WriteKeys, writeSchema } from './write-functions.ts';

/** First digit of a table's item numbers in manuals: 40001 is the first holding register. */
export const MANUAL_DIGIT = { coil: 0, discrete: 1, holding: 4, input: 3 } as const;

const tableKey = (table: Table, what: string) =>
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

const verifyKey = (what: string) =>
  z.int().min(0).max(0xffff).optional().describe(`${what} that shows it, counted from 0`);

const verifySchema = z
  .strictObject({
    coil: verifyKey('the coil'),
    discrete: verifyKey('the discrete input'),
    holding: verifyKey('the holding register'),
    input: verifyKey('the input register'),
    delay: durationSchema.prefault('0ms').describe('time the device may take, at most 10s'),
    tolerance: z.number().min(0).default(0).describe('numbers may differ by this, before scale and offset'),
  })
  .refine(({ delay }) => delay <= 10_000, { path: ['delay'], error: 'at most 10s: the answer to the command waits' });

/** The keys of a pin on a Modbus port; addressSchema checks how they go together. */
export const addressKeys = z.strictObject({
  coil: tableKey('coil', 'a coil'),
  discrete: tableKey('discrete', 'a discrete input'),
  holding: tableKey('holding', 'a holding register'),
  input: tableKey('input', 'an input register'),
  base: z.literal([0, 1]).optional().describe('what the first item is called in your map: 0 (default) or 1'),
  unit: unitSchema.optional(),
  type: z.enum(valueTypes).optional().describe('encoding of the value in its registers; default uint16'),
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
    .describe("raw values that mean 'no value': the pin becomes bad"),
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
  write: writeSchema.optional().describe('outputs: the functions that this device takes writes with'),
  verify: verifySchema.optional().describe('outputs: another register or bit that shows the effect of a write'),
  poll: durationSchema.optional().describe('poll period; default: that of the port'),
  quirks: quirksSchema.optional().describe('special needs of this device'),
});

export type AddressKeys = z.output<typeof addressKeys>;

/** Address of a pin on a Modbus bus, and the encoding of its value. */
export interface ModbusAddress extends FormatSpec {
  /** `undefined`: the port's. */
  readonly unit: number | undefined;
  readonly table: Table;
  /** Address on the wire, counted from 0. */
  readonly first: number;
  /** SunSpec model, whose address the device tells; `first` counts from the model's id register. */
  readonly model: number | undefined;
  /** `undefined`: the port's. */
  readonly pollMs: number | undefined;
  readonly quirks: Quirks | undefined;
  readonly verify: Verify | undefined;
  /** Adds to those of the port. */
  readonly write: WriteKeys | undefined;
}

/** Values that an address inherits from its port. */
export interface AddressDefaults {
  readonly unit: number;
}

const tables = ['coil', 'discrete', 'holding', 'input'] as const;

/** A key and its mistake. */
class AddressError {
  readonly key: keyof AddressKeys;
  readonly message: string;

  constructor(key: keyof AddressKeys, message: string) {
    this.key = key;
    this.message = message;
  }
}

/** The keys of a pin on a Modbus port. */
export const addressSchema = addressKeys.transform((keys, context): ModbusAddress => {
  const address = addressOf(keys);
  if (!(address instanceof AddressError)) return address;
  context.addIssue({ code: 'custom', path: [address.key], message: address.message });
  return z.NEVER;
});

function addressOf(keys: AddressKeys): ModbusAddress | AddressError {
  const table = tableOf(keys);
  if (table instanceof AddressError) return table;
  const first = wireAddress(table, keys[table] ?? 0, keys.base);
  if (typeof first === 'string') return new AddressError(table, first);
  if (keys.sunspec !== undefined && table !== 'holding')
    return new AddressError(table, 'SunSpec models are in holding registers');
  const type = keys.type ?? (keys.bit === undefined ? 'uint16' : 'bool');
  const bits = bitsOf(keys);
  const mistake = isBitTable(table) ? bitMistake(table, keys) : registerMistake(keys, type, bits);
  if (mistake) return mistake;
  const verify = verifyOf(keys, table);
  if (verify instanceof AddressError) return verify;
  const address: ModbusAddress = {
    unit: keys.unit,
    table,
    first,
    type,
    order: keys.order ?? 'ABCD',
    length: keys.length,
    bits,
    values: keys.values,
    invalid: keys.invalid,
    scaleOffset: keys.scale_from === undefined ? undefined : keys.scale_from - first,
    model: keys.sunspec,
    pollMs: keys.poll,
    quirks: keys.quirks,
    verify,
    write: keys.write,
  };
  return spanMistake(address) ?? address;
}

function tableOf(keys: AddressKeys): Table | AddressError {
  const named = tables.filter((table) => keys[table] !== undefined);
  const [table, second] = named;
  if (table !== undefined && second === undefined) return table;
  const found = second === undefined ? 'none is given' : `${named.join(' and ')} are given`;
  return new AddressError(second ?? 'holding', `exactly one of coil, discrete, holding, input: ${found}`);
}

function spanMistake(address: ModbusAddress): AddressError | undefined {
  const { table, first } = address;
  const last = first + spanOf(address, { unit: 1 }).count - 1;
  if (last > 0xffff) return new AddressError(table, `the value would end at ${last}; the last address is 65535`);
  if (readSpanOf(address, { unit: 1 }).count > MAX_READ_REGISTERS)
    return new AddressError(
      'scale_from',
      `within ${MAX_READ_REGISTERS} registers of the value, to be read along with it`,
    );
  return undefined;
}

function verifyOf({ verify, scale_from }: AddressKeys, table: Table): Verify | undefined | AddressError {
  if (verify === undefined) return undefined;
  const [shown, second] = tables.filter((one) => verify[one] !== undefined);
  if (shown === undefined || second !== undefined)
    return new AddressError('verify', 'exactly one of coil, discrete, holding, input');
  if (isBitTable(shown) !== isBitTable(table))
    return new AddressError(
      'verify',
      `a ${table} is verified by ${isBitTable(table) ? 'coil or discrete' : 'holding or input'}`,
    );
  if (scale_from !== undefined) return new AddressError('verify', 'a value with scale_from cannot be written');
  return { table: shown, first: verify[shown] ?? 0, delayMs: verify.delay, tolerance: verify.tolerance };
}

function bitsOf({ bit, bits, byte }: AddressKeys): readonly [number, number] | undefined {
  if (bit !== undefined) return [bit, bit];
  if (byte !== undefined) return byte === 'hi' ? [8, 15] : [0, 7];
  return bits;
}

function bitMistake(table: Table, keys: AddressKeys): AddressError | undefined {
  if (keys.type !== undefined && keys.type !== 'bool') return new AddressError('type', `a ${table} is a bool`);
  for (const key of ['order', 'bit', 'bits', 'byte', 'length', 'values', 'invalid', 'scale_from'] as const)
    if (keys[key] !== undefined) return new AddressError(key, `a ${table} is one bit and has no ${key}`);
  return undefined;
}

function registerMistake(
  keys: AddressKeys,
  type: ModbusAddress['type'],
  bits: readonly [number, number] | undefined,
): AddressError | undefined {
  return partMistake(keys, type, bits) ?? lengthMistake(keys, type) ?? meaningMistake(keys, type);
}

/** Returns whether bit, bits and byte fit the type. */
function partMistake(
  keys: AddressKeys,
  type: ModbusAddress['type'],
  bits: readonly [number, number] | undefined,
): AddressError | undefined {
  if ([keys.bit, keys.bits, keys.byte].filter((one) => one !== undefined).length > 1)
    return new AddressError('bits', 'only one of bit, bits, byte');
  if ((type === 'bool') !== (keys.bit !== undefined))
    return new AddressError('type', 'a bool in a register needs its bit, and a bit is a bool');
  if ((type === 'int8' || type === 'uint8') !== (keys.byte !== undefined))
    return new AddressError('byte', 'int8 and uint8 need byte: hi or lo, and no other type has one');
  if (keys.bits !== undefined && type !== 'uint16' && type !== 'int16')
    return new AddressError('bits', 'only the types uint16 and int16 have bits');
  return bits && bits[0] > bits[1] ? new AddressError('bits', 'the lowest bit first') : undefined;
}

/** Returns whether the length, and the byte order of text, fit the type. */
function lengthMistake({ length, order }: AddressKeys, type: ModbusAddress['type']): AddressError | undefined {
  const sized = isSized(type);
  if (sized && length === undefined) return new AddressError('length', `type ${type} needs its length`);
  if (!sized && length !== undefined) return new AddressError('length', 'only the types string and raw have a length');
  if (type === 'raw' && (length ?? 0) > 123) return new AddressError('length', 'at most 123 registers');
  if (type === 'string' && order !== undefined && order !== 'ABCD' && order !== 'BADC')
    return new AddressError('order', 'text has the order ABCD or, low byte first, BADC');
  return undefined;
}

/** Returns whether values, invalid and scale_from fit the type. */
function meaningMistake(keys: AddressKeys, type: ModbusAddress['type']): AddressError | undefined {
  const fractional = type.startsWith('float') || isSized(type) || type === 'bool';
  if (fractional && keys.values) return new AddressError('values', `type ${type} holds no whole numbers to name`);
  if (fractional && keys.invalid) return new AddressError('invalid', `type ${type} has no raw whole numbers`);
  if ((isSized(type) || type === 'bool') && keys.scale_from !== undefined)
    return new AddressError('scale_from', `type ${type} is no number`);
  return undefined;
}

function isSized(type: ModbusAddress['type']): boolean {
  return type === 'string' || type === 'raw';
}

/** The address on the wire, or the mistake in the one written. */
function wireAddress(table: Table, written: number | string, base: 0 | 1 | undefined): number | string {
  const digit = MANUAL_DIGIT[table];
  if (typeof written === 'string') {
    const item = manualItemNumber(digit, written);
    if (item === undefined) {
      return `"${written}" is not in the manual's notation: write "${digit}0001" for the first item, or a number without quotes for an address counted from 0`;
    }
    return base === undefined ? item - 1 : 'base and the quoted notation of manuals exclude each other';
  }
  if (!Number.isInteger(written)) return `${written} is not a whole number`;
  const item = digit === 0 ? undefined : manualItemNumber(digit, String(written));
  if (base === undefined && item !== undefined) {
    return `addresses are counted from 0: if ${written} is the manual's notation write "${written}" in quotes or ${table}: ${item - 1}; if ${written} really is the address on the wire, add base: 0`;
  }
  const address = written - (base ?? 0);
  if (address < 0 || address > 0xffff)
    return `the address ${written} is outside ${base ?? 0} to ${0xffff + (base ?? 0)}`;
  return address;
}

/** The item number (from 1) of `40011` or `400011`; `undefined` when the text is neither. */
function manualItemNumber(digit: number, text: string): number | undefined {
  const found = /^(\d)(\d{4,5})$/.exec(text);
  if (found?.[1] !== String(digit)) return undefined;
  const item = Number(found[2]);
  return item >= 1 && item <= 0x10000 ? item : undefined;
}

/** The format of an address's registers; `undefined` for coils and discrete inputs. */
export function registerFormat(address: ModbusAddress): RegisterFormat | undefined {
  return isBitTable(address.table) ? undefined : formatOf(address);
}

/** The registers or bits that the value takes. */
export function spanOf(address: ModbusAddress, defaults: AddressDefaults): TableSpan {
  return {
    unit: address.unit ?? defaults.unit,
    table: address.table,
    first: address.first,
    count: registerFormat(address)?.registers ?? 1,
  };
}

/** The registers that must be read in one request to know the value: its own and those up to its scale factor. */
export function readSpanOf(address: ModbusAddress, defaults: AddressDefaults): TableSpan {
  const own = spanOf(address, defaults);
  if (address.scaleOffset === undefined) return own;
  const scale = own.first + address.scaleOffset;
  const first = Math.min(own.first, scale);
  return { ...own, first, count: Math.max(own.first + own.count, scale + 1) - first };
}

/** See Driver.describe. The key includes bits of a register: `u1/holding/10.3`, `u1/holding/10.8-15`. */
export function describeAddress(address: ModbusAddress, defaults: AddressDefaults): ChannelFacts {
  const writable = (address.table === 'coil' || address.table === 'holding') && address.scaleOffset === undefined;
  const [low, high] = address.bits ?? [];
  const place = address.model === undefined ? address.table : `sunspec${address.model}`;
  const part = low === undefined ? '' : low === high ? `.${low}` : `.${low}-${high}`;
  return {
    key: `u${address.unit ?? defaults.unit}/${place}/${address.first}${part}`,
    kind: registerFormat(address)?.kind ?? 'digital',
    ...(address.values && { words: [...new Set(Object.values(address.values))] }),
    directions: writable ? ['in', 'out'] : ['in'],
  };
}
