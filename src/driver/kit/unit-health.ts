import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';

/** A unit is off line after this many requests in a row without an answer. */
const OFFLINE_AFTER = 2;
const FIRST_PROBE_MS = 500;
/** Longest wait between two probes while other units of the bus answer, and while none does. */
const MAX_PROBE_WAIT_SHARED_MS = 10_000;
const MAX_PROBE_WAIT_ALONE_MS = 2_000;

/**
 * Knows whether one unit of a bus answers. An off-line unit is only probed, with a wait that doubles each time, so that it
 * costs the other units little.
 */
export class UnitHealth {
  #misses = 0;
  #wait: DurationMs = FIRST_PROBE_MS;
  #probeAt: MonotonicMs | undefined;

  get offline(): boolean {
    return this.#probeAt !== undefined;
  }

  /** When an off-line unit may be asked again; `undefined` while it is on line. */
  get probeAt(): MonotonicMs | undefined {
    return this.#probeAt;
  }

  /** The unit has answered; a refusal is an answer too. Returns whether it was off line until now. */
  noteAnswer(): boolean {
    const was = this.offline;
    this.#misses = 0;
    this.#wait = FIRST_PROBE_MS;
    this.#probeAt = undefined;
    return was;
  }

  /** The unit has not answered. `shared`: other units of the bus do. Returns whether it has just gone off line. */
  noteSilence(now: MonotonicMs, shared: boolean): boolean {
    this.#misses++;
    if (this.#misses < OFFLINE_AFTER) return false;
    const was = this.offline;
    this.#wait = Math.min(this.#wait * (was ? 2 : 1), shared ? MAX_PROBE_WAIT_SHARED_MS : MAX_PROBE_WAIT_ALONE_MS);
    this.#probeAt = now + this.#wait;
    return !was;
  }
}
