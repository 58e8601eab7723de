import type { DurationMs } from '../../../src/clock/clock.ts';
import { readTime, USUAL_SLAVE_MS } from '../bus-time.ts';
import type { Request } from '../protocol/request.ts';
import type { LineTiming } from '../transport/line-timing.ts';

/** Round trips an estimate is made of; their median, so that a few odd ones do not count. */
const SAMPLES = 16;
/** A new plan is worth its while when the estimate has moved by this share, and by this time. */
const MOVED_SHARE = 0.15;
const MOVED_MS = 0.3;

/**
 * How long each unit thinks, learned from the reads on a serial line: what a round trip takes beyond its characters and
 * silences. Delays of adapter and operating system are in it, as they should: a request saved saves them too.
 */
export class SlaveTimes {
  readonly #timing: (unit: number) => LineTiming;
  readonly #samples = new Map<number, number[]>();
  readonly #learned = new Map<number, DurationMs>();

  constructor(timing: (unit: number) => LineTiming) {
    this.#timing = timing;
  }

  of(unit: number): DurationMs {
    return this.#learned.get(unit) ?? USUAL_SLAVE_MS;
  }

  /** A request was answered. Returns whether the unit's time is now known to be another, so that plans may change. */
  note(request: Request, tripMs: DurationMs): boolean {
    if (request.kind !== 'read' || request.unit === 0) return false;
    const { unit } = request;
    const samples = this.#samples.get(unit) ?? [];
    this.#samples.set(unit, samples);
    samples.push(Math.max(0, tripMs - readTime(request, this.#timing(unit), 0)));
    if (samples.length < SAMPLES) return false;
    const found = samples.sort((a, b) => a - b)[SAMPLES >> 1] ?? 0;
    this.#samples.delete(unit);
    const before = this.of(unit);
    if (Math.abs(found - before) <= Math.max(MOVED_MS, MOVED_SHARE * before)) return false;
    this.#learned.set(unit, found);
    return true;
  }
}
