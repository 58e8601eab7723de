import type { DurationMs, MonotonicMs } from '../clock/clock.ts';

/** How long one smallest offset counts (ms): clocks of two machines drift apart by up to 100 µs a second. */
const WINDOW_MS = 30_000;

/**
 * How long messages were on the way, without comparing the wall clocks of two machines: each carries its sender's
 * monotonic time, and whatever a message took longer than the fastest of the last minute, it waited somewhere.
 */
export class Transit {
  #recent = Number.POSITIVE_INFINITY;
  #before = Number.POSITIVE_INFINITY;
  #since: MonotonicMs = 0;

  /** Notes a message sent at `sent` (the sender's clock) and read at `now` (ours). Returns how long it waited. */
  waited(sent: MonotonicMs, now: MonotonicMs): DurationMs {
    const offset = now - sent;
    if (now - this.#since > WINDOW_MS) {
      this.#before = this.#recent;
      this.#recent = Number.POSITIVE_INFINITY;
      this.#since = now;
    }
    this.#recent = Math.min(this.#recent, offset);
    return offset - Math.min(this.#recent, this.#before);
  }
}
