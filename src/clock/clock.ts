// The global `performance` is a getter; every message asks for the time.
import { performance } from 'node:perf_hooks';

declare const unit: unique symbol;

/** Seconds since 1970 (wall clock). Only for the wire: it may jump. */
export type UnixSeconds = number & { readonly [unit]?: 'unix seconds' };
/** Milliseconds of a monotonic clock with an arbitrary zero. For intervals and deadlines. */
export type MonotonicMs = number & { readonly [unit]?: 'monotonic ms' };
/** A length of time in milliseconds. */
export type DurationMs = number & { readonly [unit]?: 'duration ms' };

/** A timer that has been started. `cancel` may be called any number of times. */
export interface Timer {
  cancel(): void;
}

/** The source of all time in the agent. Tests and simulations pass a ManualClock. */
export interface Clock {
  /** Monotonic time: it never jumps and is unrelated to the wall clock. */
  now(): MonotonicMs;
  /** Wall clock, for timestamps that go on the wire. */
  unix(): UnixSeconds;
  /** Calls `action` once after `delay`. The timer does not keep the process alive. */
  after(delay: DurationMs, action: () => void): Timer;
}

/** The clock of the operating system. */
export const systemClock: Clock = {
  now: () => performance.now(),
  unix: () => Date.now() / 1000,
  after(delay, action) {
    if (delay > LONGEST_MS) return afterLong(delay, action);
    const handle = setTimeout(action, delay);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Node.js fires a timer of more than this (24.8 days) at once. */
const LONGEST_MS: DurationMs = 2 ** 31 - 1;

function afterLong(delay: DurationMs, action: () => void): Timer {
  let timer = systemClock.after(LONGEST_MS, () => {
    timer = systemClock.after(delay - LONGEST_MS, action);
  });
  return { cancel: () => timer.cancel() };
}

/** Resolves after `delay` of the given clock. */
export function sleep(clock: Clock, delay: DurationMs): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delay, resolve);
  });
}

/**
 * Settles as `work` does, or rejects with `onTimeout()` once `limit` has passed. The work itself continues; the caller must
 * be able to end it.
 */
export function withDeadline<T>(clock: Clock, limit: DurationMs, work: Promise<T>, onTimeout: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(limit, () => reject(onTimeout()));
    work.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}
