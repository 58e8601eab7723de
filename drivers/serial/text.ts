import { z } from 'zod';

/** Longest pattern. Finding the place of an error compiles the pattern once per character. */
export const MAX_PATTERN = 1000;

export interface Pattern {
  readonly match: RegExp;
  /** Number of its captures. */
  readonly captures: number;
  /** Names of its named captures. */
  readonly names: readonly string[];
}

export type CompiledPattern =
  | { readonly ok: true; readonly pattern: Pattern }
  | { readonly ok: false; readonly problem: string };

/** Compiles a pattern. The problem quotes the engine and includes the place. */
export function compilePattern(source: string): CompiledPattern {
  const match = tryCompile(source);
  if (typeof match === 'string') {
    const at = errorPosition(source, match);
    const hint = source.includes('(?P<') ? '; a named group is written (?<name>…)' : '';
    return { ok: false, problem: `${match} at character ${at}: ${excerptAt(source, at)}${hint}` };
  }
  // With an alternative that always matches, exec returns all groups.
  const all = new RegExp(`${source}|`).exec('');
  const names = Object.keys(all?.groups ?? {});
  return { ok: true, pattern: { match, captures: (all?.length ?? 1) - 1, names } };
}

/** The regular expression, or the engine's message without the pattern in it. */
function tryCompile(source: string): RegExp | string {
  try {
    return new RegExp(source);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const end = text.indexOf(`/${source}/`);
    return end < 0 ? text : text.slice(end + source.length + 2).replace(/^[a-z]*:\s*/, '');
  }
}

/**
 * Place of an error, counted from 1. The engine does not tell it, so prefixes of the pattern are compiled. An
 * unterminated group starts after the longest prefix that compiles; any other error ends the shortest prefix with the
 * same message.
 */
function errorPosition(source: string, message: string): number {
  const refused = (found: RegExp | string) =>
    message === 'Unterminated group' ? typeof found === 'string' : found === message;
  let at = source.length;
  while (at > 1 && refused(tryCompile(source.slice(0, at - 1)))) at--;
  return at;
}

function excerptAt(source: string, at: number): string {
  const from = Math.max(0, at - 12);
  return `${from > 0 ? '…' : ''}${source.slice(from, at)} ← here`;
}

/** Encoding of the text of a line. `binary`: one character a byte, as `\\xNN` in patterns. */
export const encodings = ['utf8', 'latin1', 'ascii', 'binary'] as const;
export type TextEncoding = (typeof encodings)[number];

/** Decodes bytes. A byte that the encoding lacks becomes U+FFFD, never another character. */
export function decode(bytes: Buffer, encoding: TextEncoding): string {
  if (encoding === 'utf8') return bytes.toString('utf8');
  const text = bytes.toString('latin1');
  // Node's own 'ascii' clears the top bit, which turns noise into plausible digits.
  return encoding !== 'ascii' ? text : text.replace(/[\x80-\xff]/g, '\uFFFD');
}

/** Encodes text. `undefined` when the encoding lacks a character. */
export function encode(text: string, encoding: TextEncoding): Buffer | undefined {
  if (encoding === 'utf8') return Buffer.from(text, 'utf8');
  const limit = encoding === 'ascii' ? 0x7f : 0xff;
  for (const character of text) {
    if ((character.codePointAt(0) ?? 0) > limit) return undefined;
  }
  return Buffer.from(text, 'latin1');
}

const NAMED: Readonly<Record<string, string>> = { r: '\r', n: '\n', t: '\t', 0: '\0', '\\': '\\' };
const ESCAPE = /\\(?:x([0-9A-Fa-f]{2})|(.)|$)/gs;

/**
 * Resolves `\r`, `\n`, `\t`, `\0`, `\xNN` and `\\`. In YAML '…' keeps backslashes and "…" resolves them; people mean
 * the control character in both. Returns a problem when an escape is unknown.
 */
export function resolveEscapes(text: string): { ok: true; text: string } | { ok: false; problem: string } {
  let problem: string | undefined;
  const resolved = text.replace(ESCAPE, (whole: string, hex: string | undefined, letter: string | undefined) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    const known = letter === undefined ? undefined : NAMED[letter];
    if (known === undefined) problem ??= `the escape ${whole} is unknown; known are \\r \\n \\t \\0 \\xNN \\\\`;
    return known ?? whole;
  });
  return problem === undefined ? { ok: true, text: resolved } : { ok: false, problem };
}

/** Bytes written as ASCII text and escapes. */
export const bytesText = z
  .string()
  .min(1)
  .transform((text, context) => {
    const foreign = /[^\0-\x7f]/.exec(text)?.[0];
    const found = resolveEscapes(text);
    if (found.ok && foreign === undefined) return Buffer.from(found.text, 'latin1');
    const message = found.ok ? `${foreign} is not ASCII; write its bytes as \\xNN` : found.problem;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  })
  .meta({ title: 'text with escapes' });

/** A regular expression. */
export const patternText = z
  .string()
  .min(1)
  .max(MAX_PATTERN)
  .transform((source, context) => {
    const compiled = compilePattern(source);
    if (compiled.ok) return compiled.pattern;
    context.addIssue({ code: 'custom', message: compiled.problem });
    return z.NEVER;
  })
  .meta({ title: 'regular expression' });
