import type { Reading } from '../../src/driver/contract.ts';
import {
  type ByteOrder,
  type NumberCodec,
  type NumberType,
  numberCodecs,
  reorder,
} from '../../src/driver/kit/number-codec.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { PinKind, RawValue } from '../../src/pin/pin.ts';

export const valueTypes = [
  'bool',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'float16',
  'float32',
  'float64',
  'bcd16',
  'bcd32',
  'string',
  'raw',
] as const satisfies readonly (NumberType | 'bool' | 'int8' | 'uint8' | 'string' | 'raw')[];
export type ValueType = (typeof valueTypes)[number];

/** Encoding of a value in registers. */
export interface RegisterFormat {
  readonly kind: PinKind;
  /** Number of registers. */
  readonly registers: number;
  /** Bits of its one register that it takes; the other bits belong to other values. */
  readonly mask?: number;
  /** Decodes the value at byte `at` of big-endian registers. A failure when they hold no value. */
  decode(data: Buffer, at: number): Reading;
  /** Encodes a value as big-endian registers. Throws BAD_VALUE or OUT_OF_RANGE; it never wraps or truncates. */
  encode(value: RawValue): Buffer;
}

export interface FormatSpec {
  readonly type: ValueType;
  readonly order: ByteOrder;
  /** Strings: number of characters. Raw: number of registers. */
  readonly length?: number | undefined;
  /** Bits of the register, lowest and highest. */
  readonly bits?: readonly [number, number] | undefined;
  /** Names of whole numbers. */
  readonly values?: Readonly<Record<string, string>> | undefined;
  /** Register with the power of ten, counted from the value. */
  readonly scaleOffset?: number | undefined;
  /** Raw whole numbers that mean 'no value'. */
  readonly invalid?: readonly (number | string)[] | undefined;
}

export function formatOf(spec: FormatSpec): RegisterFormat {
  const plain = plainFormat(spec);
  const scaled = spec.scaleOffset === undefined ? plain : scaledFormat(plain, spec.scaleOffset);
  return spec.values === undefined ? scaled : namedFormat(scaled, spec.values);
}

function plainFormat(spec: FormatSpec): RegisterFormat {
  const [low, high] = spec.bits ?? [0, 15];
  switch (spec.type) {
    case 'bool':
      return bitFormat(low, spec.order);
    case 'int8':
    case 'uint8':
      return bitsFormat(low, high, spec.type === 'int8', spec.order, spec.invalid);
    case 'int16':
    case 'uint16':
      if (spec.bits) return bitsFormat(low, high, spec.type === 'int16', spec.order, spec.invalid);
      return numberFormat(spec.type, spec.order, spec.invalid ?? []);
    case 'string':
      return stringFormat(spec.length ?? 2, spec.order);
    case 'raw':
      return rawFormat(spec.length ?? 1);
    default:
      return numberFormat(spec.type, spec.order, spec.invalid ?? []);
  }
}

const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * A number in registers. Whole types round a written value to the nearest whole number, which the read-back then shows.
 * 64-bit values outside ±2^53 are decimal strings in both directions, because a double cannot hold them.
 */
export function numberFormat(
  type: NumberType,
  order: ByteOrder,
  invalid: readonly (number | string)[],
): RegisterFormat {
  const codec: NumberCodec = numberCodecs[type];
  const sentinels = new Set(invalid.map((value) => BigInt(value)));
  return {
    kind: 'analog',
    registers: codec.words,
    decode(data, at) {
      const bytes = reorder(data, at, codec.words, order);
      const value = codec.decode(bytes);
      if (value === undefined) return noValue(`0x${bytes.toString('hex')} is not ${type}`, bytes.toString('hex'));
      if (sentinels.size > 0 && codec.whole && sentinels.has(BigInt(value)))
        return noValue(`the device says it has no value (${value})`, String(value));
      if (typeof value === 'bigint') {
        const fits = value >= -SAFE && value <= SAFE;
        return { ok: true, value: fits ? Number(value) : String(value) };
      }
      if (!Number.isFinite(value)) return noValue(`the device says it has no value (${value})`, String(value));
      return { ok: true, value };
    },
    encode(value) {
      const number = codec.words === 4 && codec.whole ? toBigInt(value) : toNumber(value, codec.whole);
      if (number < codec.min || number > codec.max)
        throw outOfRange(value, `${type} holds ${codec.min} to ${codec.max}`);
      if (sentinels.size > 0 && codec.whole && sentinels.has(BigInt(number)))
        throw outOfRange(value, `the device takes ${number} for 'no value'`);
      const bytes = Buffer.alloc(2 * codec.words);
      codec.encode(number, bytes);
      return reorder(bytes, 0, codec.words, order);
    },
  };
}

function toNumber(value: RawValue, whole: boolean): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw badValue(value, 'a finite number');
  // Adding 0 turns -0 into 0.
  return whole ? Math.round(value) + 0 : value;
}

function toBigInt(value: RawValue): bigint {
  if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) return BigInt(value);
  return BigInt(toNumber(value, true));
}

/** Distance of neighbouring values that the format can hold at `value`; see Port.resolution. */
export function resolutionAt(format: RegisterFormat, value: RawValue): number | undefined {
  if (typeof value !== 'number') return undefined;
  try {
    const held = format.decode(format.encode(value), 0);
    return held.ok && typeof held.value === 'number' ? 2 * Math.abs(held.value - value) : undefined;
  } catch {
    // The format cannot hold it, so the value was never written.
    return undefined;
  }
}

/** Bits `low` to `high` of one register, 0 being the lowest, as a whole number. */
export function bitsFormat(
  low: number,
  high: number,
  signed: boolean,
  order: ByteOrder,
  invalid: readonly (number | string)[] = [],
): RegisterFormat {
  const sentinels = new Set(invalid.map(Number));
  const width = high - low + 1;
  const size = 2 ** width;
  const mask = (size - 1) << low;
  const min = signed ? -size / 2 : 0;
  const max = signed ? size / 2 - 1 : size - 1;
  const register = (part: number) => {
    const bytes = Buffer.allocUnsafe(2);
    bytes.writeUInt16BE((part << low) & mask, 0);
    return reorder(bytes, 0, 1, order);
  };
  return {
    kind: 'analog',
    registers: 1,
    mask: reorder(register(size - 1), 0, 1, 'ABCD').readUInt16BE(0),
    decode(data, at) {
      const part = (reorder(data, at, 1, order).readUInt16BE(0) & mask) >>> low;
      const value = signed && part > max ? part - size : part;
      if (sentinels.has(value)) return noValue(`the device says it has no value (${value})`, String(value));
      return { ok: true, value };
    },
    encode(value) {
      if (typeof value !== 'number' || !Number.isFinite(value)) throw badValue(value, 'a finite number');
      const whole = Math.round(value);
      if (whole < min || whole > max) throw outOfRange(value, `${width} bits hold ${min} to ${max}`);
      if (sentinels.has(whole)) throw outOfRange(value, `the device takes ${whole} for 'no value'`);
      return register(whole & (size - 1));
    },
  };
}

export function bitFormat(bit: number, order: ByteOrder): RegisterFormat {
  const inner = bitsFormat(bit, bit, false, order);
  return {
    ...inner,
    kind: 'digital',
    decode(data, at) {
      const reading = inner.decode(data, at);
      return reading.ok ? { ok: true, value: reading.value === 1 } : reading;
    },
    encode(value) {
      if (typeof value !== 'boolean') throw badValue(value, 'true or false');
      return inner.encode(value ? 1 : 0);
    },
  };
}

/** Whole numbers with names: a state, a mode. A number without a name is a failure that includes the number. */
export function namedFormat(inner: RegisterFormat, names: Readonly<Record<string, string>>): RegisterFormat {
  const numbers = new Map(Object.entries(names).map(([number, text]) => [text, Number(number)]));
  return {
    ...inner,
    kind: 'text',
    decode(data, at) {
      const reading = inner.decode(data, at);
      if (!reading.ok) return reading;
      const text = names[String(reading.value)];
      return text === undefined
        ? noValue(`${reading.value} is none of the named values`, reading.value)
        : { ok: true, value: text };
    },
    encode(value: RawValue) {
      const number = typeof value === 'string' ? numbers.get(value) : undefined;
      if (number === undefined) throw badValue(value, `one of ${[...numbers.keys()].join(', ')}`);
      return inner.encode(number);
    },
  };
}

/** SunSpec's 'not implemented' for a scale factor. */
const NO_SCALE = -32768;

/**
 * A number with its power of ten in another register, `distance` registers after (or before) it, as in SunSpec. It
 * cannot be written, because the device may change the factor at any time.
 */
export function scaledFormat(inner: RegisterFormat, distance: number): RegisterFormat {
  return {
    ...inner,
    decode(data, at) {
      const reading = inner.decode(data, at);
      if (!reading.ok) return reading;
      // A scaled 64-bit total is a measurement, for which a double is exact enough.
      const raw = Number(reading.value);
      const exponent = data.readInt16BE(at + 2 * distance);
      if (exponent === NO_SCALE || Math.abs(exponent) > 10)
        return noValue(`the scale factor ${exponent} is none`, exponent);
      // Dividing by a whole power of ten keeps 1234 with -1 at 123.4 exactly.
      const value = exponent < 0 ? raw / 10 ** -exponent : raw * 10 ** exponent;
      return { ok: true, value };
    },
    encode(value) {
      throw badValue(value, 'possible to write: its scale belongs to the device');
    },
  };
}

/**
 * Text of at most `length` single-byte characters (Latin-1), two a register, the first in the high byte (order BADC: in
 * the low byte). It ends at the first NUL; trailing spaces are dropped.
 */
export function stringFormat(length: number, order: ByteOrder): RegisterFormat {
  const words = Math.ceil(length / 2);
  return {
    kind: 'text',
    registers: words,
    decode(data, at) {
      const bytes = reorder(data, at, words, order).subarray(0, length);
      const end = bytes.indexOf(0);
      const text = bytes.subarray(0, end < 0 ? length : end).toString('latin1');
      return { ok: true, value: text.replace(/ +$/, '') };
    },
    encode(value) {
      if (typeof value !== 'string' || !singleBytes(value)) throw badValue(value, 'text in single-byte characters');
      if (value.length > length) throw outOfRange(value, `at most ${length} characters`);
      const bytes = Buffer.alloc(2 * words);
      bytes.write(value, 'latin1');
      return reorder(bytes, 0, words, order);
    },
  };
}

function singleBytes(text: string): boolean {
  return [...text].every((character) => character.charCodeAt(0) > 0 && character.charCodeAt(0) < 0x100);
}

/** Raw registers: four hexadecimal digits each. */
export function rawFormat(words: number): RegisterFormat {
  return {
    kind: 'text',
    registers: words,
    decode(data, at) {
      const bytes = data.subarray(at, at + 2 * words);
      if (bytes.length !== 2 * words) return noValue('registers are missing', bytes.length);
      return { ok: true, value: bytes.toString('hex') };
    },
    encode(value) {
      if (typeof value !== 'string' || !/^([0-9a-f]{4})+$/i.test(value))
        throw badValue(value, 'hexadecimal digits, four a register');
      if (value.length !== 4 * words) throw outOfRange(value, `exactly ${4 * words} digits`);
      return Buffer.from(value, 'hex');
    },
  };
}

/** Error for a value of the wrong kind; nothing is sent. */
export function badValue(value: RawValue, expected: string): DcsError {
  return new DcsError('BAD_VALUE', `${JSON.stringify(value)} is not ${expected}`, { found: value, expected });
}

/** Error for a value that does not fit; nothing is sent. */
export function outOfRange(value: RawValue, expected: string): DcsError {
  return new DcsError('OUT_OF_RANGE', `${value} does not fit: ${expected}`, { found: value, expected });
}

/** Failure for registers without a value: the pin becomes bad, never 0. */
export function noValue(why: string, found: unknown): Reading {
  return { ok: false, error: new DcsError('BAD_REPLY', why, { found }) };
}
