import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';

/** How often the histogram looks; it cannot see a delay shorter than this. */
const RESOLUTION_MS: DurationMs = 20;
const WINDOW_MS: DurationMs = 10_000;

export interface Delay {
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

/** How late the event loop comes to its timers: the last 10 s, so that a bad moment is seen and then forgotten. */
export class LoopDelay {
  readonly #clock: Clock;
  readonly #histogram: IntervalHistogram;
  #last: Delay = { p50_ms: 0, p99_ms: 0, max_ms: 0 };
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  }

  start(): void {
    this.#histogram.enable();
    this.#turn();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#histogram.disable();
  }

  /** The worse of the last whole window and the one that runs. */
  get delay(): Delay {
    const now = this.#read();
    return {
      p50_ms: Math.max(now.p50_ms, this.#last.p50_ms),
      p99_ms: Math.max(now.p99_ms, this.#last.p99_ms),
      max_ms: Math.max(now.max_ms, this.#last.max_ms),
    };
  }

  #turn(): void {
    this.#timer = this.#clock.after(WINDOW_MS, () => {
      this.#last = this.#read();
      this.#histogram.reset();
      this.#turn();
    });
  }

  #read(): Delay {
    const histogram = this.#histogram;
    if (histogram.count === 0) return { p50_ms: 0, p99_ms: 0, max_ms: 0 };
    // It measures the time between two looks; what is above the resolution is the delay.
    const late = (ns: number) => Math.round(Math.max(0, ns / 1e6 - RESOLUTION_MS) * 1000) / 1000;
    return {
      p50_ms: late(histogram.percentile(50)),
      p99_ms: late(histogram.percentile(99)),
      max_ms: late(histogram.max),
    };
  }
}
