import type { DurationMs, UnixSeconds } from '../../clock/clock.ts';
import type { PinValue } from '../../message/payloads.ts';

/** Most changes of one pin that are kept: 32 kB. */
export const MAX_POINTS = 2000;
const FIRST_SIZE = 32;

/** Times (unix seconds) and values from then on; null: nobody knew. */
export interface Trend {
  readonly t: number[];
  readonly v: (number | null)[];
}

/** How one pin's value changed, in a ring: the oldest goes when it is full or too old. */
export class History {
  readonly #keepMs: DurationMs;
  #times = new Float64Array(FIRST_SIZE);
  #values = new Float64Array(FIRST_SIZE);
  #first = 0;
  #count = 0;

  constructor(keepMs: DurationMs) {
    this.#keepMs = keepMs;
  }

  /** Notes a value, or that it is not known (undefined); the same as before is no change. Text has no trend. */
  note(at: UnixSeconds, val: PinValue | undefined): void {
    const value = typeof val === 'boolean' ? Number(val) : typeof val === 'number' ? val : Number.NaN;
    if (Object.is(value, this.#values[this.#index(this.#count - 1)]) && this.#count > 0) return;
    if (this.#count === 0 && Number.isNaN(value)) return;
    if (this.#count === this.#times.length) this.#makeRoom();
    const end = this.#index(this.#count);
    this.#times[end] = at;
    this.#values[end] = value;
    this.#count++;
    // The one before the first within reach still says what was at its beginning.
    while (this.#count > 1 && (this.#times[this.#index(1)] ?? at) < at - this.#keepMs / 1000) this.#drop();
  }

  /** What there is since `from` (unix seconds), beginning with the value that stood then. */
  since(from: UnixSeconds): Trend {
    const trend: Trend = { t: [], v: [] };
    for (let at = 0; at < this.#count; at++) {
      const next = at + 1 < this.#count ? this.#times[this.#index(at + 1)] : undefined;
      if (next !== undefined && next < from) continue;
      const value = this.#values[this.#index(at)] ?? Number.NaN;
      trend.t.push(Math.max(from, this.#times[this.#index(at)] ?? 0));
      trend.v.push(Number.isNaN(value) ? null : value);
    }
    return trend;
  }

  #index(at: number): number {
    return (this.#first + at) % this.#times.length;
  }

  #drop(): void {
    this.#first = this.#index(1);
    this.#count--;
  }

  #makeRoom(): void {
    if (this.#count >= MAX_POINTS) {
      this.#drop();
      return;
    }
    const size = Math.min(MAX_POINTS, this.#times.length * 2);
    const [times, values] = [new Float64Array(size), new Float64Array(size)];
    for (let at = 0; at < this.#count; at++) {
      times[at] = this.#times[this.#index(at)] ?? 0;
      values[at] = this.#values[this.#index(at)] ?? Number.NaN;
    }
    this.#times = times;
    this.#values = values;
    this.#first = 0;
  }
}
