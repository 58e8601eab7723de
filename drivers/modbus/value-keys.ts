import { z } from 'zod';
import { byteOrders, numberCodecs } from '../../src/driver/kit/number-codec.ts';
import {
  containerOf,
  type FormatSpec,
  formatOf,
  statedMistake,
  type ValueType,
  valueTypes,
} from './register-format.ts';

const bit = z.int().min(0).max(63);
const WHOLE = /^(-?\d+|0[xX][0-9a-fA-F]+)$/;

/** The keys that say how a value lies in its registers. */
export const valueKeys = {
  type: z.enum(valueTypes).optional().describe('encoding of the value in its registers; default uint16'),
  order: z.enum(byteOrders).optional().describe('order of the bytes, A being the highest; default ABCD'),
  bit: bit
    .optional()
    .describe('one bit of the number, 0 being the lowest: the pin is digital; above 15 with a longer type (uint32)'),
  bits: z
    .tuple([bit, bit])
    .optional()
    .describe('only these bits of the number: [lowest, highest]; above 15 with a longer type (uint32)'),
  byte: z.enum(['hi', 'lo']).optional().describe('int8, uint8: which half of the register'),
  length: z.int().min(1).max(246).optional().describe('string: number of characters; raw: number of registers'),
  values: z
    .record(z.string().regex(WHOLE, { error: 'a whole number: its name' }), z.string().min(1))
    .optional()
    .describe('names of whole numbers, {0: stopped, 0x1A: running}: the pin is text'),
  invalid: z
    .array(z.union([z.number(), z.string().regex(WHOLE, { error: 'a number, or "0x…"' })]))
    .optional()
    .describe(
      'raw numbers that mean \'no value\': the pin becomes bad; in quotes ("0x8000") the bits of the registers',
    ),
};

const valueSchema = z.strictObject(valueKeys);
export type ValueKeys = z.output<typeof valueSchema>;

const exponentKeys = z.strictObject({
  at: z
    .int()
    .min(0)
    .max(0xffff)
    .optional()
    .describe('address of its register in the same table; default: it is in the registers of the value'),
  bits: z.tuple([bit, bit]).optional().describe('only these bits: [lowest, highest]; default: the whole register'),
  unsigned: z.boolean().optional().describe('true: it is never negative'),
  decimals: z.boolean().optional().describe('true: it is the number of decimals: 2 means hundredths'),
});

/** The power of ten of a value: the address of its register, or where it is in more detail. */
export const scaleFromSchema = z.union([z.int().min(0).max(0xffff), exponentKeys], {
  error: 'an address, or { at, bits, unsigned, decimals }',
});
export type ScaleFrom = z.output<typeof scaleFromSchema>;

const fieldSchema = z.strictObject({
  at: z
    .int()
    .min(0)
    .max(122)
    .optional()
    .describe('its first register, counted from that of the pin; default: behind the field before it'),
  ...valueKeys,
  scale: z
    .number()
    .refine((scale) => scale !== 0, { error: 'any number but 0' })
    .optional()
    .describe('value = raw number × scale'),
});

/** Fields of one value, in their order. */
export const fieldsSchema = z
  .record(z.string().regex(/^[A-Za-z][\w-]*$/, { error: 'a name of letters and digits' }), fieldSchema)
  .refine((fields) => Object.keys(fields).length > 0, { error: 'at least one field' });
export type FieldsKeys = z.output<typeof fieldsSchema>;

/** A key and its mistake. */
export class AddressError {
  readonly path: readonly (string | number)[];
  readonly message: string;

  constructor(key: string | readonly (string | number)[], message: string) {
    this.path = typeof key === 'string' ? [key] : key;
    this.message = message;
  }
}

/** The type of a value: that of a bit says how long the number is that has the bit. */
export function typeOf({ type, bit }: ValueKeys): ValueType {
  return bit === undefined ? (type ?? 'uint16') : 'bool';
}

/** The format of a value, whose keys have no mistakes. */
export function formatSpecOf(keys: ValueKeys): FormatSpec {
  return {
    type: typeOf(keys),
    order: keys.order ?? 'ABCD',
    length: keys.bit === undefined ? keys.length : registersOf(keys),
    bits: bitsOf(keys),
    values: keys.values,
    invalid: keys.invalid,
  };
}

/** Returns the first mistake in the keys of a value. */
export function valueMistake(keys: ValueKeys): AddressError | undefined {
  const type = typeOf(keys);
  return partMistake(keys, type) ?? lengthMistake(keys, type) ?? meaningMistake(keys, type);
}

function bitsOf({ bit, bits, byte }: ValueKeys): readonly [number, number] | undefined {
  if (bit !== undefined) return [bit, bit];
  if (byte !== undefined) return byte === 'hi' ? [8, 15] : [0, 7];
  return bits;
}

/** Number of registers of the number that a bit, or some bits, are in. */
function registersOf({ type }: ValueKeys): number {
  const container = containerOf(type ?? 'uint16');
  return container === undefined ? 1 : numberCodecs[container].words;
}

const UNSIGNED: readonly ValueType[] = ['uint16', 'uint32', 'uint48', 'uint64'];
/** Types whose bits can be named. */
const BIT_TYPES: readonly ValueType[] = [...UNSIGNED, 'int16', 'int32', 'int48', 'int64'];

/** Returns whether bit, bits and byte fit the type. */
function partMistake(keys: ValueKeys, type: ValueType): AddressError | undefined {
  const { bit, bits, byte } = keys;
  if ([bit, bits, byte].filter((one) => one !== undefined).length > 1)
    return new AddressError('bits', 'only one of bit, bits, byte');
  if (type === 'bool' && bit === undefined) return new AddressError('type', 'a bool in a register needs its bit');
  if ((type === 'int8' || type === 'uint8') !== (byte !== undefined))
    return new AddressError('byte', 'int8 and uint8 need byte: hi or lo, and no other type has one');
  const part = bit === undefined ? bits : ([bit, bit] as const);
  if (part === undefined) return undefined;
  const fit = bit === undefined ? BIT_TYPES : [...UNSIGNED, 'bool'];
  if (keys.type !== undefined && !fit.includes(keys.type))
    return new AddressError('type', `${bit === undefined ? 'bits are' : 'a bit is'} in a ${fit.join(', ')}`);
  return bitRangeMistake(bit === undefined ? 'bits' : 'bit', keys, part);
}

/** Returns whether the number has these bits. */
function bitRangeMistake(
  key: 'bit' | 'bits',
  keys: ValueKeys,
  [low, high]: readonly [number, number],
): AddressError | undefined {
  if (low > high) return new AddressError(key, `the lowest bit first: [${high}, ${low}]`);
  const highest = 16 * registersOf(keys) - 1;
  if (high <= highest) return undefined;
  const longer = (['uint32', 'uint64'] as const).find((one) => high < 16 * numberCodecs[one].words);
  const type = keys.type ?? 'uint16';
  return new AddressError(key, `${type} has the bits 0 to ${highest}, and no ${high}; type: ${longer} has it`);
}

/** Returns whether the length, and the byte order of text, fit the type. */
function lengthMistake({ length, order }: ValueKeys, type: ValueType): AddressError | undefined {
  const sized = isSized(type);
  if (sized && length === undefined) return new AddressError('length', `type ${type} needs its length`);
  if (!sized && length !== undefined) return new AddressError('length', 'only the types string and raw have a length');
  if (type === 'raw' && (length ?? 0) > 123) return new AddressError('length', 'at most 123 registers');
  if (type === 'string' && order !== undefined && order !== 'ABCD' && order !== 'BADC')
    return new AddressError('order', 'text has the order ABCD or, low byte first, BADC');
  return undefined;
}

/** Returns whether values and invalid fit the type, and name numbers that it has. */
function meaningMistake(keys: ValueKeys, type: ValueType): AddressError | undefined {
  const numeric = !isSized(type) && type !== 'bool';
  if ((!numeric || type.startsWith('float')) && keys.values)
    return new AddressError('values', `type ${type} holds no whole numbers to name`);
  if (!numeric && keys.invalid) return new AddressError('invalid', `type ${type} has no raw numbers`);
  const stated = statedMistake(formatSpecOf(keys));
  return stated && new AddressError(stated.path, stated.message);
}

function isSized(type: ValueType): boolean {
  return type === 'string' || type === 'raw';
}

/** The format of the power of ten. */
export function exponentOf(from: ScaleFrom | undefined): FormatSpec['exponent'] {
  if (from === undefined || typeof from === 'number') return undefined;
  const { bits, unsigned = false, decimals = false } = from;
  return { bits, signed: !unsigned, sign: decimals ? -1 : 1 };
}

/** Returns whether the power of ten fits the value. */
export function exponentMistake(
  keys: ValueKeys & { readonly scale_from?: ScaleFrom | undefined },
): AddressError | undefined {
  const { scale_from: from } = keys;
  if (from === undefined) return undefined;
  const type = typeOf(keys);
  if (isSized(type) || type === 'bool') return new AddressError('scale_from', `type ${type} is no number`);
  if (typeof from === 'number') return undefined;
  const path = ['scale_from', 'bits'];
  if (from.at !== undefined)
    return from.bits && (from.bits[1] > 15 || from.bits[0] > from.bits[1])
      ? new AddressError(path, 'a register has the bits 0 to 15, the lowest first')
      : undefined;
  const own = bitsOf(keys);
  if (!from.bits || !own || keys.values)
    return new AddressError(
      ['scale_from'],
      'a power of ten in the registers of the value: bits of both, and no values',
    );
  const [low, high] = from.bits;
  if (low <= own[1] && high >= own[0])
    return new AddressError(path, `bits ${own[0]} to ${own[1]} are those of the value`);
  const mistake = bitRangeMistake('bits', keys, from.bits);
  return mistake && new AddressError(path, mistake.message);
}

/** The fields of a value, one behind the other where they do not say otherwise. */
export function fieldSpecs(fields: FieldsKeys, order: ValueKeys['order']): NonNullable<FormatSpec['fields']> {
  let next = 0;
  return Object.entries(fields).map(([name, { at, scale = 1, ...keys }]) => {
    const spec = formatSpecOf({ ...keys, order: keys.order ?? (keys.type === 'string' ? undefined : order) });
    const place = at ?? next;
    next = place + formatOf(spec).registers;
    return { name, place, scale, spec };
  });
}

/** Most registers of one write (Modbus application protocol 1.1b3, 6.12). */
const MAX_FIELD_REGISTERS = 123;

/** Returns the first mistake in the fields of a value. */
export function fieldsMistake(fields: FieldsKeys): AddressError | undefined {
  for (const [name, keys] of Object.entries(fields)) {
    const mistake = valueMistake(keys);
    if (mistake) return new AddressError(['fields', name, ...mistake.path], mistake.message);
    const { kind } = formatOf(formatSpecOf(keys));
    if (keys.scale !== undefined && kind !== 'analog')
      return new AddressError(['fields', name, 'scale'], `${name} is ${kind} and has no scale`);
  }
  return placesMistake(fields);
}

/** Returns whether no two fields lie in the same bits. */
function placesMistake(fields: FieldsKeys): AddressError | undefined {
  const image = Buffer.alloc(2 * MAX_FIELD_REGISTERS);
  for (const { name, place, spec } of fieldSpecs(fields, undefined)) {
    const { own, registers } = formatOf(spec);
    if (place + registers > MAX_FIELD_REGISTERS)
      return new AddressError(['fields', name], `the fields have at most ${MAX_FIELD_REGISTERS} registers together`);
    const taken = image.subarray(2 * place);
    if (own.some((byte, at) => (byte & (taken[at] ?? 0)) !== 0))
      return new AddressError(['fields', name], `${name} lies in the bits of another field; at: says where it begins`);
    for (const [at, byte] of own.entries()) taken[at] = (taken[at] ?? 0) | byte;
  }
  return undefined;
}
