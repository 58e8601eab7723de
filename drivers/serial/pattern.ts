import type { PinKind, RawValue } from '../../src/pin/pin.ts';

/** What a capture is read as. */
export const captureTypes = ['number', 'bool', 'text'] as const;
export type CaptureType = (typeof captureTypes)[number];

export const kindOfType: Readonly<Record<CaptureType, PinKind>> = {
  number: 'analog',
  bool: 'digital',
  text: 'text',
};

/** Longest pattern accepted; finding the place of an error compiles it once per character. */
export const MAX_PATTERN = 1000;

export type Compiled =
  | { readonly ok: true; readonly match: RegExp }
  | { readonly ok: false; readonly complaint: string };

/** Compiles a pattern that must have exactly one capture. The complaint quotes the engine and says where. */
export function compile(source: string): Compiled {
  const match = tryCompile(source);
  if (typeof match === 'string') {
    const at = errorPosition(source, match);
    const hint = source.includes('(?P<') ? '; a named group is written (?<name>…)' : '';
    return { ok: false, complaint: `${match} at character ${at}: ${pointAt(source, at)}${hint}` };
  }
  // An alternative that always matches makes exec show all groups.
  const captures = (new RegExp(`${source}|`).exec('')?.length ?? 1) - 1;
  if (captures === 1) return { ok: true, match };
  return {
    ok: false,
    complaint: `the pattern has ${captures} captures; exactly one (…) must mark the value, others are written (?:…)`,
  };
}

/** The regular expression, or the engine's message without the pattern that it repeats. */
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
 * The engine does not say where, but its complaints about the beginnings of the pattern do: a group that is never
 * closed starts after the longest beginning that is right; anything else ends the shortest beginning refused with the
 * same words, as every longer one is. 1-based.
 */
function errorPosition(source: string, message: string): number {
  const refused = (found: RegExp | string) =>
    message === 'Unterminated group' ? typeof found === 'string' : found === message;
  let at = source.length;
  while (at > 1 && refused(tryCompile(source.slice(0, at - 1)))) at--;
  return at;
}

function pointAt(source: string, at: number): string {
  const from = Math.max(0, at - 12);
  return `${from > 0 ? '…' : ''}${source.slice(from, at)} ← here`;
}

const NUMBER = /^\s*([+-]?)\s*(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$/;
const WORDS: Readonly<Record<string, boolean>> = {
  1: true,
  true: true,
  on: true,
  yes: true,
  high: true,
  0: false,
  false: false,
  off: false,
  no: false,
  low: false,
};

/**
 * The value a capture stands for, or undefined when it stands for none: an empty capture is no number, and neither is
 * `12.` followed by noise. Scales write their sign apart (`-   12.5`): blanks after it are allowed.
 */
export function readCapture(capture: string | undefined, type: CaptureType): RawValue | undefined {
  if (capture === undefined) return undefined;
  if (type === 'text') return capture;
  if (type === 'bool') {
    const word = capture.trim().toLowerCase();
    return Object.hasOwn(WORDS, word) ? WORDS[word] : undefined;
  }
  const found = NUMBER.exec(capture);
  if (!found) return undefined;
  const value = Number(`${found[1]}${found[2]}${found[3] ?? ''}`);
  return Number.isFinite(value) ? value : undefined;
}
