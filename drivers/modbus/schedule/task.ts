import type { DurationMs, MonotonicMs } from '../../../src/clock/clock.ts';
import type { DcsError } from '../../../src/errors/errors.ts';
import type { Request } from '../protocol/request.ts';

/** What goes before what, unless something has waited for long. Polling comes after all of these. */
export const lanes = ['write', 'verify', 'demand'] as const;
export type Lane = (typeof lanes)[number];

/** Sends one request over the bus the task holds, as Transport.transact does. */
export type Ask = (request: Request, expiresAt?: MonotonicMs) => Promise<Buffer>;

/** A piece of work on one unit that somebody waits for. It may ask more than once and keeps its place meanwhile. */
export interface Task<Result> {
  readonly lane: Lane;
  readonly unit: number;
  /** A waiting task of the same key is overtaken by this one: it is refused, never sent. */
  readonly key?: string;
  /** Not begun after this, it is refused with EXPIRED. */
  readonly ttlMs: DurationMs;
  work(ask: Ask): Promise<Result>;
}

/** A task in the queue. */
export interface Queued {
  readonly lane: Lane;
  readonly unit: number;
  readonly key: string | undefined;
  readonly queuedAt: MonotonicMs;
  readonly expiresAt: MonotonicMs;
  /** Runs it; settles when it is over, never rejects. */
  run(ask: Ask): Promise<void>;
  refuse(error: DcsError): void;
}
