import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DcsError } from '../../src/errors/errors.ts';
import { toRaw, toValue } from '../../src/io/convert.ts';
import { pinSpec } from '../support/pin-bench.ts';

const analog = (scale: number, offset: number) =>
  pinSpec({ name: 'a', kind: 'analog', direction: 'out', scale, offset });

describe('values and raw values', () => {
  it('a digital value is the same after conversion to raw and back, inverted or not', () => {
    for (const invert of [false, true]) {
      const spec = pinSpec({ name: 'd', direction: 'out', invert });
      for (const value of [false, true]) {
        expect(toRaw(spec, value)).toBe(value !== invert);
        expect(toValue(spec, toRaw(spec, value))).toBe(value);
      }
    }
  });

  it('an analog value survives scaling both ways to ten digits', () => {
    const number = fc.double({ min: -1e6, max: 1e6, noNaN: true });
    const scale = fc.constantFrom(1, 0.1, 0.01, 2.5, -1, 1e-3, 1000);
    fc.assert(
      fc.property(number, scale, fc.integer({ min: -500, max: 500 }), (value, factor, offset) => {
        const back = toValue(analog(factor, offset), toRaw(analog(factor, offset), value));
        expect(Math.abs(Number(back) - value)).toBeLessThanOrEqual(
          1e-9 * Math.max(1, Math.abs(value), Math.abs(offset)),
        );
      }),
    );
  });

  it('a whole number beyond 2^53 stays exact text both ways, and scaled it is a number', () => {
    const exact = '9223372036854775807';
    expect(toRaw(analog(1, 0), exact)).toBe(exact);
    expect(toValue(analog(1, 0), exact)).toBe(exact);
    expect(toValue(analog(0.01, 0), '18446744073709551614')).toBe(1.84467440737e17);
    expect(() => toRaw({ ...analog(1, 0), range: [0, 10] }, exact)).toThrow(/outside/);
  });

  it('without a scale every number goes to the hardware as it is, to its last digit', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(toRaw(analog(1, 0), value)).toBe(value);
        expect(toValue(analog(1, 0), value)).toBe(value);
      }),
    );
  });

  it('precision cuts what is shown, not what is commanded', () => {
    const spec = { ...analog(0.01, 0), precision: 1 };
    expect(toValue(spec, 2178)).toBe(21.8);
    expect(toValue({ ...analog(1, 0), precision: 2 }, 1.23456)).toBe(1.23);
    expect(toRaw(spec, 21.78)).toBe(2178);
  });

  it('scaling adds no digits', () => {
    expect(toValue(analog(0.1, 0), 217)).toBe(21.7);
    expect(toValue(analog(0.1, -40), 617)).toBe(21.7);
    expect(toRaw(analog(0.1, 0), 21.7)).toBe(217);
  });

  it('any input gives a value of the right kind or a typed error, never NaN', () => {
    for (const kind of ['digital', 'analog', 'text'] as const) {
      const spec = pinSpec({ name: 'p', kind, direction: 'out' });
      const type = { digital: 'boolean', analog: 'number', text: 'string' }[kind];
      fc.assert(
        fc.property(fc.anything(), (asked) => {
          try {
            const raw = toRaw(spec, asked);
            expect(typeof raw).toBe(type);
            expect(raw).not.toBeNaN();
          } catch (error) {
            expect(error).toBeInstanceOf(DcsError);
          }
        }),
      );
    }
  });

  it.each(['', ' ', '0x10', '1,5', 'Infinity', 'NaN', '1e999', '--1', '5kg'])('%j is no number', (text) => {
    expect(() => toRaw(analog(1, 0), text)).toThrow(DcsError);
  });

  it.each([
    ['12.5', 12.5],
    [' -3 ', -3],
    ['1e3', 1000],
    ['.5', 0.5],
  ])('%j is %d', (text, number) => {
    expect(toRaw(analog(1, 0), text)).toBe(number);
  });

  it('the limits of a range are allowed values', () => {
    const spec = pinSpec({ name: 'r', kind: 'analog', direction: 'out', range: [-1, 50] });
    expect(toRaw(spec, 50)).toBe(50);
    expect(toRaw(spec, -1)).toBe(-1);
    expect(() => toRaw(spec, 50.000001)).toThrow(/outside -1 to 50/);
  });
});
