import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';
import { DcsError, type ErrorCode } from '../../errors/errors.ts';

/** Ages at which a value that is read periodically is uncertain, then bad: counted from when its next read was due. */
export interface AgeLimits {
  readonly periodMs: DurationMs;
  readonly uncertainMs: DurationMs;
  readonly badMs: DurationMs;
}

/** What the age of a value says about it. */
export type AgeVerdict =
  | { readonly quality: 'good'; readonly next: MonotonicMs }
  | { readonly quality: 'uncertain'; readonly reason: string; readonly next: MonotonicMs }
  | { readonly quality: 'bad'; readonly error: DcsError };

/** The age of one value: a lost reply makes nothing bad, a value that is not confirmed for too long does. */
export class ValueAge {
  readonly #name: string;
  readonly #limits: AgeLimits;
  #confirmedAt: MonotonicMs | undefined;
  /** Why the last read brought no value. */
  #error: DcsError | undefined;

  /** `name`: what is read, for people. */
  constructor(name: string, limits: AgeLimits) {
    this.#name = name;
    this.#limits = limits;
  }

  /** Whether there has been a value. */
  get known(): boolean {
    return this.#confirmedAt !== undefined;
  }

  /** The device has given or taken the value. */
  confirm(now: MonotonicMs): void {
    this.#confirmedAt = now;
    this.#error = undefined;
  }

  /** A read of the value got no answer. */
  miss(error: DcsError): void {
    this.#error = error;
  }

  /** `undefined` before the first value. `next`: the age says something else from then on. */
  verdict(now: MonotonicMs): AgeVerdict | undefined {
    if (this.#confirmedAt === undefined) return undefined;
    const { periodMs, uncertainMs, badMs } = this.#limits;
    const due = this.#confirmedAt + periodMs;
    if (now < due + Math.min(uncertainMs, badMs)) return { quality: 'good', next: due + Math.min(uncertainMs, badMs) };
    const age = ((now - this.#confirmedAt) / 1000).toFixed(1);
    const code: ErrorCode = this.#error?.code ?? 'TIMEOUT';
    const why = this.#error?.message ?? `${this.#name}: its turn to be read has not come`;
    const reason = `${why}; the value is ${age} s old`;
    if (now < due + badMs) return { quality: 'uncertain', reason, next: due + badMs };
    return { quality: 'bad', error: new DcsError(code, reason, { cause: this.#error }) };
  }
}
