import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { Log } from '../driver/driver.ts';

const TICK_MS: DurationMs = 100;
/** Late by so much, edges are still kept by the kernel, but answers and pulses are felt to be late. */
const LATE_MS: DurationMs = 100;
/** Late by so much, something is wrong with an actor or the machine. */
const BAD_MS: DurationMs = 500;
/** The worst delay is told of this time. */
const WINDOW_MS: DurationMs = 60_000;
/** A machine that is always late does not fill the log. */
const LOG_AGAIN_MS: DurationMs = 10_000;

export interface LoopStats {
  /** Longest delay of the last one to two minutes (ms). */
  readonly delay_max_ms: number;
  /** Delays of 100 ms and more since the start. */
  readonly delays: number;
}

/** Watches how late timers come: how long the event loop was kept by one piece of work, or the process by the machine. */
export class LoopWatch {
  readonly #clock: Clock;
  readonly #log: Log;
  #timer: Timer | undefined;
  #delays = 0;
  #worst: DurationMs = 0;
  #worstBefore: DurationMs = 0;
  #windowEnd: MonotonicMs = 0;
  #quietUntil: MonotonicMs = 0;
  #untold = 0;
  #told: DurationMs = 0;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  start(): void {
    this.#windowEnd = this.#clock.now() + WINDOW_MS;
    this.#tick();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  get stats(): LoopStats {
    return { delay_max_ms: Math.round(Math.max(this.#worst, this.#worstBefore)), delays: this.#delays };
  }

  #tick(): void {
    const due = this.#clock.now() + TICK_MS;
    this.#timer = this.#clock.after(TICK_MS, () => {
      const now = this.#clock.now();
      this.#note(now - due, now);
      this.#tick();
    });
  }

  #note(late: DurationMs, now: MonotonicMs): void {
    if (now >= this.#windowEnd) {
      this.#worstBefore = this.#worst;
      this.#worst = 0;
      this.#windowEnd = now + WINDOW_MS;
    }
    this.#worst = Math.max(this.#worst, late);
    if (late < LATE_MS) return;
    this.#delays++;
    if (late < BAD_MS) return;
    // One that is far worse than the last one told is told at once.
    if (now < this.#quietUntil && late < 2 * this.#told) {
      this.#untold++;
      return;
    }
    const detail = { delayMs: Math.round(late), ...(this.#untold > 0 && { untold: this.#untold }) };
    this.#log.warn(
      detail,
      `everything was held up for ${Math.round(late)} ms: an actor that computes, or a busy machine`,
    );
    this.#quietUntil = now + LOG_AGAIN_MS;
    this.#told = late;
    this.#untold = 0;
  }
}
