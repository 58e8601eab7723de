import {
  type ByteOrder,
  type NumberCodec,
  type NumberType,
  numberCodecs,
  reorder,
} from '../../../src/driver/kit/number-codec.ts';
import type { RawValue } from '../../../src/pin/pin.ts';
import { badValue, noValue, outOfRange, type RegisterFormat, wholeRegisters } from './format.ts';

/** A number as a configuration states it: text where a double is not exact, or hexadecimal for the bits themselves. */
export type StatedNumber = number | string;

/** The numbers that a configuration may state for a value: its range, and the values of its bits. */
export interface NumberRange {
  readonly min: number | bigint;
  readonly max: number | bigint;
  readonly whole: boolean;
  /** Number of bits of its registers or of its part of them. */
  readonly width: number;
  /** The value of these bits; `undefined` when they hold none. */
  ofBits(bits: bigint): number | bigint | undefined;
}

export function numberRange(type: NumberType, bits?: readonly [number, number]): NumberRange {
  const codec: NumberCodec = numberCodecs[type];
  if (bits) return fieldRange(bits[1] - bits[0] + 1, type.startsWith('int'));
  const { min, max, whole, words } = codec;
  const ofBits = (pattern: bigint) => codec.decode(bytesOf(pattern, 2 * words));
  return { min, max, whole, width: 16 * words, ofBits };
}

/** A part of `width` bits. Its numbers are bigint where a double does not hold them all. */
function fieldRange(width: number, signed: boolean): NumberRange {
  const size = 2n ** BigInt(width);
  const [low, high] = signed ? [-size / 2n, size / 2n - 1n] : [0n, size - 1n];
  const exact = width <= 53;
  const ofBits = (bits: bigint) => {
    const value = signed && bits > high ? bits - size : bits;
    return exact ? Number(value) : value;
  };
  const [min, max] = exact ? [Number(low), Number(high)] : [low, high];
  return { min, max, whole: true, width, ofBits };
}

function bytesOf(pattern: bigint, length: number): Buffer {
  return Buffer.from(pattern.toString(16).padStart(2 * length, '0'), 'hex');
}

/**
 * The values that a stated number can mean. Hexadecimal text is the bits: "0xFFFF" of an int16 is -1. Another number is the
 * value, or the bits where it can be no value. A whole number may also be the bits of a float, because YAML does not tell
 * 0x7F7FFFFF from its decimal form. None when the range has no such number.
 */
export function meaningsOf(stated: StatedNumber, range: NumberRange): (number | bigint)[] {
  if (range.whole && typeof stated === 'number' && !Number.isSafeInteger(stated)) return [];
  const text = String(stated);
  const hex = /^0x[0-9a-f]+$/i.test(text);
  const exact = hex || /^-?\d+$/.test(text) ? BigInt(text) : undefined;
  const ofBits =
    exact !== undefined && exact >= 0n && exact < 2n ** BigInt(range.width) ? range.ofBits(exact) : undefined;
  const asBits = ofBits !== undefined && Number.isFinite(Number(ofBits)) ? [ofBits] : [];
  const value = range.whole ? exact : Number(text);
  if (hex || value === undefined || !(value >= range.min && value <= range.max)) return asBits;
  if (!range.whole) return [Number(value), ...asBits];
  return [typeof range.max === 'bigint' ? BigInt(value) : Number(value)];
}

const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * A number in registers. Whole types round a written value to the nearest whole number, which the read-back then shows.
 * 64-bit values outside ±2^53 are decimal strings in both directions, because a double cannot hold them.
 */
export function numberFormat(
  type: NumberType,
  order: ByteOrder,
  invalid: readonly StatedNumber[] = [],
): RegisterFormat {
  const codec: NumberCodec = numberCodecs[type];
  const sentinels = sentinelPatterns(codec, type, invalid);
  const isSentinel = (bytes: Buffer) => sentinels.size > 0 && sentinels.has(bytes.toString('hex'));
  return {
    kind: 'analog',
    registers: codec.words,
    own: wholeRegisters(codec.words),
    decode(data, at) {
      const bytes = reorder(data, at, codec.words, order);
      const value = codec.decode(bytes);
      if (value === undefined) return noValue(`0x${bytes.toString('hex')} is not ${type}`, bytes.toString('hex'));
      if (isSentinel(bytes)) return noValue(`the device says it has no value (${value})`, String(value));
      if (typeof value === 'bigint') return { ok: true, value: carried(value) };
      if (!Number.isFinite(value)) return noValue(`the device says it has no value (${value})`, String(value));
      return { ok: true, value };
    },
    encode(value) {
      const number = codec.words === 4 && codec.whole ? toBigInt(value) : toNumber(value, codec.whole);
      if (number < codec.min || number > codec.max)
        throw outOfRange(value, `${type} holds ${codec.min} to ${codec.max}`);
      const bytes = Buffer.alloc(2 * codec.words);
      codec.encode(number, bytes);
      if (isSentinel(bytes)) throw outOfRange(value, `the device takes ${number} for 'no value'`);
      return reorder(bytes, 0, codec.words, order);
    },
  };
}

/** The registers, as hexadecimal digits, that mean 'no value'. */
function sentinelPatterns(codec: NumberCodec, type: NumberType, invalid: readonly StatedNumber[]): Set<string> {
  const range = numberRange(type);
  const patterns = invalid.flatMap((stated) => meaningsOf(stated, range));
  return new Set(
    patterns.map((value) => {
      const bytes = Buffer.alloc(2 * codec.words);
      codec.encode(value, bytes);
      return bytes.toString('hex');
    }),
  );
}

/** A whole number as it travels: exact text beyond ±2^53. */
function carried(value: bigint): number | string {
  return value >= -SAFE && value <= SAFE ? Number(value) : String(value);
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

/** Bits `low` to `high` of a number of several registers, 0 being the lowest, as a whole number. */
export function bitsFormat(
  [low, high]: readonly [number, number],
  type: { readonly signed: boolean; readonly words: number; readonly order: ByteOrder },
  invalid: readonly StatedNumber[] = [],
): RegisterFormat {
  const { signed, words, order } = type;
  const range = fieldRange(high - low + 1, signed);
  const shift = BigInt(low);
  const mask = 2n ** BigInt(range.width) - 1n;
  const sentinels = new Set(invalid.flatMap((stated) => meaningsOf(stated, range)));
  // A number too large for these bits is meant for all of the registers.
  const container = fieldRange(16 * words, false);
  const others = invalid.filter((stated) => meaningsOf(stated, range).length === 0);
  const wholes = new Set(others.flatMap((stated) => meaningsOf(stated, container)).map(BigInt));
  const image = (part: bigint) => reorder(bytesOf((part & mask) << shift, 2 * words), 0, words, order);
  return {
    kind: 'analog',
    registers: words,
    own: image(mask),
    decode(data, at) {
      const all = unsigned(reorder(data, at, words, order));
      const value = range.ofBits((all >> shift) & mask) ?? 0;
      if (sentinels.has(value) || wholes.has(all))
        return noValue(`the device says it has no value (${value})`, String(value));
      return { ok: true, value: typeof value === 'bigint' ? carried(value) : value };
    },
    encode(value) {
      const whole = range.width > 53 ? toBigInt(value) : toNumber(value, true);
      if (whole < range.min || whole > range.max)
        throw outOfRange(value, `${range.width} bits hold ${range.min} to ${range.max}`);
      if (sentinels.has(whole)) throw outOfRange(value, `the device takes ${whole} for 'no value'`);
      return image(BigInt(whole));
    },
  };
}

function unsigned(bytes: Buffer): bigint {
  return bytes.length <= 6 ? BigInt(bytes.readUIntBE(0, bytes.length)) : bytes.readBigUInt64BE(0);
}

/** One bit, as true or false. */
export function bitFormat(bit: number, words: number, order: ByteOrder): RegisterFormat {
  const inner = bitsFormat([bit, bit], { signed: false, words, order });
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
