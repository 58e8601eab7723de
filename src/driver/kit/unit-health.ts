import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';

/** Requests in a row without any answer after which a unit counts as off line. */
const OFFLINE_AFTER = 2;
const FIRST_PROBE_MS = 500;
/** Longest wait between two probes while other units of the bus are alive, and while there are none. */
const MAX_PROBE_WAIT_SHARED_MS = 10_000;
const MAX_PROBE_WAIT_ALONE_MS = 2_000;

/**
 * Whether one unit answers. A unit that does not is left alone but for a probe now and then, ever rarer, so that it
 * costs the others little.
 */
export class UnitHealth {
  #misses = 0;
  #wait: DurationMs = FIRST_PROBE_MS;
  #probeAt: MonotonicMs | undefined;

  get offline(): boolean {
    return this.#probeAt !== undefined;
  }

  /** When an off-line unit may be asked again. */
  get probeAt(): MonotonicMs | undefined {
    return this.#probeAt;
  }

  /** It has answered, be it with an exception. Returns whether it was off line until now. */
  noteAnswer(): boolean {
    const was = this.offline;
    this.#misses = 0;
    this.#wait = FIRST_PROBE_MS;
    this.#probeAt = undefined;
    return was;
  }

  /** It has not answered. Returns whether it is off line from now on and was not before. */
  noteSilence(now: MonotonicMs, shared: boolean): boolean {
    this.#misses++;
    if (this.#misses < OFFLINE_AFTER) return false;
    const was = this.offline;
    this.#wait = Math.min(this.#wait * (was ? 2 : 1), shared ? MAX_PROBE_WAIT_SHARED_MS : MAX_PROBE_WAIT_ALONE_MS);
    this.#probeAt = now + this.#wait;
    return !was;
  }
}
