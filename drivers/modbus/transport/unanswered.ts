import type { DurationMs, MonotonicMs } from '../../../src/clock/clock.ts';
import type { Request } from '../protocol/request.ts';

/** How long after a timeout the reply is still reckoned with, in timeouts; the longest lateness seen counts too. */
const TIMEOUTS = 3;
const MAX_TIMEOUTS = 10;

interface Entry {
  readonly request: Request;
  readonly expiredAt: MonotonicMs;
  readonly until: MonotonicMs;
}

/**
 * The requests of a serial bus that were given up, at most one a unit. RTU frames carry no number: while such a reply
 * may still come, the unit must not be asked anything, or the late reply would be taken for the new one.
 */
export class Unanswered {
  readonly #entries = new Map<number, Entry>();
  #longestLateMs: DurationMs = 0;

  add(request: Request, now: MonotonicMs, timeoutMs: DurationMs): void {
    const quarantine = Math.max(TIMEOUTS * timeoutMs, Math.min(1.5 * this.#longestLateMs, MAX_TIMEOUTS * timeoutMs));
    this.#entries.set(request.unit, { request, expiredAt: now, until: now + quarantine });
  }

  /** When the unit may be asked again. */
  freeAt(unit: number): MonotonicMs {
    return this.#entries.get(unit)?.until ?? 0;
  }

  /** Requests whose late reply can be told from the reply to `pending`, because it is of another unit. */
  recognisable(pending: Request | undefined): Request[] {
    return [...this.#entries.values()].map(({ request }) => request).filter(({ unit }) => unit !== pending?.unit);
  }

  /** The late reply has come. */
  seen(request: Request, now: MonotonicMs): void {
    const entry = this.#entries.get(request.unit);
    if (!entry) return;
    this.#longestLateMs = Math.max(this.#longestLateMs, now - entry.expiredAt);
    this.#entries.delete(request.unit);
  }
}
