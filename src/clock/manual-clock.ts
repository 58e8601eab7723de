import type { Clock, DurationMs, MonotonicMs, Timer, UnixSeconds } from './clock.ts';

interface Pending {
  due: MonotonicMs;
  order: number;
  action: () => void;
}

/** A clock that moves only when told to, so that tests and simulations never sleep. */
export class ManualClock implements Clock {
  #now: MonotonicMs = 0;
  #unix: UnixSeconds;
  #order = 0;
  #pending: Pending[] = [];

  constructor(unix: UnixSeconds = 1_800_000_000) {
    this.#unix = unix;
  }

  now(): MonotonicMs {
    return this.#now;
  }

  unix(): UnixSeconds {
    return this.#unix;
  }

  after(delay: DurationMs, action: () => void): Timer {
    const entry: Pending = { due: this.#now + Math.max(0, delay), order: this.#order++, action };
    this.#pending.push(entry);
    return {
      cancel: () => {
        this.#pending = this.#pending.filter((other) => other !== entry);
      },
    };
  }

  /** Number of timers that have not fired. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Moves time on, firing due timers in order; promises settle between two timers. */
  async advance(by: DurationMs): Promise<void> {
    const end = this.#now + by;
    await settle();
    for (;;) {
      const next = this.#earliest(end);
      if (next === undefined) break;
      this.#pending = this.#pending.filter((other) => other !== next);
      this.#move(next.due);
      next.action();
      await settle();
    }
    this.#move(end);
  }

  /** Makes the wall clock jump, as NTP or a person would; monotonic time and timers do not notice. */
  jump(by: UnixSeconds): void {
    this.#unix += by;
  }

  #move(to: MonotonicMs): void {
    this.#unix += (to - this.#now) / 1000;
    this.#now = to;
  }

  #earliest(end: MonotonicMs): Pending | undefined {
    let best: Pending | undefined;
    for (const entry of this.#pending) {
      if (entry.due > end) continue;
      if (!best || entry.due < best.due || (entry.due === best.due && entry.order < best.order)) best = entry;
    }
    return best;
  }
}

/** Lets everything that is ready in the microtask queue and the immediate queue run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
