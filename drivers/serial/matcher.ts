import vm from 'node:vm';
import { type RegexCost, regexCost } from './regex-cost.ts';

/** Most time (ms) a pattern may take on one frame. */
export const MATCH_LIMIT_MS = 50;
/** Ways to try a pattern (see RegexCost) that are surely done in well under a millisecond. */
const CHEAP = 20_000;
/** Frames matched under one guard: together they must stay well below the limit. */
const BATCH = 64;
/** A pattern that ran over its time this often is not tried any more. */
const STRIKES = 3;

export type Captures = RegExpExecArray | null;

export interface MatchSink {
  /** What each pattern found in a frame. Called once a frame, in order. */
  frame(index: number, found: readonly Captures[]): void;
  /** The pattern took longer than the limit on a frame; `final`: it is not tried any more. */
  stuck(pattern: number, final: boolean): void;
}

interface Tried {
  readonly match: RegExp;
  /** Longest text on which it is surely cheap; -1: none. */
  readonly cheapUpTo: number;
  strikes: number;
}

/** One pattern to be tried on one text under guard. */
interface Suspect {
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
  readonly #patterns: readonly Tried[];
  readonly #guard: () => void;
  #suspects: Suspect[] = [];
  /** Index of the suspect being tried; survives an interrupted run. */
  #at = 0;

  constructor(patterns: readonly RegExp[]) {
    this.#patterns = patterns.map((match) => ({ match, cheapUpTo: cheapUpTo(regexCost(match)), strikes: 0 }));
    this.#guard = guarded(() => this.#trySuspects());
  }

  run(texts: readonly string[], sink: MatchSink): void {
    for (let from = 0; from < texts.length; from += BATCH) {
      const end = Math.min(from + BATCH, texts.length);
      const found: Captures[][] = [];
      for (let at = from; at < end; at++) found.push(this.#tryAll(texts[at] ?? ''));
      if (this.#suspects.length > 0) this.#tryGuarded(sink);
      for (let at = from; at < end; at++) sink.frame(at, found[at - from] ?? []);
    }
  }

  /** Tries the patterns that are cheap on this text, and puts the others on the list. */
  #tryAll(text: string): Captures[] {
    const found: Captures[] = [];
    for (let pattern = 0; pattern < this.#patterns.length; pattern++) {
      const tried = this.#patterns[pattern];
      if (!tried || tried.strikes >= STRIKES) found.push(null);
      else if (text.length <= tried.cheapUpTo) found.push(tried.match.exec(text));
      else {
        found.push(null);
        this.#suspects.push({ pattern, text, found });
      }
    }
    return found;
  }

  #tryGuarded(sink: MatchSink): void {
    this.#at = 0;
    let slow = -1;
    while (this.#at < this.#suspects.length) {
      try {
        this.#guard();
      } catch (error) {
        if (!isTimeout(error)) throw error;
        // A machine that was asleep looks the same: what was being tried gets the whole time for itself once more.
        if (slow === this.#at) this.#blame(this.#suspects[this.#at++]?.pattern ?? 0, sink);
        else slow = this.#at;
      }
    }
    this.#suspects = [];
  }

  #trySuspects(): void {
    for (; this.#at < this.#suspects.length; this.#at++) {
      const suspect = this.#suspects[this.#at];
      const tried = suspect && this.#patterns[suspect.pattern];
      if (tried && tried.strikes < STRIKES) suspect.found[suspect.pattern] = tried.match.exec(suspect.text);
    }
  }

  #blame(pattern: number, sink: MatchSink): void {
    const tried = this.#patterns[pattern];
    if (!tried) return;
    tried.strikes++;
    sink.stuck(pattern, tried.strikes >= STRIKES);
  }
}

function cheapUpTo(cost: RegexCost | undefined): number {
  if (!cost || cost.factor > CHEAP) return -1;
  return cost.power === 0 ? Number.POSITIVE_INFINITY : Math.floor((CHEAP / cost.factor) ** (1 / cost.power));
}

/** Makes a function that runs `work` under the limit; the context it needs is made when it is first called. */
function guarded(work: () => void): () => void {
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
