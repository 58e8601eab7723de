import vm from 'node:vm';

/** Most time (ms) a pattern may take on one frame. */
export const MATCH_LIMIT_MS = 50;
/** Frames per guarded call: what is matched at one go must stay well below the limit. */
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

/**
 * Tries patterns on frames. The time is bounded twice: a frame is no longer than the framing's `max`, and, since some
 * patterns take exponential time on 30 characters, all matching runs under V8's interruptible timeout (node:vm), which
 * ends it after MATCH_LIMIT_MS. Arming that costs about 0.1 ms, so frames that came together are matched together.
 */
export class Matcher {
  readonly #patterns: readonly RegExp[];
  readonly #strikes: number[];
  readonly #context: vm.Context;
  readonly #script: vm.Script;
  #texts: readonly string[] = [];
  #found: Captures[] = [];
  /** Index of text × pattern being tried; survives an interrupted run. */
  #at = 0;

  constructor(patterns: readonly RegExp[]) {
    this.#patterns = patterns;
    this.#strikes = patterns.map(() => 0);
    this.#context = vm.createContext({ step: () => this.#step() });
    this.#script = new vm.Script('step()');
  }

  run(texts: readonly string[], sink: MatchSink): void {
    if (this.#patterns.length === 0) {
      for (let text = 0; text < texts.length; text++) sink.frame(text, []);
      return;
    }
    for (let from = 0; from < texts.length; from += BATCH) this.#batch(texts.slice(from, from + BATCH), from, sink);
  }

  #batch(texts: readonly string[], from: number, sink: MatchSink): void {
    this.#texts = texts;
    this.#found = [];
    this.#at = 0;
    let suspect = -1;
    while (this.#at < texts.length * this.#patterns.length) {
      try {
        this.#script.runInContext(this.#context, { timeout: MATCH_LIMIT_MS });
      } catch (error) {
        if (!isTimeout(error)) throw error;
        // A machine that was asleep looks the same: what was being tried gets the whole time for itself once more.
        if (suspect === this.#at) this.#blame(this.#at++ % this.#patterns.length, sink);
        else suspect = this.#at;
      }
    }
    const width = this.#patterns.length;
    for (let text = 0; text < texts.length; text++) {
      sink.frame(from + text, this.#found.slice(text * width, (text + 1) * width));
    }
  }

  #step(): void {
    const width = this.#patterns.length;
    const end = this.#texts.length * width;
    for (; this.#at < end; this.#at++) {
      const pattern = this.#at % width;
      const text = this.#texts[Math.floor(this.#at / width)] ?? '';
      const given = (this.#strikes[pattern] ?? 0) >= STRIKES ? null : this.#patterns[pattern]?.exec(text);
      this.#found[this.#at] = given ?? null;
    }
  }

  #blame(pattern: number, sink: MatchSink): void {
    const strikes = (this.#strikes[pattern] ?? 0) + 1;
    this.#strikes[pattern] = strikes;
    sink.stuck(pattern, strikes >= STRIKES);
  }
}

/** Made in the guarded context, the error is no instance of this context's Error. */
function isTimeout(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
  );
}
