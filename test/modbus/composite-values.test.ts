import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { modbus } from '../../drivers/modbus/driver.ts';
import { type FormatSpec, formatOf } from '../../drivers/modbus/register-format.ts';
import { byteOrders } from '../../src/driver/kit/number-codec.ts';

const make = (spec: Partial<FormatSpec> & Pick<FormatSpec, 'type'>) => formatOf({ order: 'ABCD', ...spec });
const order = fc.constantFrom(...byteOrders);
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
/** The format of a pin with these keys. */
const format = (keys: object) => formatOf(modbus.pin.parse({ holding: 10, ...keys }));
const decoded = (keys: object, registers: string) => {
  const reading = format(keys).decode(hex(registers), 0);
  return reading.ok ? reading.value : reading.error.message;
};
const wrong = (keys: object) => {
  const parsed = modbus.pin.safeParse({ holding: 10, ...keys });
  return parsed.success
    ? 'taken'
    : parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join();
};

describe('numbers of odd lengths', () => {
  it.each([
    ['int24', fc.integer({ min: -(2 ** 23), max: 2 ** 23 - 1 })],
    ['uint24', fc.integer({ min: 0, max: 2 ** 24 - 1 })],
    ['int48', fc.maxSafeInteger().map((value) => Math.floor(value / 2 ** 6))],
    ['uint48', fc.maxSafeNat().map((value) => Math.trunc(value / 2 ** 5))],
    ['bcd48', fc.integer({ min: 0, max: 999_999_999_999 })],
    ['mod10k32', fc.integer({ min: -99_999_999, max: 99_999_999 })],
    ['mod10k48', fc.integer({ min: -999_999_999_999, max: 999_999_999_999 })],
    ['mod10k64', fc.maxSafeInteger()],
    ['bcd64', fc.maxSafeNat()],
  ] as const)('%s survives every byte order', (type, values) => {
    fc.assert(
      fc.property(values, order, (value: number, byteOrder) => {
        const one = make({ type, order: byteOrder });
        expect(one.decode(one.encode(value), 0)).toEqual({ ok: true, value });
      }),
    );
  });

  it('have the layout of the manuals, and never wrap', () => {
    expect(decoded({ type: 'uint24' }, '12 ab cd ef')).toBe(0xabcdef);
    expect(decoded({ type: 'int24' }, '00 ff ff fe')).toBe(-2);
    expect(decoded({ type: 'int48', order: 'CDAB' }, 'fffe ffff ffff')).toBe(-2);
    expect(decoded({ type: 'mod10k32' }, '04d2 162e')).toBe(12_345_678);
    expect(decoded({ type: 'mod10k32' }, '04d2 2710')).toMatch(/is not mod10k32/);
    expect(decoded({ type: 'bcd64' }, '1234 5678 9012 3456')).toBe(1_234_567_890_123_456);
    expect(decoded({ type: 'bcd64' }, '9999 9999 9999 9999')).toBe('9999999999999999');
    for (const [type, value] of [
      ['int24', 2 ** 23],
      ['uint24', -1],
      ['uint48', 2 ** 48],
      ['bcd48', 10 ** 12],
      ['mod10k32', 10 ** 8],
    ] as const)
      expect(() => make({ type }).encode(value), type).toThrow(expect.objectContaining({ code: 'OUT_OF_RANGE' }));
  });

  it('leave the byte above 24 bits to its owner', () => {
    expect(make({ type: 'uint24' }).own.toString('hex')).toBe('00ffffff');
    expect(make({ type: 'uint24', order: 'CDAB' }).own.toString('hex')).toBe('ffff00ff');
  });
});

describe('bits of a number of several registers', () => {
  it('are counted from the lowest, whatever the order of the registers', () => {
    expect(decoded({ type: 'uint32', bits: [12, 19] }, '00ab c000')).toBe(0xbc);
    expect(decoded({ type: 'uint32', bits: [12, 19], order: 'CDAB' }, 'c000 00ab')).toBe(0xbc);
    expect(decoded({ type: 'int32', bits: [12, 19] }, '000f f000')).toBe(-1);
    expect(decoded({ type: 'uint32', bit: 20 }, '0010 0000')).toBe(true);
    expect(decoded({ type: 'uint64', bit: 63 }, '8000 0000 0000 0000')).toBe(true);
    expect(decoded({ type: 'uint64', bits: [0, 62] }, 'ffff ffff ffff ffff')).toBe(String(2n ** 63n - 1n));
  });

  it('are written without their neighbours', () => {
    const field = fc.tuple(fc.nat(31), fc.nat(31)).map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]);
    fc.assert(
      fc.property(field, order, fc.nat(), fc.nat(0xffff_ffff), ([low, high], byteOrder, part, before) => {
        const one = make({ type: 'uint32', bits: [low, high], order: byteOrder });
        const value = part % 2 ** (high - low + 1);
        const image = Buffer.alloc(4);
        image.writeUInt32BE(before);
        const written = one.encode(value);
        const after = Buffer.from(image.map((byte, at) => (byte & ~(one.own[at] ?? 0)) | (written[at] ?? 0)));
        expect(one.decode(after, 0)).toEqual({ ok: true, value });
        // Writing back the bits from before restores the registers.
        const restored = one.decode(image, 0);
        const back = one.encode(restored.ok ? restored.value : 0);
        expect(Buffer.from(after.map((byte, at) => (byte & ~(one.own[at] ?? 0)) | (back[at] ?? 0)))).toEqual(image);
      }),
    );
  });

  it('are refused with their range where the number is shorter', () => {
    expect(wrong({ bits: [4, 20] })).toBe('bits: uint16 has the bits 0 to 15, and no 20; type: uint32 has it');
    expect(wrong({ bit: 40, type: 'uint32' })).toBe('bit: uint32 has the bits 0 to 31, and no 40; type: uint64 has it');
    expect(wrong({ bits: [9, 3] })).toBe('bits: the lowest bit first: [3, 9]');
    expect(wrong({ bit: 3, type: 'float32' })).toMatch(/^type: a bit is in a uint16, uint32, uint48, uint64, bool/);
  });

  it('have keys of their own, since bit 3 of 32 bits is not bit 3 of the first register', () => {
    const options = modbus.options.parse({ tcp: 'localhost' });
    const key = (keys: object) => modbus.describe(modbus.pin.parse({ holding: 10, ...keys }), options).key;
    expect(key({ bit: 3 })).toBe('u1/holding/10.3');
    expect(key({ bit: 3, type: 'uint32' })).toBe('u1/holding/10-11.3');
  });
});

describe("raw numbers that mean 'no value'", () => {
  it('are found in floats, by the value or by its bits', () => {
    const missing = /the device says it has no value/;
    expect(decoded({ type: 'float32', invalid: [1e30] }, '7149f2ca')).toMatch(missing);
    expect(decoded({ type: 'float32', invalid: [-9999] }, 'c61c3c00')).toMatch(missing);
    expect(decoded({ type: 'float32', invalid: ['0x7F7FFFFF'] }, '7f7fffff')).toMatch(missing);
    expect(decoded({ type: 'float32', invalid: [0x7f7fffff] }, '7f7fffff')).toMatch(missing);
    expect(decoded({ type: 'float32', invalid: ['0x80000000'] }, '00000000')).toBe(0);
    expect(decoded({ type: 'float32', invalid: ['0x80000000'] }, '80000000')).toMatch(missing);
    expect(decoded({ type: 'float64', invalid: [-1] }, 'bff0000000000000')).toMatch(missing);
    expect(decoded({ type: 'float32', invalid: [1e30], order: 'CDAB' }, 'f2ca7149')).toMatch(missing);
    expect(() => format({ type: 'float32', invalid: [1e30] }).encode(1e30)).toThrow(/no value/);
  });

  it('may be given as the bits of signed and decimal numbers', () => {
    const missing = /the device says it has no value/;
    expect(decoded({ type: 'int16', invalid: [0x8000] }, '8000')).toMatch(missing);
    expect(decoded({ type: 'int16', invalid: ['0x8000'] }, '8000')).toMatch(missing);
    expect(decoded({ type: 'int32', invalid: [0xffffffff] }, 'ffffffff')).toMatch(missing);
    expect(decoded({ type: 'int64', invalid: ['0x8000000000000000'] }, '8000000000000000')).toMatch(missing);
    expect(decoded({ type: 'bcd16', invalid: ['0x9999'] }, '9999')).toMatch(missing);
    // 0x0010 of a BCD number is ten, and so is the number 10; 16 is another one.
    expect(decoded({ type: 'bcd16', invalid: [16] }, '0010')).toBe(10);
    // All bits of the register, of which the pin has four.
    expect(decoded({ bits: [0, 3], invalid: [0xffff] }, 'ffff')).toMatch(missing);
    expect(decoded({ bits: [0, 3], invalid: [0xffff] }, '0fff')).toBe(15);
  });

  it('that the type cannot hold are a mistake', () => {
    expect(wrong({ type: 'uint16', invalid: [70_000] })).toMatch(
      /^invalid.0: 70000 is no raw value: uint16 holds 0 to 65535/,
    );
    expect(wrong({ type: 'uint16', invalid: [-1] })).toMatch(/^invalid.0: -1 is no raw value/);
    expect(wrong({ type: 'uint64', invalid: [2 ** 64] })).toMatch(/exact only in quotes/);
    expect(wrong({ type: 'float32', invalid: [1e39] })).toMatch(/^invalid/);
    expect(wrong({ type: 'string', length: 4, invalid: [1] })).toMatch(/^invalid: type string has no raw numbers/);
  });
});

describe('names of numbers', () => {
  it('may be given to hexadecimal numbers, as manuals have them', () => {
    const values = { '0x0A': 'heating', '0x1f': 'cooling', 3: 'off' };
    expect(decoded({ values }, '000a')).toBe('heating');
    expect(decoded({ values }, '001f')).toBe('cooling');
    expect(format({ values }).encode('cooling').toString('hex')).toBe('001f');
    expect(decoded({ type: 'int16', values: { '0xFFFF': 'error' } }, 'ffff')).toBe('error');
    expect(decoded({ type: 'uint64', values: { '0xFFFFFFFFFFFFFFFF': 'none' } }, 'ffffffffffffffff')).toBe('none');
  });

  it('are refused for numbers that the register does not have, and for one number twice', () => {
    expect(wrong({ values: { 70000: 'on' } })).toBe('values.70000: there is no 70000: uint16 holds 0 to 65535');
    expect(wrong({ bits: [0, 1], values: { 4: 'on' } })).toBe('values.4: there is no 4: bits 0 to 1 hold 0 to 3');
    expect(wrong({ values: { 10: 'a', '0x0A': 'b' } })).toBe('values.0x0A: 10 and 0x0A are the same number');
    expect(wrong({ values: { on: 'a' } })).toMatch(/^values.on: /);
  });
});

describe('a mantissa with its power of ten', () => {
  const t5 = { type: 'uint32', bits: [0, 23], scale_from: { bits: [24, 31] } };
  const t6 = { ...t5, type: 'int32' };
  const t4 = { bits: [0, 13], scale_from: { bits: [14, 15], unsigned: true } };

  it('is read as the manuals say', () => {
    expect(decoded(t5, 'fd01 e240')).toBe(123.456);
    expect(decoded(t6, 'fdfe 1dc0')).toBe(-123.456);
    expect(decoded(t4, 'a710')).toBe(1_000_000);
    expect(decoded({ ...t5, order: 'CDAB' }, 'e240 fd01')).toBe(123.456);
    expect(decoded({ ...t5, scale_from: { bits: [24, 31], decimals: true } }, '0301 e240')).toBe(123.456);
    expect(decoded(t5, '8001 e240')).toMatch(/the power of ten -128 is none/);
  });

  it('comes back as it was written, as exactly as its digits allow', () => {
    const digits = fc.integer({ min: -(2 ** 23), max: 2 ** 23 - 1 });
    fc.assert(
      fc.property(digits, fc.integer({ min: -6, max: 9 }), order, (mantissa, power, byteOrder) => {
        const one = format({ ...t6, order: byteOrder });
        const value = power < 0 ? mantissa / 10 ** -power : mantissa * 10 ** power;
        expect(one.decode(one.encode(value), 0)).toEqual({ ok: true, value: value + 0 });
      }),
    );
    fc.assert(
      fc.property(fc.double({ min: 1e-9, max: 1e9, noNaN: true }), (value) => {
        const reading = format(t5).decode(format(t5).encode(value), 0);
        expect(reading.ok && Math.abs(Number(reading.value) / value - 1)).toBeLessThan(1e-6);
      }),
    );
  });

  it('is refused where no power makes it fit', () => {
    expect(() => format(t5).encode(-1)).toThrow(expect.objectContaining({ code: 'OUT_OF_RANGE' }));
    expect(() => format(t4).encode(1e9)).toThrow(expect.objectContaining({ code: 'OUT_OF_RANGE' }));
    expect(() => format(t5).encode(Number.NaN)).toThrow(expect.objectContaining({ code: 'BAD_VALUE' }));
  });

  it('has keys that go together', () => {
    expect(wrong({ ...t5, scale_from: { bits: [20, 31] } })).toMatch(/^scale_from.bits: bits 0 to 23 are those/);
    expect(wrong({ ...t5, scale_from: { bits: [24, 40] } })).toMatch(/^scale_from.bits: uint32 has the bits 0 to 31/);
    expect(wrong({ type: 'uint32', scale_from: { bits: [24, 31] } })).toMatch(/^scale_from: /);
    expect(wrong({ scale_from: { at: 20, bits: [8, 16] } })).toMatch(
      /^scale_from.bits: a register has the bits 0 to 15/,
    );
    expect(decoded({ scale_from: { at: 11, bits: [8, 15] } }, '04d2 fe00')).toBe(12.34);
    expect(decoded({ scale_from: { at: 11, decimals: true } }, '04d2 0002')).toBe(12.34);
  });
});

describe('registers that are not neighbours', () => {
  it('hold any value, in the order of their list', () => {
    const places = fc.uniqueArray(fc.nat(60), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(places, order, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (words, byteOrder, value) => {
        const one = format({ holding: words, type: 'uint64', order: byteOrder });
        const image = one.encode(String(value));
        const reading = one.decode(image, 0);
        expect(reading.ok && BigInt(reading.value)).toBe(value);
        const plain = make({ type: 'uint64', order: byteOrder }).encode(String(value));
        const first = Math.min(...words);
        const gathered = words.map((word) => image.subarray(2 * (word - first), 2 * (word - first) + 2));
        expect(Buffer.concat(gathered)).toEqual(plain);
        expect(one.own.filter((byte) => byte !== 0)).toHaveLength(8);
      }),
    );
    expect(decoded({ holding: ['40020', '40010'], type: 'string', length: 4 }, `4344 ${'0000'.repeat(9)} 4142`)).toBe(
      'ABCD',
    );
  });

  it('are named one by one, as many as the type has', () => {
    expect(wrong({ holding: [1, 2, 3], type: 'uint32' })).toBe('holding: type uint32 has 2 registers, and the list 3');
    expect(wrong({ holding: [1, 1], type: 'uint32' })).toBe('holding: the address 1 is given twice');
    expect(wrong({ holding: [1, 40001], type: 'uint32' })).toMatch(/^holding: addresses are counted from 0/);
    expect(wrong({ holding: [1, 5], type: 'uint32', verify: { holding: 3 } })).toMatch(
      /^holding: a list of addresses has no/,
    );
  });
});

describe('several values as fields of one text', () => {
  it('come back as they were written', () => {
    const fields = {
      mode: { values: { 0: 'off', 1: 'on' } },
      power: { type: 'int32' },
      share: { scale: 0.1 },
      on: { at: 9, bit: 3 },
    };
    const one = format({ fields });
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        fc.nat(65_535),
        fc.boolean(),
        (mode, power, share, on) => {
          const value = `mode=${mode ? 'on' : 'off'} power=${power} share=${Number((share * 0.1).toPrecision(12))} on=${on}`;
          expect(one.decode(one.encode(value), 0)).toEqual({ ok: true, value });
        },
      ),
    );
  });
});
