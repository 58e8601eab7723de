/** Longest pattern accepted; finding the place of an error compiles it once per character. */
export const MAX_PATTERN = 1000;

export interface Pattern {
  readonly match: RegExp;
  /** How many captures it has. */
  readonly captures: number;
  /** Names of those that have one. */
  readonly names: readonly string[];
}

export type Compiled =
  | { readonly ok: true; readonly pattern: Pattern }
  | { readonly ok: false; readonly complaint: string };

/** Compiles a pattern. The complaint quotes the engine and says where. */
export function compile(source: string): Compiled {
  const match = tryCompile(source);
  if (typeof match === 'string') {
    const at = errorPosition(source, match);
    const hint = source.includes('(?P<') ? '; a named group is written (?<name>…)' : '';
    return { ok: false, complaint: `${match} at character ${at}: ${pointAt(source, at)}${hint}` };
  }
  // An alternative that always matches makes exec show all groups.
  const all = new RegExp(`${source}|`).exec('');
  const names = Object.keys(all?.groups ?? {});
  return { ok: true, pattern: { match, captures: (all?.length ?? 1) - 1, names } };
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
