import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FormatSpec, formatOf } from '../../drivers/modbus/register-format.ts';
import { byteOrders, halfToNumber, numberToHalf } from '../../src/driver/kit/number-codec.ts';

const make = (spec: Partial<FormatSpec> & Pick<FormatSpec, 'type'>) => formatOf({ order: 'ABCD', ...spec });
const order = fc.constantFrom(...byteOrders);

describe('values in registers', () => {
  it.each([
    ['int16', fc.integer({ min: -0x8000, max: 0x7fff })],
    ['uint16', fc.integer({ min: 0, max: 0xffff })],
    ['int32', fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff })],
    ['uint32', fc.integer({ min: 0, max: 0xffff_ffff })],
    ['float32', fc.float({ noNaN: true, noDefaultInfinity: true })],
    ['float64', fc.double({ noNaN: true, noDefaultInfinity: true })],
    ['bcd16', fc.integer({ min: 0, max: 9999 })],
    ['bcd32', fc.integer({ min: 0, max: 99_999_999 })],
  ] as const)('%s survives every byte order, wherever it lies', (type, values) => {
    fc.assert(
      fc.property(values, order, fc.integer({ min: 0, max: 20 }), (value: number, byteOrder, offset) => {
        const format = make({ type, order: byteOrder });
        const registers = format.encode(value);
        expect(registers.length).toBe(2 * format.registers);
        expect(format.decode(Buffer.concat([Buffer.alloc(2 * offset, 0xa5), registers]), 2 * offset)).toEqual({
          ok: true,
          value,
        });
      }),
    );
  });

  it.each([
    ['int64', fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })],
    ['uint64', fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })],
  ] as const)('%s is exact over its whole range: a number within ±2^53, else a decimal string', (type, values) => {
    fc.assert(
      fc.property(values, order, (value: bigint, byteOrder) => {
        const format = make({ type, order: byteOrder });
        const safe = value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= -BigInt(Number.MAX_SAFE_INTEGER);
        const carried = safe ? Number(value) : String(value);
        expect(format.decode(format.encode(carried), 0)).toEqual({ ok: true, value: carried });
        expect(format.decode(format.encode(String(value)), 0)).toEqual({ ok: true, value: carried });
      }),
    );
  });

  it('are laid out in the four byte orders', () => {
    const bytes = (type: 'uint32' | 'uint16', byteOrder: (typeof byteOrders)[number], value: number) =>
      make({ type, order: byteOrder }).encode(value).toString('hex');
    expect(byteOrders.map((one) => bytes('uint32', one, 0x0a0b0c0d))).toEqual([
      '0a0b0c0d',
      '0c0d0a0b',
      '0b0a0d0c',
      '0d0c0b0a',
    ]);
    expect(byteOrders.map((one) => bytes('uint16', one, 0x0a0b))).toEqual(['0a0b', '0a0b', '0b0a', '0b0a']);
  });

  it('never wrap: a value that does not fit is refused', () => {
    for (const [type, values] of [
      ['int16', [-32769, 32768]],
      ['uint16', [-1, 65536]],
      ['int32', [2 ** 31, -(2 ** 31) - 1]],
      ['uint32', [-1, 2 ** 32]],
      ['uint64', [-1, '18446744073709551616']],
      ['int64', ['9223372036854775808']],
      ['float16', [65520]],
      ['float32', [3.5e38]],
      ['bcd16', [10_000, -1]],
    ] as const)
      for (const value of values)
        expect(() => make({ type }).encode(value), `${type} ${value}`).toThrow(
          expect.objectContaining({ code: 'OUT_OF_RANGE' }),
        );
    for (const value of [true, 'banana', Number.NaN, Number.POSITIVE_INFINITY])
      for (const type of ['int16', 'float32', 'uint64'] as const)
        expect(() => make({ type }).encode(value)).toThrow(expect.objectContaining({ code: 'BAD_VALUE' }));
  });

  it('are rounded to the nearest whole number in registers that hold only whole numbers', () => {
    const format = make({ type: 'int16' });
    expect(format.decode(format.encode(123.4000000001), 0)).toEqual({ ok: true, value: 123 });
    expect(format.decode(format.encode(-0.2), 0)).toEqual({ ok: true, value: 0 });
  });

  it("a raw value that means 'no value' is a failure with a reason, never 0", () => {
    const none = { ok: false, error: expect.objectContaining({ code: 'BAD_REPLY' }) };
    expect(make({ type: 'int16', invalid: [-32768] }).decode(Buffer.from('8000', 'hex'), 0)).toEqual(none);
    const wide = make({ type: 'uint64', invalid: ['18446744073709551615'] });
    expect(wide.decode(Buffer.alloc(8, 0xff), 0)).toEqual(none);
    expect(wide.decode(Buffer.alloc(8), 0)).toEqual({ ok: true, value: 0 });
    for (const bits of ['7fc00000', '7f800000', 'ff800000'])
      expect(make({ type: 'float32' }).decode(Buffer.from(bits, 'hex'), 0)).toEqual(none);
    expect(make({ type: 'bcd16' }).decode(Buffer.from('12a4', 'hex'), 0)).toEqual(none);
    expect(() => make({ type: 'int16', invalid: [-32768] }).encode(-32768)).toThrow(/no value/);
  });

  it("'no value' also works in a byte and in a field of bits, and is not written", () => {
    const byte = make({ type: 'uint8', bits: [8, 15], invalid: [255] });
    expect(byte.decode(Buffer.from([0xff, 0x00]), 0)).toMatchObject({ ok: false, error: { code: 'BAD_REPLY' } });
    expect(byte.decode(Buffer.from([0xfe, 0xff]), 0)).toEqual({ ok: true, value: 254 });
    expect(() => byte.encode(255)).toThrow('no value');
    const field = make({ type: 'int16', bits: [0, 3], invalid: ['-8'] });
    expect(field.decode(Buffer.from([0x00, 0x18]), 0)).toMatchObject({ ok: false });
    expect(field.decode(Buffer.from([0x00, 0x17]), 0)).toEqual({ ok: true, value: 7 });
  });

  it('bits, bytes and fields of a register leave the others alone', () => {
    const data = Buffer.from('a5c3', 'hex');
    const field = (spec: Partial<FormatSpec>) => make({ type: 'uint16', ...spec });
    const at = (spec: Partial<FormatSpec>) => field(spec).decode(data, 0);
    expect(at({ type: 'bool', bits: [0, 0] })).toEqual({ ok: true, value: true });
    expect(at({ type: 'bool', bits: [2, 2] })).toEqual({ ok: true, value: false });
    expect(at({ type: 'uint8', bits: [8, 15] })).toEqual({ ok: true, value: 0xa5 });
    expect(at({ type: 'int8', bits: [8, 15] })).toEqual({ ok: true, value: 0xa5 - 256 });
    expect(at({ bits: [4, 7] })).toEqual({ ok: true, value: 0xc });
    expect(at({ type: 'int16', bits: [4, 7] })).toEqual({ ok: true, value: -4 });
    expect(at({ type: 'uint8', bits: [8, 15], order: 'BADC' })).toEqual({ ok: true, value: 0xc3 });
    expect(field({ bits: [4, 7] }).own.toString('hex')).toBe('00f0');
    expect(field({ type: 'uint8', bits: [8, 15], order: 'BADC' }).own.toString('hex')).toBe('00ff');
    expect(
      field({ bits: [4, 7] })
        .encode(9)
        .toString('hex'),
    ).toBe('0090');
    expect(
      field({ type: 'int8', bits: [8, 15] })
        .encode(-2)
        .toString('hex'),
    ).toBe('fe00');
    expect(() => field({ bits: [4, 7] }).encode(16)).toThrow(/0 to 15/);
    expect(() => field({ type: 'bool', bits: [1, 1] }).encode(1)).toThrow(/true or false/);
  });

  it('numbers have names in both directions; a number without a name is a failure that includes it', () => {
    const state = make({ type: 'uint16', values: { 0: 'stopped', 5: 'running' } });
    expect(state.decode(Buffer.from('0005', 'hex'), 0)).toEqual({ ok: true, value: 'running' });
    expect(state.decode(Buffer.from('0007', 'hex'), 0)).toMatchObject({ ok: false, error: { found: 7 } });
    expect(state.encode('running').toString('hex')).toBe('0005');
    expect(() => state.encode('flying')).toThrow(/one of stopped, running/);
    expect(() => state.encode(5)).toThrow(/one of/);
  });

  it('a scale factor in another register is applied, and a missing one makes the value bad', () => {
    const power = make({ type: 'int16', scaleOffset: 1 });
    expect(power.decode(Buffer.from('04d2ffff', 'hex'), 0)).toEqual({ ok: true, value: 123.4 });
    expect(power.decode(Buffer.from('04d20002', 'hex'), 0)).toEqual({ ok: true, value: 123400 });
    expect(power.decode(Buffer.from('04d28000', 'hex'), 0)).toMatchObject({ ok: false });
    expect(make({ type: 'int16', scaleOffset: -1 }).decode(Buffer.from('fffe04d2', 'hex'), 2)).toEqual({
      ok: true,
      value: 12.34,
    });
    expect(() => power.encode(1)).toThrow(/scale/);
  });

  it('every binary16 stays the same, and numbers are rounded to the nearest one', () => {
    for (let half = 0; half < 0x10000; half++) {
      const value = halfToNumber(half);
      if (Number.isFinite(value)) expect(numberToHalf(value)).toBe(half);
    }
    fc.assert(
      fc.property(fc.double({ min: -65504, max: 65504, noNaN: true }), (value) => {
        const half = numberToHalf(value);
        const error = Math.abs(halfToNumber(half) - value);
        for (const near of [half - 1, half + 1]) {
          const other = halfToNumber(near & 0xffff);
          if (Number.isFinite(other)) expect(error).toBeLessThanOrEqual(Math.abs(other - value));
        }
      }),
    );
  });

  it('text stays the same, ends at NUL and at trailing spaces, and is refused when too long', () => {
    const text = fc.string({
      unit: fc.integer({ min: 33, max: 255 }).map((code) => String.fromCharCode(code)),
      maxLength: 9,
    });
    fc.assert(
      fc.property(text, fc.constantFrom('ABCD', 'BADC'), (value, byteOrder) => {
        const format = make({ type: 'string', length: 9, order: byteOrder });
        expect(format.registers).toBe(5);
        expect(format.decode(format.encode(value), 0)).toEqual({ ok: true, value });
      }),
    );
    expect(make({ type: 'string', length: 4 }).decode(Buffer.from('ab  '), 0)).toEqual({ ok: true, value: 'ab' });
    expect(make({ type: 'string', length: 4, order: 'BADC' }).decode(Buffer.from('badc'), 0)).toEqual({
      ok: true,
      value: 'abcd',
    });
    expect(() => make({ type: 'string', length: 4 }).encode('abcde')).toThrow(/at most 4/);
    expect(() => make({ type: 'string', length: 4 }).encode('€')).toThrow(/single-byte/);
  });
});
