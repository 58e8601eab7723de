import type { RawValue } from '../../../src/pin/pin.ts';
import type { Format } from './format.ts';
import { type ByteOrder, reorder } from './order.ts';
import { badValue, noValue, outOfRange } from './refusal.ts';

/** Bits `low` to `high` of one register, 0 being the lowest, as a whole number; one bit is true or false. */
export function bitsFormat(
  low: number,
  high: number,
  signed: boolean,
  order: ByteOrder,
  invalid: readonly (number | string)[] = [],
): Format {
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
    words: 1,
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

export function bitFormat(bit: number, order: ByteOrder): Format {
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

/** Whole numbers that have names: a state, a mode. A number without a name is a failure that tells it. */
export function namedFormat(inner: Format, names: Readonly<Record<string, string>>): Format {
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
 * A number whose power of ten stands in a register of its own, `distance` registers after (or before) it, as SunSpec
 * has it. It cannot be written: the device may change the factor at any time.
 */
export function scaledFormat(inner: Format, distance: number): Format {
  return {
    ...inner,
    decode(data, at) {
      const reading = inner.decode(data, at);
      if (!reading.ok) return reading;
      // Scaled, even a 64-bit total is a measurement, for which a double is exact enough.
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
