import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evaluate, type PinSample, scaleOf, typeOf, valueTypeOf } from '../../src/expression/expression.ts';
import { ExpressionError, parseExpression, pinsOf } from '../../src/expression/parse.ts';
import type { PinKind, RawValue } from '../../src/pin/pin.ts';

const pins: Readonly<Record<string, RawValue>> = {
  a: 2,
  b: 3,
  ct: 20,
  'tank-level': 1.5,
  'meter.power': 230,
  'pi/o': 7,
  '1st-floor': 4,
  '7': 99,
  door: true,
  stopped: false,
  mode: 'auto',
  status: 0x8004,
  wh: '9007199254740993',
};
const kindOf = (value: RawValue | undefined): PinKind =>
  typeof value === 'boolean' ? 'digital' : typeof value === 'string' && !/^\d/.test(value) ? 'text' : 'analog';
const find = (word: string) => (Object.hasOwn(pins, word) ? word : undefined);
const good = (pin: string): PinSample => ({ val: pins[pin] ?? null, quality: 'good' });

function computed(text: string, sampleOf: (pin: string) => PinSample = good) {
  const expression = parseExpression(text, find);
  typeOf(expression, (pin) => valueTypeOf(kindOf(pins[pin])));
  return evaluate(expression, sampleOf, () => true).value;
}

function mistakeIn(text: string): string {
  try {
    return `no mistake: ${computed(text)}`;
  } catch (error) {
    if (error instanceof ExpressionError) return `${error.message} (${error.expected ?? ''})`;
    throw error;
  }
}

describe('an expression', () => {
  it.each([
    ['(a + b) * ct', 100],
    ['a + b * ct', 62],
    ['a-b', -1],
    ['a/b*3', 2],
    ['2*a-1', 3],
    ['-a + +b', 1],
    ['10 % 4', 2],
    ['2 ** 3 ** 2', 512],
    ['2 ** -a', 0.25],
    ['0x10 + .5 + 1e2', 116.5],
    ['0.1 + 0.2', 0.3],
    ['tank-level * 2', 3],
    ['meter.power/1000', 0.23],
    ['pi/o + 1', 8],
    ['1st-floor + 7', 11],
    ['`7` + 1', 100],
    ['`tank-level`-a', -0.5],
    ['door * a + door', 3],
    ['status & 4', 4],
    ['(status & 0x8000) ? -a : a', -2],
    ['bit(status, 15) ? -a : a', -2],
    ['status >> 15 | 1 << 3', 9],
    ['max(a, b, ct) - min(a, b)', 18],
    ['round(10 / 3, 2) + abs(-1) + sqrt(16) + clamp(ct, 0, 10) + pow(2, 3) + sign(-5)', 25.33],
    ['round(ln(exp(a)) + log10(100) + floor(2.9) + ceil(2.1) + sin(0) + cos(0) + tan(0))', 10],
    ['wh / 1e15', 9.00719925474],
    ['a < b and not stopped', true],
    ['a >= b or mode == "auto"', true],
    ["mode != 'auto'", false],
    ['!door || stopped', false],
    ['not (a == 2)', false],
    ['door == 1', true],
    ['door ? "open" : "closed"', 'open'],
    ['a > 5 ? 1 : b > 2 ? 2 : 3', 2],
    ['0 * -1', 0],
    ['42', 42],
  ])('%s is %s', (text, value) => {
    expect(computed(text)).toBe(value);
  });

  it('names what is wrong with it, and what would be right', () => {
    expect(mistakeIn('tank-lvel * 2')).toBe('there is no pin tank-lvel ()');
    expect(mistakeIn('a + powr')).toBe('there is no pin powr ()');
    expect(mistakeIn('a-bx')).toBe('there is no pin a-bx ()');
    expect(mistakeIn('1.5.2')).toContain('there is no pin 1.5.2');
    expect(mistakeIn('(a + b')).toContain('Unclosed (');
    expect(mistakeIn('a +')).toContain('Expected expression after +');
    expect(mistakeIn('a b')).toContain('an operator is missing');
    expect(mistakeIn('a, b')).toContain('an operator is missing');
    expect(mistakeIn('()')).toContain('a value is missing');
    expect(mistakeIn('a = b')).toMatch(/cannot have = here .*== compares/);
    expect(mistakeIn('a ^ 2')).toMatch(/cannot have \^ here .*\*\* is the power/);
    expect(mistakeIn('-a ** 2')).toContain('two meanings');
    expect(mistakeIn('log(a)')).toMatch(/no function log .*ln, log10/);
    expect(mistakeIn('a(2)')).toContain('no function a');
    expect(mistakeIn('2(a)')).toContain('an operator is missing before a bracket');
    expect(mistakeIn('clamp(a)')).toContain('clamp takes 3 values, and has 1');
    expect(mistakeIn('a + mode')).toContain('+ takes numbers, and mode is text');
    expect(mistakeIn('mode ? 1 : 2')).toContain('neither on nor off');
    expect(mistakeIn('mode and door')).toContain('neither on nor off');
    expect(mistakeIn('1 < a < 5')).toContain('< takes numbers, and the result of < is true or false');
    expect(mistakeIn('status & 4 == 4')).toContain('& takes numbers');
    expect(mistakeIn('a == "2"')).toContain('== compares a, which is number, with "2", which is text');
    expect(mistakeIn('door == 2')).toContain('compares');
    expect(mistakeIn('door ? 1 : "x"')).toContain('one type');
    expect(mistakeIn('good(a + b)')).toContain('good takes a pin');
  });

  it('reaches nothing of JavaScript', () => {
    for (const text of [
      'constructor',
      'a.constructor',
      '`a`.constructor',
      '"x".constructor',
      'a["constructor"]',
      '[].constructor',
      'this',
      'globalThis',
      'toString()',
      'hasOwnProperty("a")',
      'a ?? b',
      'a?.b',
      'a;b',
      '(() => 1)()',
      'process.exit()',
      '\uE000',
      '__proto__',
    ]) {
      expect(() => computed(text), text).toThrow(ExpressionError);
    }
  });

  it('refuses a name with two readings', () => {
    const both = (word: string) => (['a', 'b', 'a-b', '1-a', 'x-b'].includes(word) ? word : undefined);
    expect(() => parseExpression('a-b', both)).toThrow('could also be a calculation with a and b');
    expect(() => parseExpression('1-a', both)).toThrow('could also be a calculation with 1 and a');
    expect(pinsOf(parseExpression('a - b', both))).toEqual(['a', 'b']);
    expect(pinsOf(parseExpression('`a-b` + x-b', both))).toEqual(['a-b', 'x-b']);
  });

  it('is bad when a pin that it needs is bad, and uncertain when one is', () => {
    const sample = (name: string, state: Partial<PinSample>) => (pin: string) =>
      pin === name ? { ...good(pin), ...state } : good(pin);
    const bad = sample('b', { quality: 'bad', reason: 'TIMEOUT: no answer' });
    expect(() => computed('a + b', bad)).toThrow('b is bad: TIMEOUT: no answer');
    expect(() => computed('a + b', sample('b', { val: null }))).toThrow('b is good');
    expect(computed('door ? a : b', bad)).toBe(2);
    expect(computed('a == 2 or b == 1', bad)).toBe(true);
    expect(computed('a + otherwise(b, 10)', bad)).toBe(12);
    expect(computed('good(b) ? b : a', bad)).toBe(2);
    const uncertain = sample('b', { quality: 'uncertain', reason: 'stale' });
    const sum = parseExpression('a + b', find);
    expect(evaluate(sum, uncertain, () => true)).toEqual({ value: 5, uncertain: 'b is uncertain: stale' });
    expect(evaluate(sum, uncertain, (pin) => pin === 'a')).toEqual({ value: 5 });
    expect(evaluate(sum, bad, (pin) => pin === 'a')).toEqual({ value: 5 });
    const instead = parseExpression('otherwise(b, a)', find);
    expect(evaluate(instead, bad, () => false)).toEqual({ value: 2 });
  });

  it('has no value where mathematics has none', () => {
    for (const text of [
      'a / (b - 3)',
      'a % 0',
      'sqrt(-1)',
      'ln(0)',
      '10 ** 400',
      'bit(0.5, 1)',
      'bit(a, 60)',
      '1.5 & 1',
    ])
      expect(() => computed(text), text).toThrow(expect.objectContaining({ code: 'BAD_VALUE' }));
    expect(computed('otherwise(a / 0, -1)')).toBe(-1);
  });

  it('tells when it only scales one pin', () => {
    const scale = (text: string) => scaleOf(parseExpression(text, find));
    expect(scale('a')).toEqual({ pin: 'a', factor: 1, offset: 0 });
    expect(scale('a * 9 / 5 + 32')).toEqual({ pin: 'a', factor: 1.8, offset: 32 });
    expect(scale('100 - 2 * (a + 1)')).toEqual({ pin: 'a', factor: -2, offset: 98 });
    expect(scale('-a')).toMatchObject({ pin: 'a', factor: -1 });
    expect(scale('a + a')).toMatchObject({ pin: 'a', factor: 2 });
    for (const text of [
      'a * b',
      'a + b',
      'a - a',
      'a / 0',
      '1 / a',
      'a ** 2',
      'abs(a)',
      'max(a)',
      'round(a, 1)',
      '5',
      'door ? a : b',
      '!a',
    ])
      expect(scale(text), text).toBeUndefined();
  });

  it('ends for any text: with a value, or with a mistake that it names', () => {
    const part = fc.constantFrom(
      ...[
        'a',
        'b',
        'door',
        'mode',
        'status',
        '2',
        '0x1F',
        '"x"',
        ' ',
        '(',
        ')',
        ',',
        '?',
        ':',
        '+',
        '-',
        '*',
        '/',
        '**',
        '&',
        '<<',
      ],
      ...[
        '<',
        '==',
        'and',
        'or',
        'not',
        'max',
        'bit',
        'good',
        'otherwise',
        '`a`',
        '.',
        '[',
        '=',
        'é',
        '\uE000',
        '😀',
        '\\',
      ],
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 40 }), (parts) => {
        try {
          const value = computed(parts.join(''));
          expect(['number', 'boolean', 'string']).toContain(typeof value);
          if (typeof value === 'number') expect(Number.isFinite(value)).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ name: 'DcsError', code: expect.stringMatching(/^BAD_(CONFIG|VALUE|SOURCE)$/) });
        }
      }),
      { numRuns: 2000 },
    );
  });
});
