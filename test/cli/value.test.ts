import { describe, expect, it } from 'vitest';
import { parseValue } from '../../src/cli/commands/value.ts';

describe('what a person types for a pin', () => {
  it('is a number no digit of which is lost: an integer beyond 2^53 goes as decimal text', () => {
    const present = { pin_name: 'total', val: 5 };
    expect(parseValue('9007199254740993', present)).toBe('9007199254740993');
    expect(parseValue('-9007199254740993', present)).toBe('-9007199254740993');
    expect(parseValue('9007199254740991', present)).toBe(9007199254740991);
    expect(parseValue('-5', present)).toBe(-5);
    expect(parseValue('1e3', present)).toBe(1000);
  });
});
