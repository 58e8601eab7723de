import type { DurationMs, MonotonicMs } from '../clock/clock.ts';
import type { DcsError } from '../errors/errors.ts';

const FIRST_BACKOFF_MS: DurationMs = 100;
const MAX_BACKOFF_MS: DurationMs = 3000;
/** A port that has been open for so long is well again: one that comes and goes is not tried in quick succession. */
const STABLE_AFTER_MS: DurationMs = 10_000;
/** Defects (INTERNAL) in a row after which a port is given up. Hardware that is away is tried for ever. */
const MAX_DEFECTS = 10;

/** When a port that went down is opened again. */
export class ReopenBackoff {
  readonly #maxMs: DurationMs;
  #backoff: DurationMs = FIRST_BACKOFF_MS;
  #defects = 0;
  #openedAt: MonotonicMs | undefined;

  /** `maxMs`: the longest pause. */
  constructor(maxMs: DurationMs = MAX_BACKOFF_MS) {
    this.#maxMs = maxMs;
  }

  onOpened(now: MonotonicMs): void {
    this.#openedAt = now;
  }

  /** How long to wait before the port is tried again. Undefined: it keeps failing by a defect of its own. */
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
