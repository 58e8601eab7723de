/**
 * How the time of a regular expression grows, read off its text. The number of ways a backtracking engine can try it on
 * n characters is at most nᵖᵒʷᵉʳ · factor.
 */
export interface RegexCost {
  /** Repetitions, plus one when the match may begin anywhere. */
  readonly power: number;
  /** For alternatives and optional parts, which each double it. */
  readonly factor: number;
}

const ESCAPED = /^\\(?:k<|[1-9])/;
const COUNT = /^\{(\d+)(,?)(\d*)\}/;

/**
 * The cost of a pattern; undefined when a group is repeated or a group is referred back to: then the bound does not hold,
 * and the time may be exponential.
 */
export function regexCost({ source }: RegExp): RegexCost | undefined {
  let power = source.startsWith('^') && !source.includes('|') ? 0 : 1;
  let doublings = 0;
  let group = false;
  for (let at = 0; at < source.length; ) {
    const rest = source.slice(at);
    if (ESCAPED.test(rest)) return undefined;
    const quantifier = quantifierAt(rest);
    if (quantifier) {
      if (group && quantifier.repeats) return undefined;
      if (quantifier.repeats) power++;
      else doublings++;
      at += quantifier.length;
      group = false;
      continue;
    }
    const length = atomLength(rest);
    group = rest.startsWith(')');
    if (rest.startsWith('|')) doublings++;
    at += length;
  }
  return { power, factor: 2 ** doublings };
}

/** A quantifier at the beginning of a text; a group made optional is no repetition. */
function quantifierAt(text: string): { readonly repeats: boolean; readonly length: number } | undefined {
  const count = COUNT.exec(text);
  const length = count?.[0].length ?? (/^[*+?]/.test(text) ? 1 : 0);
  if (length === 0) return undefined;
  const lazy = text.charAt(length) === '?' ? 1 : 0;
  return { repeats: text.charAt(0) !== '?', length: length + lazy };
}

/** Length of a character class, an escape, the beginning of a group, or one character. */
function atomLength(text: string): number {
  if (text.startsWith('\\')) return 2;
  if (text.startsWith('(?')) return /^\(\?(?:<?[=!]|:|<[^>]*>)/.exec(text)?.[0].length ?? 2;
  if (!text.startsWith('[')) return 1;
  let at = 1;
  while (at < text.length && text[at] !== ']') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}
