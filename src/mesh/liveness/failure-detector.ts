import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';

/** Frames of a healthy network are delayed by less than this (ms). */
const NORMAL_DELAY_MS = 100;
/** Time for which a delay is remembered (ms). */
const MEMORY_MS = 20_000;
/** The silence limit never grows beyond this (ms): without answered pings, and with them. */
const MAX_LIMIT_MS = 8000;
const MAX_LIMIT_ALIVE_MS = 15_000;

/** Evidence of pings about a peer. */
export interface PingEvidence {
  /** Pings reach this peer at all. */
  readonly confirmed: boolean;
  /** A ping was answered just now. */
  alive(now: MonotonicMs): boolean;
  /** Pings were lost lately. */
  lossy(now: MonotonicMs): boolean;
}

/** `stalled`: the peer lives, its connection does not. */
export type Verdict = 'waiting' | 'stalled' | 'lost';

/**
 * Decides what a peer's silence means. A lossy network causes silences of its own: TCP retransmits after 0.2 s and doubles
 * that at each failure, and everything behind the lost packet waits. UDP pings do not wait for each other. So where pings
 * pass, a peer that does not answer them is gone. A peer that answers has a delayed connection when packets are lost, and a
 * cut one when none are. Where no pings pass, the limit grows with the longest recent delay t: to 2 t + 0.2 s for the next
 * retransmission, and twice that after one more loss.
 */
export class FailureDetector {
  readonly #silenceLimit: DurationMs;
  #longestDelay: DurationMs = 0;
  #longestDelayAt: MonotonicMs = 0;

  /** `silenceLimit` holds in a healthy network (ms). */
  constructor(silenceLimit: DurationMs) {
    this.#silenceLimit = silenceLimit;
  }

  /** A frame took so much longer than the fastest one. */
  noteDelay(delay: DurationMs, now: MonotonicMs): void {
    if (delay < NORMAL_DELAY_MS) return;
    if (delay < this.#longestDelay && now - this.#longestDelayAt < MEMORY_MS) return;
    this.#longestDelay = delay;
    this.#longestDelayAt = now;
  }

  /** `silence`: how long nothing has come on the connection (ms). `pings`: `undefined` when the peer is not pinged. */
  verdict(silence: DurationMs, now: MonotonicMs, pings: PingEvidence | undefined): Verdict {
    if (silence <= this.#silenceLimit) return 'waiting';
    const delayed = this.#longestDelay > 0 && now - this.#longestDelayAt <= MEMORY_MS;
    if (pings?.confirmed) {
      if (!pings.alive(now) || silence > MAX_LIMIT_ALIVE_MS) return 'lost';
      return delayed || pings.lossy(now) ? 'stalled' : 'lost';
    }
    const limit = delayed ? Math.min(MAX_LIMIT_MS, this.#silenceLimit + 5 * this.#longestDelay) : this.#silenceLimit;
    return silence > limit ? 'lost' : 'waiting';
  }
}

/** Time for which one smallest offset counts (ms): the clocks of two machines drift apart by up to 100 µs per second. */
const OFFSET_WINDOW_MS = 30_000;

/**
 * Estimates how long frames were queued on their way, without comparing the wall clocks of two machines. Each frame carries
 * its sender's monotonic time. What it took longer than the fastest frame of the last minute, it waited somewhere.
 */
export class DelayEstimate {
  #smallestOffset = Number.POSITIVE_INFINITY;
  #previousSmallest = Number.POSITIVE_INFINITY;
  #windowStart: MonotonicMs = 0;

  /** Notes a frame sent at `sent` (the sender's clock) and read at `now` (our clock). Returns how long it waited. */
  queueingDelay(sent: MonotonicMs, now: MonotonicMs): DurationMs {
    const offset = now - sent;
    if (now - this.#windowStart > OFFSET_WINDOW_MS) {
      this.#previousSmallest = this.#smallestOffset;
      this.#smallestOffset = Number.POSITIVE_INFINITY;
      this.#windowStart = now;
    }
    this.#smallestOffset = Math.min(this.#smallestOffset, offset);
    return offset - Math.min(this.#smallestOffset, this.#previousSmallest);
  }
}

/** A process that did not run for this long was stopped or hung (ms). */
const STALL_MS = 1500;
/** Time after a stall during which commands on v1 links, which carry no age, count as old (ms). */
const RESUME_GRACE_MS = 500;

/** Detects that this process itself did not run: stopped, hung or suspended. */
export class StallDetector {
  readonly #longestTick: DurationMs;
  #tickedAt: MonotonicMs;
  #graceUntil: MonotonicMs = 0;

  /** `tick` is called every `period` ms. */
  constructor(period: DurationMs, now: MonotonicMs) {
    this.#longestTick = 3 * period;
    this.#tickedAt = now;
  }

  /** Returns true when this process did not run since the last call, so that the silence of others means nothing. */
  tick(now: MonotonicMs): boolean {
    const pause = now - this.#tickedAt;
    this.#tickedAt = now;
    if (pause > STALL_MS) this.#graceUntil = now + RESUME_GRACE_MS;
    return pause > this.#longestTick;
  }

  /** True just after a stall: what is read now may be as old as the stall was long. */
  resumedRecently(now: MonotonicMs): boolean {
    return now < this.#graceUntil;
  }
}
