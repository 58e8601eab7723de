import type { DurationMs, MonotonicMs } from '../clock/clock.ts';

/** Frames of a sound network are held up for less than this (ms). */
const USUAL_MS = 100;
/** How long a hold-up is remembered (ms). */
const MEMORY_MS = 20_000;
/** No network earns more patience than this without datagrams (ms), and with them. */
const LONGEST_MS = 8000;
const LONGEST_ALIVE_MS = 15_000;

/** What datagrams say of a peer. */
export interface Witness {
  /** Datagrams reach this peer at all. */
  readonly proven: boolean;
  alive(now: MonotonicMs): boolean;
  /** Some were lost lately. */
  lossy(now: MonotonicMs): boolean;
}

/** `stalled`: the peer lives, its connection does not. */
export type Verdict = 'waiting' | 'stalled' | 'lost';

/**
 * What a peer's silence means. A network that loses packets makes silences of its own: TCP sends again after 0.2 s and
 * doubles that at each failure, while everything behind the lost packet waits. Datagrams do not, so where they pass, a
 * peer that does not answer them is gone, and one that does has a connection that is held up: by losses, if there are any;
 * without any the connection itself is cut. Where they do not pass there is only this: whoever was held up for t lately may
 * be held up for 2 t + 0.2 s next, and for twice that after one more loss.
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

  /** `silence`: how long nothing has come on the connection. */
  verdict(silence: DurationMs, now: MonotonicMs, witness: Witness | undefined): Verdict {
    if (silence <= this.#silence) return 'waiting';
    const troubled = this.#longest > 0 && now - this.#at <= MEMORY_MS;
    if (witness?.proven) {
      if (!witness.alive(now) || silence > LONGEST_ALIVE_MS) return 'lost';
      return troubled || witness.lossy(now) ? 'stalled' : 'lost';
    }
    const limit = troubled ? Math.min(LONGEST_MS, this.#silence + 5 * this.#longest) : this.#silence;
    return silence > limit ? 'lost' : 'waiting';
  }
}
