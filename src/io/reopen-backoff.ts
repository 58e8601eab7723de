import type { DurationMs, MonotonicMs } from '../clock/clock.ts';
import type { DcsError } from '../errors/errors.ts';

const FIRST_BACKOFF_MS: DurationMs = 100;
const MAX_BACKOFF_MS: DurationMs = 3000;
/** A port that was open for so long counts as stable, and its backoff starts over. */
const STABLE_AFTER_MS: DurationMs = 10_000;
/** Number of INTERNAL errors in a row after which a port is abandoned. Absent hardware is retried for ever. */
const MAX_DEFECTS = 10;

/** Computes when a port that went down is opened again. */
export class ReopenBackoff {
  readonly #maxMs: DurationMs;
  #backoff: DurationMs = FIRST_BACKOFF_MS;
  #defects = 0;
  #openedAt: MonotonicMs | undefined;

  /** `maxMs`: longest delay. */
  constructor(maxMs: DurationMs = MAX_BACKOFF_MS) {
    this.#maxMs = maxMs;
  }

  onOpened(now: MonotonicMs): void {
    this.#openedAt = now;
  }

  /** Returns the delay before the next attempt. `undefined` when the driver keeps failing by a defect. */
  onFailed(error: DcsError, now: MonotonicMs): DurationMs | undefined {
    const wasWell = this.#openedAt !== undefined && now - this.#openedAt >= STABLE_AFTER_MS;
    this.#openedAt = undefined;
    if (wasWell) this.#backoff = FIRST_BACKOFF_MS;
    this.#defects = error.code === 'INTERNAL' ? (wasWell ? 1 : this.#defects + 1) : 0;
    if (this.#defects >= MAX_DEFECTS) return undefined;
    const wait = this.#backoff;
    this.#backoff = Math.min(this.#backoff * 2, this.#maxMs);
    return wait;
  }
}
