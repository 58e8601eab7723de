import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { encode, resolveEscapes, type TextEncoding } from './text.ts';

/** Type of the values of a template, which decides the formats it may have. */
export type TemplateType = 'number' | 'bool' | 'text';

type Part =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'value'; readonly format: ValueFormat };

type ValueFormat =
  | { readonly kind: 'plain' }
  | { readonly kind: 'words'; readonly on: string; readonly off: string }
  | {
      readonly kind: 'number';
      readonly letter: 'd' | 'f' | 'e' | 'x' | 'X';
      readonly plus: boolean;
      readonly zero: boolean;
      readonly width: number;
      readonly precision: number | undefined;
    };

/** A parsed template: bytes, and places for a value. */
export interface Template {
  readonly source: string;
  readonly parts: readonly Part[];
}

export type ParsedTemplate =
  | { readonly ok: true; readonly template: Template }
  | { readonly ok: false; readonly problem: string };

const PIECE = /\{\{|\}\}|\{([^{}]*)\}|[{}]/g;
const NUMBER_FORMAT = /^(\+)?(0)?(\d{1,2})?(?:\.(\d{1,2}))?([dfexX])$/;

/**
 * Parses a write template: `SP{value:05.1f}\r\n`. Formats are Python's for numbers (`d`, `f`, `e`, `x`, with sign, zero,
 * width and precision), `{value:ON|OFF}` for bools, plain `{value}` for all; `{{` and `}}` are braces.
 */
export function parseTemplate(source: string, type: TemplateType): ParsedTemplate {
  const parts: Part[] = [];
  let literal = '';
  let last = 0;
  for (const found of source.matchAll(PIECE)) {
    literal += source.slice(last, found.index);
    last = found.index + found[0].length;
    if (found[0] === '{{' || found[0] === '}}') {
      literal += found[0].charAt(0);
      continue;
    }
    const format = found[1] === undefined ? undefined : parseFormat(found[1], type);
    if (format === undefined) return { ok: false, problem: formatProblem(found[0], type) };
    const bytes = literalBytes(literal);
    if (typeof bytes === 'string') return { ok: false, problem: bytes };
    parts.push({ kind: 'bytes', bytes }, { kind: 'value', format });
    literal = '';
  }
  const bytes = literalBytes(literal + source.slice(last));
  if (typeof bytes === 'string') return { ok: false, problem: bytes };
  if (parts.length === 0) return { ok: false, problem: 'it has no {value}, so it would send the same for every value' };
  return { ok: true, template: { source, parts: [...parts, { kind: 'bytes', bytes }] } };
}

function parseFormat(inner: string, type: TemplateType): ValueFormat | undefined {
  const [, format = ''] = /^value(?::(.+))?$/.exec(inner) ?? [undefined, 'wrong'];
  if (format === '' || (format === 's' && type === 'text')) return { kind: 'plain' };
  if (type === 'bool') {
    const [on, off, more] = format.split('|');
    return on === undefined || off === undefined || more !== undefined ? undefined : { kind: 'words', on, off };
  }
  const found = NUMBER_FORMAT.exec(format);
  if (!found || type !== 'number') return undefined;
  const [, plus, zero, width = '0', digits, letter] = found;
  if (letter !== 'd' && letter !== 'f' && letter !== 'e' && letter !== 'x' && letter !== 'X') return undefined;
  if (digits !== undefined && letter !== 'f' && letter !== 'e') return undefined;
  const precision = digits === undefined ? undefined : Number(digits);
  return {
    kind: 'number',
    letter,
    plus: plus !== undefined,
    zero: zero !== undefined,
    width: Number(width),
    precision,
  };
}

function formatProblem(piece: string, type: TemplateType): string {
  const formats = { number: '{value:.1f}, {value:05d}, {value:X}', bool: '{value:ON|OFF}', text: '{value}' }[type];
  return `${piece} is no place for a ${type}; known are {value}, ${formats}, and {{ }} for braces`;
}

function literalBytes(text: string): Buffer | string {
  const found = resolveEscapes(text);
  if (!found.ok) return found.problem;
  const foreign = /[^\0-\x7f]/.exec(text)?.[0];
  return foreign === undefined
    ? Buffer.from(found.text, 'latin1')
    : `${foreign} is not ASCII; write its bytes as \\xNN`;
}

/**
 * Returns the bytes to send. Throws BAD_VALUE or OUT_OF_RANGE when the value does not fit; it is never cut or rounded
 * to fit.
 */
export function render({ source, parts }: Template, value: RawValue, encoding: TextEncoding): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (part.kind === 'bytes') return part.bytes;
      const text = format(part.format, value, source);
      const bytes = encode(text, encoding);
      if (bytes) return bytes;
      throw new DcsError('BAD_VALUE', `${JSON.stringify(text)} cannot be written in ${encoding}`, { found: value });
    }),
  );
}

/** Returns the distance of neighbouring numbers that the template can send near `value`; `undefined` when it rounds none. */
export function resolutionOf({ parts }: Template, value: RawValue): number | undefined {
  const steps = parts.flatMap((part) =>
    part.kind === 'value' ? (roundingStep(part.format, Number(value)) ?? []) : [],
  );
  return steps.length === 0 ? undefined : Math.max(...steps);
}

function roundingStep(how: ValueFormat, value: number): number | undefined {
  if (how.kind !== 'number') return undefined;
  const { letter, precision = 6 } = how;
  if (letter === 'f') return 10 ** -precision;
  // Zero has no first digit, and is sent exactly.
  if (letter !== 'e' || value === 0) return undefined;
  // Not by Math.log10: it rounds 999.9999999999999 up to 3.
  const exponent = Number(value.toExponential().replace(/^.*e/, ''));
  return 10 ** (exponent - precision);
}

function format(how: ValueFormat, value: RawValue, source: string): string {
  if (how.kind === 'words') return value === true ? how.on : how.off;
  if (how.kind === 'number') return formatNumber(how, Number(value), source);
  if (typeof value === 'boolean') return value ? '1' : '0';
  if (typeof value === 'number') return String(value);
  // A line end in a value would end the command and begin another.
  if (!/\p{Cc}/u.test(value)) return value;
  throw new DcsError('BAD_VALUE', `${JSON.stringify(value)} has control characters`, { found: value });
}

function formatNumber(how: Extract<ValueFormat, { kind: 'number' }>, value: number, source: string): string {
  const { letter, zero, width, precision = 6 } = how;
  const whole = letter === 'd' || letter === 'x' || letter === 'X';
  if (whole && !Number.isSafeInteger(value)) {
    throw new DcsError('BAD_VALUE', `${value} is not a whole number, which ${source} needs`, { found: value });
  }
  const size = Math.abs(value);
  const digits = digitsOf(size, letter, precision);
  const sign = digits !== undefined && value < 0 && /[1-9a-f]/.test(digits) ? '-' : how.plus ? '+' : '';
  const text = (sign + (zero ? digits?.padStart(width - sign.length, '0') : digits)).padStart(width);
  if (digits === undefined || (zero && text.length > width)) {
    throw new DcsError('OUT_OF_RANGE', `${value} does not fit the ${width} places of ${source}`, { found: value });
  }
  return letter === 'X' ? text.toUpperCase() : text;
}

/** The digits of a number ≥ 0. A tie is rounded up. `undefined` when fixed notation cannot show it. */
function digitsOf(size: number, letter: 'd' | 'f' | 'e' | 'x' | 'X', precision: number): string | undefined {
  if (letter === 'e') return size.toExponential(precision).replace(/([+-])(\d)$/, '$10$2');
  if (letter === 'f') return size < 1e21 ? size.toFixed(precision) : undefined;
  return size.toString(letter === 'd' ? 10 : 16);
}
