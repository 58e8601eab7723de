import { type ByteOrder, reorder } from '../../../src/driver/kit/number-codec.ts';
import type { RawValue } from '../../../src/pin/pin.ts';
import { badValue, noValue, outOfRange, type RegisterFormat, wholeRegisters } from './format.ts';
import { meaningsOf, type NumberRange } from './number.ts';

/**
 * Whole numbers with names: a state, a mode. A number without a name is a failure that includes the number. `range` is that of
 * the numbers: a name may be given to their bits (0xFFFF of an int16).
 */
export function namedFormat(
  inner: RegisterFormat,
  names: Readonly<Record<string, string>>,
  range: NumberRange,
): RegisterFormat {
  const meant = Object.entries(names).flatMap(([number, text]) =>
    meaningsOf(number, range)
      .slice(0, 1)
      .map((value) => ({ number: Number.isSafeInteger(Number(value)) ? Number(value) : String(value), text })),
  );
  const texts = new Map(meant.map(({ number, text }) => [String(number), text]));
  const numbers = new Map(meant.map(({ number, text }) => [text, number]));
  return {
    ...inner,
    kind: 'text',
    decode(data, at) {
      const reading = inner.decode(data, at);
      if (!reading.ok) return reading;
      const text = texts.get(String(reading.value));
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

/**
 * Text of at most `length` single-byte characters (Latin-1), two a register, the first in the high byte (order BADC: in
 * the low byte). It ends at the first NUL; trailing spaces are dropped.
 */
export function stringFormat(length: number, order: ByteOrder): RegisterFormat {
  const words = Math.ceil(length / 2);
  return {
    kind: 'text',
    registers: words,
    own: wholeRegisters(words),
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
    own: wholeRegisters(words),
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
