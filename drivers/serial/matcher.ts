import vm from 'node:vm';

/** Most time (ms) a pattern may take on one frame. */
export const MATCH_LIMIT_MS = 50;
/** Ways to try a pattern (see RegexCost) that are surely done in well under a millisecond. */
const CHEAP = 20_000;
/** Frames matched under one guard: together they must stay well below the limit. */
const BATCH = 64;
/** A pattern that ran over its time this often is not tried any more. */
const MAX_TIMEOUTS = 3;

export type Captures = RegExpExecArray | null;

export interface MatchSink {
  /** What each pattern found in a frame. Called once a frame, in order. */
  frame(index: number, found: readonly Captures[]): void;
  /** The pattern took longer than the limit on a frame; `final`: it is not tried any more. */
  timeout(pattern: number, final: boolean): void;
}

interface PatternState {
  readonly match: RegExp;
  /** Longest text on which it is surely cheap; -1: none. */
  readonly cheapUpTo: number;
  timeouts: number;
}

/** One pattern to be tried on one text under guard. */
interface GuardedMatch {
  readonly pattern: number;
  readonly text: string;
  readonly found: Captures[];
}

/**
 * Tries patterns on frames. What bounds the time: a frame is no longer than the framing's `max`. A pattern whose text
 * shows that it is cheap on a frame of this length is tried at once. Any other, as it may take exponential time on 30
 * characters, is tried under V8's interruptible timeout (node:vm), which ends it after MATCH_LIMIT_MS; arming that
 * costs about 0.1 ms, so frames that came together are matched together.
 */
export class Matcher {
  readonly #patterns: readonly PatternState[];
  readonly #guard: () => void;
  #guarded: GuardedMatch[] = [];
  /** Index of the suspect being tried; survives an interrupted run. */
  #at = 0;

  constructor(patterns: readonly RegExp[]) {
    this.#patterns = patterns.map((match) => ({ match, cheapUpTo: cheapUpTo(regexCost(match)), timeouts: 0 }));
    this.#guard = withTimeLimit(() => this.#matchGuarded());
  }

  run(texts: readonly string[], sink: MatchSink): void {
    for (let from = 0; from < texts.length; from += BATCH) {
      const end = Math.min(from + BATCH, texts.length);
      const found: Captures[][] = [];
      for (let at = from; at < end; at++) found.push(this.#matchCheap(texts[at] ?? ''));
      if (this.#guarded.length > 0) this.#runGuarded(sink);
      for (let at = from; at < end; at++) sink.frame(at, found[at - from] ?? []);
    }
  }

  /** Tries the patterns that are cheap on this text, and puts the others on the list. */
  #matchCheap(text: string): Captures[] {
    const found: Captures[] = [];
    for (let pattern = 0; pattern < this.#patterns.length; pattern++) {
      const tried = this.#patterns[pattern];
      if (!tried || tried.timeouts >= MAX_TIMEOUTS) found.push(null);
      else if (text.length <= tried.cheapUpTo) found.push(tried.match.exec(text));
      else {
        found.push(null);
        this.#guarded.push({ pattern, text, found });
      }
    }
    return found;
  }

  #runGuarded(sink: MatchSink): void {
    this.#at = 0;
    let slow = -1;
    while (this.#at < this.#guarded.length) {
      try {
        this.#guard();
      } catch (error) {
        if (!isTimeout(error)) throw error;
        // A machine that was asleep looks the same: what was being tried gets the whole time for itself once more.
        if (slow === this.#at) this.#countTimeout(this.#guarded[this.#at++]?.pattern ?? 0, sink);
        else slow = this.#at;
      }
    }
    this.#guarded = [];
  }

  #matchGuarded(): void {
    for (; this.#at < this.#guarded.length; this.#at++) {
      const suspect = this.#guarded[this.#at];
      const tried = suspect && this.#patterns[suspect.pattern];
      if (tried && tried.timeouts < MAX_TIMEOUTS) suspect.found[suspect.pattern] = tried.match.exec(suspect.text);
    }
  }

  #countTimeout(pattern: number, sink: MatchSink): void {
    const tried = this.#patterns[pattern];
    if (!tried) return;
    tried.timeouts++;
    sink.timeout(pattern, tried.timeouts >= MAX_TIMEOUTS);
  }
}

function cheapUpTo(cost: RegexCost | undefined): number {
  if (!cost || cost.factor > CHEAP) return -1;
  return cost.power === 0 ? Number.POSITIVE_INFINITY : Math.floor((CHEAP / cost.factor) ** (1 / cost.power));
}

/** Makes a function that runs `work` under the limit; the context it needs is made when it is first called. */
function withTimeLimit(work: () => void): () => void {
  let armed: { readonly script: vm.Script; readonly context: vm.Context } | undefined;
  return () => {
    armed ??= { script: new vm.Script('work()'), context: vm.createContext({ work }) };
    armed.script.runInContext(armed.context, { timeout: MATCH_LIMIT_MS });
  };
}

/** Made in the guarded context, the error is no instance of this context's Error. */
function isTimeout(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
  );
}

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
