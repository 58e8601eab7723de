import vm from 'node:vm';

/** Longest time (ms) of a pattern on one frame. */
export const MATCH_LIMIT_MS = 50;
/** Number of ways (see RegexCost) that take well under a millisecond. */
const CHEAP = 20_000;
/** Number of frames matched under one timeout: together they must stay well below the limit. */
const BATCH = 64;
/** A pattern that has timed out this often is not tried any more. */
const MAX_TIMEOUTS = 3;

/** The captures of a pattern; `null`: it does not match; `undefined`: it took too long to know. */
export type Captures = RegExpExecArray | null | undefined;

export interface MatchSink {
  /** The captures of each pattern in a frame. Called once a frame, in order. */
  frame(index: number, found: readonly Captures[]): void;
  /** The pattern took longer than the limit on a frame; `final`: it is not tried any more. */
  timeout(pattern: number, final: boolean): void;
}

interface PatternState {
  readonly match: RegExp;
  /** Longest text on which it is cheap; -1: none. */
  readonly cheapUpTo: number;
  timeouts: number;
}

/** A pattern to try on a text with a time limit. */
interface GuardedMatch {
  readonly pattern: number;
  readonly text: string;
  readonly found: Captures[];
}

/**
 * Matches patterns with frames in bounded time. A pattern whose RegexCost is low for the length of the frame is tried
 * at once. Any other may take exponential time on 30 characters, so it is tried with V8's interruptible timeout (node:vm),
 * which ends it after MATCH_LIMIT_MS. Starting the timeout takes about 0.1 ms, so frames that arrived together are matched
 * together.
 */
export class Matcher {
  readonly #patterns: readonly PatternState[];
  readonly #guard: () => void;
  #guarded: GuardedMatch[] = [];
  /** Index of the match being tried; it survives an interrupted run. */
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

  /** Tries the patterns that are cheap on this text, and lists the others for the time limit. */
  #matchCheap(text: string): Captures[] {
    const found: Captures[] = [];
    for (let pattern = 0; pattern < this.#patterns.length; pattern++) {
      const tried = this.#patterns[pattern];
      if (!tried || tried.timeouts >= MAX_TIMEOUTS) found.push(undefined);
      else if (text.length <= tried.cheapUpTo) found.push(tried.match.exec(text));
      else {
        found.push(undefined);
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
        // A suspended machine looks the same, so the match gets the whole time once more.
        if (slow === this.#at) this.#countTimeout(this.#guarded[this.#at++]?.pattern ?? 0, sink);
        else slow = this.#at;
      }
    }
    this.#guarded = [];
  }

  #matchGuarded(): void {
    for (; this.#at < this.#guarded.length; this.#at++) {
      const guarded = this.#guarded[this.#at];
      const tried = guarded && this.#patterns[guarded.pattern];
      if (tried && tried.timeouts < MAX_TIMEOUTS) guarded.found[guarded.pattern] = tried.match.exec(guarded.text);
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

/** Returns a function that runs `work` with the time limit. Its vm context is created by the first call. */
function withTimeLimit(work: () => void): () => void {
  let armed: { readonly script: vm.Script; readonly context: vm.Context } | undefined;
  return () => {
    armed ??= { script: new vm.Script('work()'), context: vm.createContext({ work }) };
    armed.script.runInContext(armed.context, { timeout: MATCH_LIMIT_MS });
  };
}

/** The error comes from another vm context, so it is no instance of this context's Error. */
function isTimeout(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
  );
}

/**
 * Bound for the time of a regular expression, derived from its source: a backtracking engine tries it on n characters in at
 * most n^power · factor ways.
 */
export interface RegexCost {
  /** Number of repetitions, plus one when the match may begin anywhere. */
  readonly power: number;
  /** Doubled by each alternative and each optional part. */
  readonly factor: number;
}

const BACKREFERENCE = /^\\(?:k<|[1-9])/;
const COUNT = /^\{(\d+)(,?)(\d*)\}/;

/**
 * The cost of a pattern. `undefined` when a group is repeated or referred back to: the time may be exponential then, so no
 * bound holds.
 */
export function regexCost({ source }: RegExp): RegexCost | undefined {
  let power = source.startsWith('^') && !source.includes('|') ? 0 : 1;
  let doublings = 0;
  let afterGroup = false;
  for (let at = 0; at < source.length; ) {
    const rest = source.slice(at);
    const quantifier = quantifierAt(rest);
    if (BACKREFERENCE.test(rest) || (quantifier?.repeats && afterGroup)) return undefined;
    if (quantifier?.repeats) power++;
    else if (quantifier || rest.startsWith('|')) doublings++;
    afterGroup = !quantifier && rest.startsWith(')');
    at += quantifier?.length ?? atomLength(rest);
  }
  return { power, factor: 2 ** doublings };
}

/** The quantifier at the beginning of a text. `?` is no repetition. */
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
