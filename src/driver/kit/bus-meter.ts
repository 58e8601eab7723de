import type { Clock, DurationMs, MonotonicMs } from '../../clock/clock.ts';

/** Number of round trips that the percentiles are taken from. */
const SAMPLES = 512;
/** The utilisation covers the last one to two of these windows. */
const WINDOW_MS = 10_000;

/** Measures the round-trip times of a bus, and the share of time in which a request is under way. */
export class BusMeter {
  readonly #clock: Clock;
  readonly #roundTrips = new Float64Array(SAMPLES);
  #count = 0;
  #inFlight = 0;
  #busySince: MonotonicMs = 0;
  #busy: DurationMs = 0;
  /** Starts of the present window and of the one before. */
  #windows: [WindowStart, WindowStart];

  constructor(clock: Clock) {
    this.#clock = clock;
    const start = { at: clock.now(), busy: 0 };
    this.#windows = [start, start];
  }

  /** A request begins. Call the returned function at its end; `answered`: its time counts as a round trip. */
  start(): (answered: boolean) => void {
    const began = this.#clock.now();
    this.#rotateWindow(began);
    if (this.#inFlight++ === 0) this.#busySince = began;
    return (answered) => {
      const now = this.#clock.now();
      if (answered) this.#roundTrips[this.#count++ % SAMPLES] = now - began;
      if (--this.#inFlight === 0) this.#busy += now - this.#busySince;
      this.#rotateWindow(now);
    };
  }

  get metrics(): Record<string, number> {
    const now = this.#clock.now();
    this.#rotateWindow(now);
    const sorted = this.#roundTrips.slice(0, Math.min(this.#count, SAMPLES)).sort();
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    const [, { at: from, busy }] = this.#windows;
    const past = now - from;
    return {
      utilisation: past > 0 ? rounded((this.#busyAt(now) - busy) / past) : 0,
      ...(sorted.length > 0 && { round_trip_p50_ms: rounded(at(0.5)), round_trip_p99_ms: rounded(at(0.99)) }),
    };
  }

  #busyAt(now: MonotonicMs): DurationMs {
    return this.#busy + (this.#inFlight > 0 ? now - this.#busySince : 0);
  }

  #rotateWindow(now: MonotonicMs): void {
    if (now - this.#windows[0].at < WINDOW_MS) return;
    this.#windows = [{ at: now, busy: this.#busyAt(now) }, this.#windows[0]];
  }
}

interface WindowStart {
  readonly at: MonotonicMs;
  readonly busy: DurationMs;
}

function rounded(value: number): number {
  return Math.round(1000 * value) / 1000;
}
