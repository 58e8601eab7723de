import type { Reading } from '../../../src/driver/contract.ts';
import { badValue, noValue, outOfRange, type RegisterFormat } from './format.ts';

/**
 * A value whose registers are not neighbours. `places`: the place of each of its registers in the image, in the order in which
 * they make the number.
 */
export function spreadFormat(inner: RegisterFormat, places: readonly number[]): RegisterFormat {
  const registers = Math.max(...places) + 1;
  const spread = (parts: Buffer) => {
    const image = Buffer.alloc(2 * registers);
    for (const [index, place] of places.entries()) parts.copy(image, 2 * place, 2 * index, 2 * index + 2);
    return image;
  };
  return {
    ...inner,
    registers,
    own: spread(inner.own),
    decode(data, at) {
      const parts = Buffer.concat(places.map((place) => data.subarray(at + 2 * place, at + 2 * place + 2)));
      return inner.decode(parts, 0);
    },
    encode: (value) => spread(inner.encode(value)),
  };
}

/** The largest power of ten that a measurement may have; more means that the registers hold something else. */
const MAX_EXPONENT = 20;

/** Powers of ten, those nearest to 0 first. */
const POWERS = [0, ...Array.from({ length: MAX_EXPONENT }, (_, index) => [index + 1, -index - 1]).flat()];

/** The value of a mantissa and a power of ten; a whole power of ten as divisor keeps 1234 with -1 at 123.4 exactly. */
export function scaleByTen(mantissa: number, exponent: number): number {
  return exponent < 0 ? mantissa / 10 ** -exponent : mantissa * 10 ** exponent;
}

/**
 * A number and its power of ten in one value, as `1234 × 10⁻²`. `sign` -1: the register holds the number of decimals. A value is
 * written with the power that keeps most of its digits.
 */
export function decimalFormat(mantissa: RegisterFormat, exponent: RegisterFormat, sign: 1 | -1): RegisterFormat {
  const own = Buffer.from(mantissa.own.map((byte, at) => byte | (exponent.own[at] ?? 0)));
  return {
    kind: 'analog',
    registers: mantissa.registers,
    own,
    decode(data, at): Reading {
      const [digits, power] = [mantissa.decode(data, at), exponent.decode(data, at)];
      if (!digits.ok) return digits;
      if (!power.ok) return power;
      const by = sign * Number(power.value);
      if (Math.abs(by) > MAX_EXPONENT) return noValue(`the power of ten ${by} is none`, by);
      return { ok: true, value: scaleByTen(Number(digits.value), by) };
    },
    encode(value) {
      if (typeof value !== 'number' || !Number.isFinite(value)) throw badValue(value, 'a finite number');
      const powers = POWERS.filter((power) => fits(exponent, sign * power));
      const best = mostExact(mantissa, value, powers);
      if (!best) throw outOfRange(value, 'no power of ten makes it fit');
      const parts = [mantissa.encode(best.digits), exponent.encode(sign * best.power)] as const;
      return Buffer.from(parts[0].map((byte, at) => byte | (parts[1][at] ?? 0)));
    },
  };
}

/** The digits and the power of ten that are nearest to a value. `undefined` when it does not fit. */
function mostExact(
  mantissa: RegisterFormat,
  value: number,
  powers: readonly number[],
): { readonly digits: number; readonly power: number } | undefined {
  const finest = Math.min(...powers);
  let best: { readonly digits: number; readonly power: number; readonly error: number } | undefined;
  for (const power of powers) {
    const digits = Math.round(value / 10 ** power) + 0;
    // No digit is left of a value that is smaller than its power, and only the finest power may round it off.
    if (digits === 0 && value !== 0 && power !== finest) continue;
    const error = Math.abs(scaleByTen(digits, power) - value);
    if ((!best || error < best.error) && fits(mantissa, digits)) best = { digits, power, error };
  }
  return best;
}

function fits(format: RegisterFormat, value: number): boolean {
  try {
    format.encode(value);
    return true;
  } catch {
    return false;
  }
}

/** A field of a value that is written as a whole. */
export interface Field {
  readonly name: string;
  /** Its first register in the image. */
  readonly place: number;
  readonly format: RegisterFormat;
  readonly scale: number;
}

/**
 * Several values in one: the text `mode=charge power=-3000`, with every field in the order of the configuration. It is read and
 * written in one request. A text is taken only as it would be read back, so that the two can be compared.
 */
export function fieldsFormat(fields: readonly Field[]): RegisterFormat {
  const registers = Math.max(...fields.map(({ place, format }) => place + format.registers));
  const merge = (images: readonly Buffer[]) => {
    const image = Buffer.alloc(2 * registers);
    for (const [index, { place }] of fields.entries())
      images[index]?.forEach((byte, at) => {
        image[2 * place + at] = (image[2 * place + at] ?? 0) | byte;
      });
    return image;
  };
  const decode = (data: Buffer, at: number): Reading => {
    const texts: string[] = [];
    for (const { name, place, format, scale } of fields) {
      const reading = format.decode(data, at + 2 * place);
      if (!reading.ok) return noValue(`${name}: ${reading.error.message}`, reading.error.found);
      const { value } = reading;
      const shown = typeof value === 'number' && scale !== 1 ? Number((value * scale).toPrecision(12)) : value;
      texts.push(`${name}=${shown}`);
    }
    return { ok: true, value: texts.join(' ') };
  };
  const pattern = new RegExp(`^${fields.map(({ name }) => `${name}=(.*)`).join(' ')}$`);
  const example = fields.map(({ name }) => `${name}=…`).join(' ');
  return {
    kind: 'text',
    registers,
    own: merge(fields.map(({ format }) => format.own)),
    decode,
    encode(value) {
      const found = typeof value === 'string' ? pattern.exec(value) : null;
      if (!found) throw badValue(value, `text of the form ${example}`);
      const image = merge(fields.map((field, index) => encodeField(field, found[index + 1] ?? '')));
      const shown = decode(image, 0);
      if (!shown.ok || shown.value !== value)
        throw badValue(value, `written as it is read back: ${shown.ok ? shown.value : shown.error.message}`);
      return image;
    },
  };
}

function encodeField({ name, format, scale }: Field, text: string): Buffer {
  if (format.kind === 'text') return format.encode(text);
  if (format.kind === 'digital') return format.encode(text === 'true');
  const number = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isNaN(number)) throw badValue(text, `a number (${name})`);
  if (scale !== 1) return format.encode(Number((number / scale).toPrecision(12)));
  // A whole number beyond 2^53 is exact only as text.
  return format.encode(Number.isSafeInteger(number) || !/^-?\d+$/.test(text) ? number : text);
}
