import { DcsError } from '../errors/errors.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';

const ON = new Set(['on', 'true', '1']);
const OFF = new Set(['off', 'false', '0']);
const EXACT = /^-?\d{16,20}$/;

/** The user's value of a raw one: invert, scale and offset applied. */
export function toValue(spec: PinSpec, raw: RawValue): RawValue {
  if (typeof raw === 'boolean') return spec.invert ? !raw : raw;
  if (spec.kind === 'text') return raw;
  const plain = spec.scale === 1 && spec.offset === 0;
  if (plain && (spec.precision === undefined || typeof raw === 'string')) return raw;
  // A 64-bit number that came as exact text: scaled it is a measurement, for which a double is exact enough.
  return roundToPrecision(spec, Number(raw) * spec.scale + spec.offset);
}

/** The user's rate of a raw one: the same scale, no offset. */
export function toRate(spec: PinSpec, raw: number): number {
  return spec.scale === 1 ? raw : round(raw * spec.scale);
}

/**
 * The raw value that makes the pin show what a user, a message or a config file asked for. Throws BAD_VALUE or
 * OUT_OF_RANGE; never guesses. A digital pin takes true/false, 1/0 and on/off; an analog one finite numbers, also as text.
 */
export function toRaw(spec: PinSpec, asked: unknown): RawValue {
  switch (spec.kind) {
    case 'digital': {
      const level = parseDigital(asked);
      if (level === undefined) throw badValue(spec, asked, 'true, false, 1, 0, "on" or "off"');
      return spec.invert ? !level : level;
    }
    case 'text':
      if (typeof asked !== 'string') throw badValue(spec, asked, 'text');
      return asked;
    case 'analog':
    case 'counter': {
      const number = parseNumber(asked);
      if (number === undefined) throw badValue(spec, asked, 'a number');
      checkRange(spec, number);
      const plain = spec.scale === 1 && spec.offset === 0;
      // Beyond 2^53 a whole number is exact only as text; the driver knows whether it fits.
      if (plain && typeof asked === 'string' && EXACT.test(asked) && !Number.isSafeInteger(number)) return asked;
      return plain ? number : round((number - spec.offset) / spec.scale);
    }
  }
}

/** What a command asks for, as the pin's kind has it, exact: `"on"` is true, `"21.5"` is 21.5. Throws as `toRaw` does. */
export function parseValue(spec: PinSpec, asked: unknown): RawValue {
  const raw = toRaw(spec, asked);
  if (typeof raw === 'boolean') return toValue(spec, raw);
  return typeof raw === 'number' ? Number(asked) : raw;
}

/** Whether hardware has what it was given; it may round numbers, as the pin itself does. */
export function valuesMatch({ precision }: PinSpec, has: RawValue, given: RawValue): boolean {
  if (typeof has !== 'number' || typeof given !== 'number') return has === given;
  const rounding = precision === undefined ? 0 : 10 ** -precision;
  return Math.abs(has - given) <= Math.max(rounding, 0.001 * Math.max(Math.abs(has), Math.abs(given)));
}

function parseDigital(asked: unknown): boolean | undefined {
  if (typeof asked === 'boolean') return asked;
  if (asked === 1 || asked === 0) return asked === 1;
  if (typeof asked !== 'string') return undefined;
  const word = asked.trim().toLowerCase();
  return ON.has(word) ? true : OFF.has(word) ? false : undefined;
}

function parseNumber(asked: unknown): number | undefined {
  if (typeof asked === 'string' && !/^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(asked)) return undefined;
  if (typeof asked !== 'number' && typeof asked !== 'string') return undefined;
  const number = Number(asked);
  return Number.isFinite(number) ? number : undefined;
}

function checkRange({ name, range, uom = '' }: PinSpec, value: number): void {
  if (!range || (value >= range[0] && value <= range[1])) return;
  const [low, high] = range;
  throw new DcsError('OUT_OF_RANGE', `${name}: ${value} is outside ${low} to ${high}${uom && ` ${uom}`}`, {
    found: value,
    expected: `${low} to ${high}`,
    rule: 'range',
  });
}

function badValue({ name, kind }: PinSpec, found: unknown, expected: string): DcsError {
  return new DcsError('BAD_VALUE', `${name} is ${kind} and cannot be ${JSON.stringify(found)}; it takes ${expected}`, {
    found,
    expected,
  });
}

function roundToPrecision({ precision }: PinSpec, value: number): number {
  return precision === undefined ? round(value) : Number(value.toFixed(precision));
}

/** Scaling must not turn 21.7 into 21.700000000000003: twelve significant digits are more than any sensor has. */
function round(value: number): number {
  return Number(value.toPrecision(12));
}
