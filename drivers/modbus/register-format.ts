import { type ByteOrder, type NumberType, numberCodecs } from '../../src/driver/kit/number-codec.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { decimalFormat, fieldsFormat, scaleByTen, spreadFormat } from './formats/composite.ts';
import { badValue, noValue, outOfRange, type RegisterFormat } from './formats/format.ts';
import { bitFormat, bitsFormat, meaningsOf, numberFormat, numberRange, type StatedNumber } from './formats/number.ts';
import { namedFormat, rawFormat, stringFormat } from './formats/text.ts';

export const valueTypes = [
  'bool',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int24',
  'uint24',
  'int32',
  'uint32',
  'int48',
  'uint48',
  'int64',
  'uint64',
  'float16',
  'float32',
  'float64',
  'bcd16',
  'bcd32',
  'bcd48',
  'bcd64',
  'mod10k32',
  'mod10k48',
  'mod10k64',
  'string',
  'raw',
] as const satisfies readonly (NumberType | 'bool' | 'int8' | 'uint8' | 'int24' | 'uint24' | 'string' | 'raw')[];
export type ValueType = (typeof valueTypes)[number];

/** The numbers that mean on and off. Every other number is off when `off` is `undefined`. */
export interface Levels {
  readonly on: number;
  readonly off: number | undefined;
}

export interface FormatSpec {
  readonly type: ValueType;
  readonly order: ByteOrder;
  /** Strings: number of characters. Raw and bool: number of registers. */
  readonly length?: number | undefined;
  /** Bits of the number in the registers, lowest and highest. */
  readonly bits?: readonly [number, number] | undefined;
  /** Names of whole numbers. */
  readonly values?: Readonly<Record<string, string>> | undefined;
  /** Whole numbers that mean on and off: the value is digital. */
  readonly levels?: Levels | undefined;
  /** Register with the power of ten, counted from the value. */
  readonly scaleOffset?: number | undefined;
  /** The power of ten in that register, or in the registers of the value; a signed whole register when `undefined`. */
  readonly exponent?: ExponentSpec | undefined;
  /** What the register with the power of ten held: the value's registers alone can then be decoded and encoded. */
  readonly power?: number | undefined;
  /** Raw numbers that mean 'no value'. */
  readonly invalid?: readonly StatedNumber[] | undefined;
  /** Registers that are not neighbours: their places, in the order in which they make the number. */
  readonly words?: readonly number[] | undefined;
  /** Several values in one. */
  readonly fields?: readonly FieldSpec[] | undefined;
}

/** A power of ten. */
interface ExponentSpec {
  readonly bits: readonly [number, number] | undefined;
  readonly signed: boolean;
  /** -1: it is the number of decimals. */
  readonly sign: 1 | -1;
}

/** A value of its own among others; `place`: its first register. */
interface FieldSpec {
  readonly name: string;
  readonly place: number;
  readonly scale: number;
  readonly spec: FormatSpec;
}

export function formatOf(spec: FormatSpec): RegisterFormat {
  const { fields, exponent, scaleOffset, words, values, power } = spec;
  if (fields) return fieldsFormat(fields.map(({ spec: own, ...field }) => ({ ...field, format: formatOf(own) })));
  const plain = plainFormat(spec);
  const number = exponent && scaleOffset === undefined ? withExponent(plain, exponent, spec.order) : plain;
  const spread = words ? spreadFormat(number, words) : number;
  const scaled = scaleOffset === undefined ? spread : scaledFormat(spread, scaleOffset, exponent, power);
  if (spec.levels) return switchFormat(scaled, spec.levels);
  if (values === undefined) return scaled;
  return namedFormat(scaled, values, numberRange(containerOf(spec.type) ?? 'uint16', partOf(spec)));
}

function withExponent(
  mantissa: RegisterFormat,
  { bits, signed, sign }: ExponentSpec,
  order: ByteOrder,
): RegisterFormat {
  return decimalFormat(mantissa, bitsFormat(bits ?? [0, 15], { signed, words: mantissa.registers, order }), sign);
}

/** The number in whole registers that a type is, or is a part of; `undefined` for text. */
export function containerOf(type: ValueType): NumberType | undefined {
  switch (type) {
    case 'string':
    case 'raw':
      return undefined;
    case 'bool':
    case 'uint8':
      return 'uint16';
    case 'int8':
      return 'int16';
    case 'int24':
      return 'int32';
    case 'uint24':
      return 'uint32';
    default:
      return type;
  }
}

/** The bits of the container that a value is. `undefined`: all of them. */
function partOf({ type, bits }: FormatSpec): readonly [number, number] | undefined {
  return bits ?? (type === 'int24' || type === 'uint24' ? [0, 23] : undefined);
}

function plainFormat(spec: FormatSpec): RegisterFormat {
  const { type, order, invalid, length } = spec;
  const container = containerOf(type);
  if (container === undefined) return type === 'string' ? stringFormat(length ?? 2, order) : rawFormat(length ?? 1);
  const bits = partOf(spec);
  if (type === 'bool') return bitFormat(bits?.[0] ?? 0, length ?? 1, order);
  const { words } = numberCodecs[container];
  if (bits === undefined) return numberFormat(container, order, invalid);
  return bitsFormat(bits, { signed: type.startsWith('int'), words, order }, invalid);
}

/** Returns the mistake in the numbers that a configuration states about a value. */
export function statedMistake(
  spec: FormatSpec,
): { readonly path: readonly (string | number)[]; readonly message: string } | undefined {
  const container = containerOf(spec.type);
  if (container === undefined) return undefined;
  const bits = partOf(spec);
  const range = numberRange(container, bits);
  const holds = `${bits ? `bits ${bits[0]} to ${bits[1]} hold` : `${spec.type} holds`} ${range.min} to ${range.max}`;
  const known = new Map<string, string>();
  for (const stated of Object.keys(spec.values ?? {})) {
    const [value] = meaningsOf(stated, range);
    if (value === undefined) return { path: ['values', stated], message: `there is no ${stated}: ${holds}` };
    const other = known.get(String(value));
    if (other !== undefined) return { path: ['values', stated], message: `${other} and ${stated} are the same number` };
    known.set(String(value), stated);
  }
  // Bits of a number may be invalid by all of its registers: 0xFFFF.
  const whole = numberRange(container);
  const at = (spec.invalid ?? []).findIndex(
    (one) => meaningsOf(one, range).length + meaningsOf(one, whole).length === 0,
  );
  const wrong = spec.invalid?.[at];
  if (wrong === undefined) return undefined;
  const quote = typeof wrong === 'number' && !Number.isSafeInteger(wrong) && range.whole;
  const hint = quote ? '; a number beyond 2^53 is exact only in quotes' : '';
  return { path: ['invalid', at], message: `${wrong} is no raw value: ${holds}, or write its bits as "0x…"${hint}` };
}

/** Distance of neighbouring values that the format can hold at `value`; see Port.resolution. */
export function resolutionAt(format: RegisterFormat, value: RawValue): number | undefined {
  if (typeof value !== 'number') return undefined;
  try {
    const held = format.decode(format.encode(value), 0);
    return held.ok && typeof held.value === 'number' ? 2 * Math.abs(held.value - value) : undefined;
  } catch {
    // The format cannot hold it, so the value was never written.
    return undefined;
  }
}

/** A whole number that is on or off. A number that is neither is a failure, unless nothing but `on` means anything. */
export function switchFormat(inner: RegisterFormat, { on, off }: Levels): RegisterFormat {
  return {
    ...inner,
    kind: 'digital',
    decode(data, at) {
      const reading = inner.decode(data, at);
      if (!reading.ok) return reading;
      const number = Number(reading.value);
      if (number === on) return { ok: true, value: true };
      if (off === undefined || number === off) return { ok: true, value: false };
      return noValue(`${number} is neither on (${on}) nor off (${off})`, number);
    },
    encode(value) {
      if (typeof value !== 'boolean') throw badValue(value, 'true or false');
      const number = value ? on : off;
      if (number === undefined) throw badValue(value, 'possible: the register takes only the order');
      return inner.encode(number);
    },
  };
}

/** SunSpec's 'not implemented' for a scale factor. */
const NO_SCALE = -32768;

/** The power of ten in the register at byte `at`; also one that is none, see `isPower`. */
export function powerOfTen(exponent: ExponentSpec | undefined, data: Buffer, at: number): number {
  const { bits = [0, 15], signed = true, sign = 1 } = exponent ?? {};
  const found = bitsFormat(bits, { signed, words: 1, order: 'ABCD' }).decode(data, at);
  return found.ok ? sign * Number(found.value) : NO_SCALE;
}

function isPower(power: number): boolean {
  return Math.abs(power) <= 10;
}

/**
 * A number with its power of ten in another register, `distance` registers after (or before) it, as in SunSpec. The device may
 * change the power at any time, so it is read with each value, and before each write: `known` is what was found then.
 */
export function scaledFormat(
  inner: RegisterFormat,
  distance: number,
  exponent: ExponentSpec | undefined,
  known: number | undefined,
): RegisterFormat {
  return {
    ...inner,
    decode(data, at) {
      const reading = inner.decode(data, at);
      if (!reading.ok) return reading;
      const power = known ?? powerOfTen(exponent, data, at + 2 * distance);
      if (!isPower(power)) return noValue(`the scale factor ${power} is none`, power);
      // A scaled 64-bit total is a measurement, for which a double is exact enough.
      return { ok: true, value: scaleByTen(Number(reading.value), power) };
    },
    encode(value) {
      if (typeof value !== 'number' || !Number.isFinite(value)) throw badValue(value, 'a finite number');
      if (known === undefined || !isPower(known))
        throw new DcsError('DEVICE_REFUSED', `${value} cannot be written: the device gives no scale factor`, {
          found: known,
        });
      try {
        return inner.encode(scaleByTen(value, -known));
      } catch (error) {
        if (!(error instanceof DcsError) || error.code !== 'OUT_OF_RANGE') throw error;
        throw outOfRange(value, `${error.message}, with the scale factor 10^${known} of the device`);
      }
    },
  };
}
