import type { RawValue } from '../../../src/pin/pin.ts';
import type { Format } from './format.ts';
import { type NumberCodec, type NumberType, numberCodecs } from './number-codec.ts';
import { type ByteOrder, reorder } from './order.ts';
import { badValue, noValue, outOfRange } from './refusal.ts';

const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * A number in registers. Whole types round what they are asked to write to the nearest whole number (the read-back
 * tells what it became). 64-bit values outside ±2^53 are decimal strings both ways, because a double cannot hold them.
 */
export function numberFormat(type: NumberType, order: ByteOrder, invalid: readonly (number | string)[]): Format {
  const codec: NumberCodec = numberCodecs[type];
  const sentinels = new Set(invalid.map((value) => BigInt(value)));
  return {
    kind: 'analog',
    words: codec.words,
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
