import type { DurationMs, MonotonicMs } from '../clock/clock.ts';

/** Frames of a sound network are held up for less than this (ms). */
const USUAL_MS = 100;
/** How long a hold-up is remembered (ms). */
const MEMORY_MS = 20_000;
/** No network earns more patience than this (ms). */
const LONGEST_MS = 8000;

/**
 * How long a peer's silence means nothing yet. A network that loses packets makes silences of its own: TCP sends again
 * after 0.2 s and doubles that at each failure, while everything behind the lost packet waits. Whoever was held up for
 * t lately may be held up for 2 t + 0.2 s next, and for twice that after one more loss. A sound network earns nothing.
 */
export class Patience {
  readonly #silence: DurationMs;
  #longest: DurationMs = 0;
  #at: MonotonicMs = 0;

  /** `silence`: the limit in a sound network. */
  constructor(silence: DurationMs) {
    this.#silence = silence;
  }

  /** A frame was on the way for so much longer than the fastest. */
  heldUp(waited: DurationMs, now: MonotonicMs): void {
    if (waited < USUAL_MS) return;
    if (waited < this.#longest && now - this.#at < MEMORY_MS) return;
    this.#longest = waited;
    this.#at = now;
  }

  limit(now: MonotonicMs): DurationMs {
    if (this.#longest === 0 || now - this.#at > MEMORY_MS) return this.#silence;
    return Math.min(LONGEST_MS, this.#silence + 5 * this.#longest);
  }
}
