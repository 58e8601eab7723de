import type { Format } from './format.ts';
import { type ByteOrder, reorder } from './order.ts';
import { badValue, noValue, outOfRange } from './refusal.ts';

/**
 * Text of at most `length` single-byte characters (Latin-1), two a register, the first in the high byte (order BADC:
 * in the low byte). It ends at the first NUL; spaces that fill up the end are dropped.
 */
export function stringFormat(length: number, order: ByteOrder): Format {
  const words = Math.ceil(length / 2);
  return {
    kind: 'text',
    words,
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

/** Registers as they are: four hexadecimal digits each. */
export function rawFormat(words: number): Format {
  return {
    kind: 'text',
    words,
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
