import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatOf, resolutionAt, type ValueType } from '../../drivers/modbus/register-format.ts';
import { toRaw, toValue, valuesMatch } from '../../src/io/convert.ts';
import type { PinSpec } from '../../src/pin/pin.ts';
import { pinSpec } from '../support/pin-bench.ts';

const analog = (spec: Partial<PinSpec> = {}) => pinSpec({ name: 'speed', kind: 'analog', direction: 'out', ...spec });

describe('a read-back confirms a command', () => {
  it('of a digital output or a text only when it is equal', () => {
    const digital = pinSpec({ name: 'lamp', direction: 'out' });
    expect([valuesMatch(digital, true, true), valuesMatch(digital, false, true)]).toEqual([true, false]);
    const text = pinSpec({ name: 'title', kind: 'text', direction: 'out' });
    expect([valuesMatch(text, 'on', 'on'), valuesMatch(text, 'on ', 'on')]).toEqual([true, false]);
  });

  it('of a whole number only when it is equal, however large it is', () => {
    expect(valuesMatch(analog(), 10_000, 10_000)).toBe(true);
    expect(valuesMatch(analog(), 9991, 10_000)).toBe(false);
    expect(valuesMatch(analog(), 4_294_967_294, 4_294_967_295)).toBe(false);
    expect(valuesMatch(analog({ precision: 0 }), 9999, 10_000)).toBe(false);
    expect(valuesMatch(pinSpec({ name: 'water', kind: 'counter' }), 41, 42)).toBe(false);
  });

  it('of a 64-bit number beyond 2^53 only when its text is equal', () => {
    expect(valuesMatch(analog(), '9007199254740993', '9007199254740993')).toBe(true);
    expect(valuesMatch(analog(), '9007199254740992', '9007199254740993')).toBe(false);
  });

  it('of a fraction when it differs by no more than float32 can hold', () => {
    expect(valuesMatch(analog(), Math.fround(21.7), 21.7)).toBe(true);
    expect(valuesMatch(analog(), Math.fround(-0.001), -0.001)).toBe(true);
    expect(valuesMatch(analog(), 21.701, 21.7)).toBe(false);
    expect(valuesMatch(analog(), 999.1, 1000)).toBe(false);
  });

  it('within half the resolution that the driver tells, in raw units', () => {
    const dac = 1 / 4095;
    expect(valuesMatch(analog(), Math.round(0.4 * 4095) / 4095, 0.4, dac)).toBe(true);
    expect(valuesMatch(analog(), (Math.round(0.4 * 4095) + 1) / 4095, 0.4, dac)).toBe(false);
    // With scale: 100 the user's per cent are 100 times the raw share.
    expect(valuesMatch(analog({ scale: 100 }), (100 * Math.round(0.4 * 4095)) / 4095, 40, dac)).toBe(true);
    expect(valuesMatch(analog({ scale: 100 }), 40.1, 40, dac)).toBe(false);
  });

  it('with an offset, although the raw value is rounded at a larger size', () => {
    const kelvin = analog({ offset: -273.15 });
    const given = 21.666666666666668;
    const raw = Number(toRaw(kelvin, given));
    const has = toValue(kelvin, Math.fround(raw));
    expect(valuesMatch(kelvin, has, given, 2 * Math.abs(Math.fround(raw) - raw))).toBe(true);
    // A driver that knows no resolution may have a float32 too.
    expect(valuesMatch(kelvin, has, given)).toBe(true);
    expect(valuesMatch(kelvin, 21.6668, given)).toBe(false);
  });

  it('within half of the last digit that `precision` shows', () => {
    expect(valuesMatch(analog({ precision: 1 }), 21.7, 21.74)).toBe(true);
    expect(valuesMatch(analog({ precision: 1 }), 21.6, 21.74)).toBe(false);
  });

  it('within the declared `tolerance`, also of whole numbers', () => {
    expect(valuesMatch(analog({ tolerance: 10 }), 9991, 10_000)).toBe(true);
    expect(valuesMatch(analog({ tolerance: 10 }), 9989, 10_000)).toBe(false);
  });
});

describe('the resolution of a register type', () => {
  const registers = (type: ValueType) => formatOf({ type, order: 'ABCD' });
  const stored = (type: ValueType, value: number) => {
    const format = registers(type);
    const reading = format.decode(format.encode(value), 0);
    return reading.ok ? reading.value : Number.NaN;
  };

  it.each<[ValueType, number]>([
    ['int8', -3.4],
    ['uint8', 3.4],
    ['int16', -217.4],
    ['uint16', 217.4],
    ['int32', 70_000.4],
    ['uint32', 70_000.4],
    ['float16', 21.7],
    ['float32', 16_777_217],
    ['float64', 21.7],
    ['bcd16', 217.4],
    ['bcd32', 217.4],
  ])('%s confirms %d as the register holds it, and no neighbouring value', (type, value) => {
    const resolution = resolutionAt(registers(type), value);
    const held = Number(stored(type, value));
    expect(valuesMatch(analog(), held, value, resolution)).toBe(true);
    const step = Math.max(Math.abs(held) * 2 ** -10, resolution ?? 0);
    expect(valuesMatch(analog(), held + Math.max(step, 0.001) * 2, value, resolution)).toBe(false);
  });

  it.each<ValueType>(['int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'])(
    '%s holds whole numbers exactly',
    (type) => {
      expect(resolutionAt(registers(type), 10_000)).toBe(0);
    },
  );

  it('is unknown at a value that the register cannot hold', () => {
    expect(resolutionAt(registers('int16'), 70_000)).toBeUndefined();
    expect(resolutionAt(registers('string'), 'on')).toBeUndefined();
  });

  /** Distance from a value that the register holds to the next one. */
  const stepAt = (type: ValueType, held: number) => {
    const [bits, smallest] = type === 'float16' ? [10, -14] : [23, -126];
    return type.startsWith('float') ? 2 ** (Math.max(Math.floor(Math.log2(Math.abs(held))), smallest) - bits) : 1;
  };

  it.each<[ValueType, number]>([
    ['int16', 32_767],
    ['uint16', 32_767],
    ['int32', 2 ** 31 - 1],
    ['uint32', 2 ** 31 - 1],
    ['bcd32', 99_999_999],
    ['float16', 60_000],
    ['float32', 1e9],
    ['float64', 1e9],
  ])('%s confirms every setpoint through any scale and offset, and no value a whole step away', (type, largest) => {
    const numbers = (max: number) => fc.double({ min: -max, max, noNaN: true });
    const scales = fc.double({ min: 1e-4, max: 1e4, noNaN: true });
    const places = fc.double({ min: type.startsWith('float') ? -1 : 0, max: 1, noNaN: true });
    // Doubles below 1e-300 have fewer digits.
    const setpoint = fc
      .oneof(places, fc.constantFrom(0, 1))
      .map((place) => (Math.abs(place) < 1e-300 ? 0 : place) * largest);
    const check = (scale: number, falling: boolean, offset: number, wanted: number) => {
      const spec = analog({ scale: falling ? -scale : scale, offset });
      const given = wanted * spec.scale + offset;
      const raw = Number(toRaw(spec, given));
      // Rounding may take the largest setpoint out of the range, which the register refuses.
      fc.pre(raw >= -largest && raw <= largest);
      const resolution = resolutionAt(registers(type), raw);
      const held = Number(stored(type, raw));
      expect(valuesMatch(spec, toValue(spec, held), given, resolution)).toBe(true);
      const step = stepAt(type, held);
      // A step below the error of twelve digits cannot be told from it.
      const size = Math.max(Math.abs(given), Math.abs(given - offset));
      if (type === 'float64' || step * scale < 1e-10 * size) return;
      const away = held + (held < raw ? -step : step);
      expect(valuesMatch(spec, toValue(spec, away), given, resolution)).toBe(false);
    };
    fc.assert(fc.property(scales, fc.boolean(), numbers(1e4), setpoint, check), { numRuns: 2000 });
  });
});
