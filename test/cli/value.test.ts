import { describe, expect, it } from 'vitest';
import { parseValue } from '../../src/cli/bus-client.ts';

describe('parseValue', () => {
  it('keeps every digit: an integer beyond 2^53 stays decimal text', () => {
    expect(parseValue('9007199254740993')).toBe('9007199254740993');
    expect(parseValue('-9007199254740993')).toBe('-9007199254740993');
    expect(parseValue('9007199254740991')).toBe(9007199254740991);
    expect(parseValue('-5')).toBe(-5);
    expect(parseValue('1e3')).toBe(1000);
  });
});
