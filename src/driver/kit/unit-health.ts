import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';

const FIRST_PROBE_MS = 500;
/** Longest wait between two probes while other units of the bus answer, and while none does. */
const MAX_PROBE_WAIT_SHARED_MS = 10_000;
const MAX_PROBE_WAIT_ALONE_MS = 2_000;

/** How much silence of a unit is a loss. */
export interface LossLimits {
  /** How often a poll is repeated at once that got no answer or a damaged one. */
  readonly retries: number;
  /** The unit is off line after this many requests in a row without an answer. */
  readonly misses: number;
  /** Requests that begin less than this apart count as one. */
  readonly missMs: DurationMs;
}

/** Limits of a bus that declares none. */
export const DEFAULT_LOSS: LossLimits = { retries: 1, misses: 2, missMs: 0 };

/**
 * Knows whether one unit of a bus answers. An off-line unit is only probed, with a wait that doubles each time, so that it
 * costs the other units little.
 */
export class UnitHealth {
  readonly #limits: LossLimits;
  #misses = 0;
  /** Beginning of the last request that counted as a miss, and the time at which its answer was given up. */
  #lastMiss: { readonly began: MonotonicMs; readonly ended: MonotonicMs } | undefined;
  #wait: DurationMs = FIRST_PROBE_MS;
  #probeAt: MonotonicMs | undefined;
  #answeredAt: MonotonicMs | undefined;

  constructor(limits: LossLimits = DEFAULT_LOSS) {
    this.#limits = limits;
  }

  get offline(): boolean {
    return this.#probeAt !== undefined;
  }

  /** Number of requests in a row without an answer. */
  get misses(): number {
    return this.#misses;
  }

  /** When an off-line unit may be asked again; `undefined` while it is on line. */
  get probeAt(): MonotonicMs | undefined {
    return this.#probeAt;
  }

  /** When it answered last; `undefined`: not since its first silence. */
  get answeredAt(): MonotonicMs | undefined {
    return this.#answeredAt;
  }

  /** The unit has answered; a refusal is an answer too. Returns whether it was off line until now. */
  noteAnswer(now?: MonotonicMs): boolean {
    const was = this.offline;
    this.#answeredAt = now ?? this.#answeredAt;
    this.#misses = 0;
    this.#lastMiss = undefined;
    this.#wait = FIRST_PROBE_MS;
    this.#probeAt = undefined;
    return was;
  }

  /**
   * The unit has not answered a request that began at `began`. `shared`: other units of the bus answer. Returns whether it has
   * just gone off line.
   */
  noteSilence(now: MonotonicMs, shared: boolean, began = now): boolean {
    const last = this.#lastMiss;
    // Requests under way together, and errors of a gateway in quick succession, show one silence and not several.
    const soon = last && !this.offline && began < last.began + this.#limits.missMs;
    if (soon || (last && began < last.ended)) return false;
    this.#lastMiss = { began, ended: now };
    this.#misses++;
    if (this.#misses < this.#limits.misses) return false;
    const was = this.offline;
    this.#wait = Math.min(this.#wait * (was ? 2 : 1), shared ? MAX_PROBE_WAIT_SHARED_MS : MAX_PROBE_WAIT_ALONE_MS);
    this.#probeAt = now + this.#wait;
    return !was;
  }
}
