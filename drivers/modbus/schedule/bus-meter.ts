import type { Clock, DurationMs, MonotonicMs } from '../../../src/clock/clock.ts';

/** Round trips the percentiles are taken from. */
const KEPT = 512;
/** The utilisation is that of the last one to two of these. */
const WINDOW_MS = 10_000;

/** How long requests take, and what share of the time one is under way. */
export class BusMeter {
  readonly #clock: Clock;
  readonly #trips = new Float64Array(KEPT);
  #count = 0;
  #underWay = 0;
  #busySince: MonotonicMs = 0;
  #busy: DurationMs = 0;
  /** Beginnings of the present window and of the one before. */
  #marks: [Mark, Mark];

  constructor(clock: Clock) {
    this.#clock = clock;
    const mark = { at: clock.now(), busy: 0 };
    this.#marks = [mark, mark];
  }

  /** A request begins. Returns what to call when it has ended; `answered`: its time counts as a round trip. */
  begin(): (answered: boolean) => void {
    const began = this.#clock.now();
    this.#turn(began);
    if (this.#underWay++ === 0) this.#busySince = began;
    return (answered) => {
      const now = this.#clock.now();
      if (answered) this.#trips[this.#count++ % KEPT] = now - began;
      if (--this.#underWay === 0) this.#busy += now - this.#busySince;
      this.#turn(now);
    };
  }

  get metrics(): Record<string, number> {
    const now = this.#clock.now();
    this.#turn(now);
    const sorted = this.#trips.slice(0, Math.min(this.#count, KEPT)).sort();
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    const [, { at: from, busy }] = this.#marks;
    const past = now - from;
    return {
      utilisation: past > 0 ? rounded((this.#busyAt(now) - busy) / past) : 0,
      ...(sorted.length > 0 && { round_trip_p50_ms: rounded(at(0.5)), round_trip_p99_ms: rounded(at(0.99)) }),
    };
  }

  #busyAt(now: MonotonicMs): DurationMs {
    return this.#busy + (this.#underWay > 0 ? now - this.#busySince : 0);
  }

  #turn(now: MonotonicMs): void {
    if (now - this.#marks[0].at < WINDOW_MS) return;
    this.#marks = [{ at: now, busy: this.#busyAt(now) }, this.#marks[0]];
  }
}

interface Mark {
  readonly at: MonotonicMs;
  readonly busy: DurationMs;
}

function rounded(value: number): number {
  return Math.round(1000 * value) / 1000;
}
