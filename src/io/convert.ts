import { DcsError } from '../errors/errors.ts';
import { type PinSpec, type RawValue, rawOf } from '../pin/pin.ts';

const ON = new Set(['on', 'true', '1']);
const OFF = new Set(['off', 'false', '0']);
const EXACT = /^-?\d{16,20}$/;

/** Converts a raw value to the user's: applies invert, scale, offset and precision. */
export function toValue(spec: PinSpec, raw: RawValue): RawValue {
  if (typeof raw === 'boolean') return spec.invert ? !raw : raw;
  if (spec.kind === 'text') return raw;
  const plain = spec.scale === 1 && spec.offset === 0;
  if (plain && (spec.precision === undefined || typeof raw === 'string')) return raw;
  // A scaled 64-bit number is a measurement, for which a double is exact enough.
  return roundToPrecision(spec, Number(raw) * spec.scale + spec.offset);
}

/** Converts a raw rate to the user's: applies the scale, and no offset. */
export function toRate(spec: PinSpec, raw: number): number {
  return spec.scale === 1 ? raw : round(raw * spec.scale);
}

/** A value that was asked for: in the user's units, and as the hardware gets it. */
export interface ParsedValue {
  readonly value: RawValue;
  readonly raw: RawValue;
}

/**
 * Parses a value from a user, a message or a configuration file. Throws BAD_VALUE or OUT_OF_RANGE and never guesses. A
 * digital pin takes true/false, 1/0 and on/off; an analog pin takes finite numbers, also as text; a text pin takes its values,
 * and true or false where it has a value for on or off.
 */
export function parseValue(spec: PinSpec, asked: unknown): ParsedValue {
  switch (spec.kind) {
    case 'digital': {
      const value = parseDigital(asked);
      if (value === undefined) throw badValue(spec, asked, 'true, false, 1, 0, "on" or "off"');
      return { value, raw: rawOf(spec, value) };
    }
    case 'text':
      return parseText(spec, asked);
    case 'analog':
    case 'counter': {
      const value = parseNumber(asked);
      if (value === undefined) throw badValue(spec, asked, 'a number');
      checkRange(spec, value);
      if (spec.scale !== 1 || spec.offset !== 0) return { value, raw: rawOf(spec, value) };
      // Beyond 2^53 a whole number is exact only as text; the driver knows whether it fits.
      const exact = typeof asked === 'string' && EXACT.test(asked) && !Number.isSafeInteger(value);
      return exact ? { value: asked, raw: asked } : { value, raw: value };
    }
  }
}

function parseText(spec: PinSpec, asked: unknown): ParsedValue {
  const { words } = spec;
  const value = typeof asked === 'boolean' ? wordFor(spec, asked) : asked;
  if (typeof value === 'string' && (words?.includes(value) ?? true)) return { value, raw: value };
  throw badValue(spec, asked, words ? `one of ${words.join(', ')}` : 'text');
}

/** The value that true or false means on a text pin: the one of that name, else the one that it names in `on` or `off`. */
function wordFor({ words = [], on = [], off }: PinSpec, level: boolean): string | undefined {
  const named = [level ? 'on' : 'off', String(level)].find((word) => words.includes(word));
  return named ?? (level ? (on.length === 1 ? on[0] : undefined) : off);
}

/** Converts a value of the user to the raw value of the hardware. Throws as `parseValue` does. */
export function toRaw(spec: PinSpec, asked: unknown): RawValue {
  return parseValue(spec, asked).raw;
}

/** Relative distance of neighbouring float32 values. */
const FLOAT32_STEP = 2 ** -23;
/** Relative error of two roundings to twelve digits: of the raw value and of the user's, 5e-12 each, with a reserve. */
const SCALING_ERROR = 2e-11;

/**
 * Returns whether the hardware has the value that it was given, both in the user's units. `resolution`: see
 * Port.resolution; the hardware may round to the nearest value that it can hold. Without it whole numbers must be equal, and
 * others may differ as float32 values do. The pin's `precision` and `tolerance` allow for more.
 */
export function valuesMatch(spec: PinSpec, has: RawValue, given: RawValue, resolution?: number): boolean {
  if (has === given) return true;
  if (typeof has !== 'number' || typeof given !== 'number') return false;
  const { precision, tolerance = 0, scale, offset } = spec;
  // Raw values are rounded too, and without the offset they may be much larger.
  const size = Math.max(...[has, given, has - offset, given - offset].map(Math.abs));
  const whole = Number.isInteger(has) && Number.isInteger(given);
  const shown = precision === undefined ? 0 : 0.5 * 10 ** -precision;
  const held = resolution === undefined ? (whole ? 0 : FLOAT32_STEP * size) : (resolution * Math.abs(scale)) / 2;
  const scaled = whole && scale === 1 && offset === 0 ? 0 : SCALING_ERROR * size;
  return Math.abs(has - given) <= Math.max(tolerance, shown + held + scaled);
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
