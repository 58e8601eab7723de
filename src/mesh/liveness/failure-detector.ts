import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';

/** Frames of a sound network are held up for less than this (ms). */
const NORMAL_DELAY_MS = 100;
/** How long a hold-up is remembered (ms). */
const MEMORY_MS = 20_000;
/** No network earns more patience than this without datagrams (ms), and with them. */
const LONGEST_MS = 8000;
const LONGEST_ALIVE_MS = 15_000;

/** What datagrams say of a peer. */
export interface PingEvidence {
  /** Datagrams reach this peer at all. */
  readonly confirmed: boolean;
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
export class FailureDetector {
  readonly #silenceLimit: DurationMs;
  #longestDelay: DurationMs = 0;
  #longestDelayAt: MonotonicMs = 0;

  /** `silence`: the limit in a sound network. */
  constructor(silence: DurationMs) {
    this.#silenceLimit = silence;
  }

  /** A frame was on the way for so much longer than the fastest. */
  noteDelay(waited: DurationMs, now: MonotonicMs): void {
    if (waited < NORMAL_DELAY_MS) return;
    if (waited < this.#longestDelay && now - this.#longestDelayAt < MEMORY_MS) return;
    this.#longestDelay = waited;
    this.#longestDelayAt = now;
  }

  /** `silence`: how long nothing has come on the connection. */
  verdict(silence: DurationMs, now: MonotonicMs, witness: PingEvidence | undefined): Verdict {
    if (silence <= this.#silenceLimit) return 'waiting';
    const troubled = this.#longestDelay > 0 && now - this.#longestDelayAt <= MEMORY_MS;
    if (witness?.confirmed) {
      if (!witness.alive(now) || silence > LONGEST_ALIVE_MS) return 'lost';
      return troubled || witness.lossy(now) ? 'stalled' : 'lost';
    }
    const limit = troubled ? Math.min(LONGEST_MS, this.#silenceLimit + 5 * this.#longestDelay) : this.#silenceLimit;
    return silence > limit ? 'lost' : 'waiting';
  }
}

/** How long one smallest offset counts (ms): clocks of two machines drift apart by up to 100 µs a second. */
const WINDOW_MS = 30_000;

/**
 * How long messages were on the way, without comparing the wall clocks of two machines: each carries its sender's
 * monotonic time, and whatever a message took longer than the fastest of the last minute, it waited somewhere.
 */
export class DelayEstimate {
  #smallestOffset = Number.POSITIVE_INFINITY;
  #previousSmallest = Number.POSITIVE_INFINITY;
  #since: MonotonicMs = 0;

  /** Notes a message sent at `sent` (the sender's clock) and read at `now` (ours). Returns how long it waited. */
  queueingDelay(sent: MonotonicMs, now: MonotonicMs): DurationMs {
    const offset = now - sent;
    if (now - this.#since > WINDOW_MS) {
      this.#previousSmallest = this.#smallestOffset;
      this.#smallestOffset = Number.POSITIVE_INFINITY;
      this.#since = now;
    }
    this.#smallestOffset = Math.min(this.#smallestOffset, offset);
    return offset - Math.min(this.#smallestOffset, this.#previousSmallest);
  }
}
