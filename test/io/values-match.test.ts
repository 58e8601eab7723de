import { describe, expect, it } from 'vitest';
import { formatOf, resolutionAt, type ValueType } from '../../drivers/modbus/register-format.ts';
import { valuesMatch } from '../../src/io/convert.ts';
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
      expect(resolutionAt(registers(type), 10_000)).toBeUndefined();
    },
  );
});
