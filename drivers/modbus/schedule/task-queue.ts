import type { DurationMs, MonotonicMs } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { type Lane, lanes, type Queued } from './task.ts';

/** A task that has waited for this long goes before all younger ones: no lane starves another. */
const LONG_MS: DurationMs = 1000;

/** The tasks that wait, in lanes; within a lane in the order they came. */
export class TaskQueue {
  readonly #queues: Record<Lane, Queued[]> = { write: [], verify: [], demand: [] };

  /** Adds a task. One of the same key that still waits is refused; returns whether there was one. */
  add(task: Queued): boolean {
    const queue = this.#queues[task.lane];
    const at = task.key === undefined ? -1 : queue.findIndex((other) => other.key === task.key);
    const [overtaken] = at < 0 ? [] : queue.splice(at, 1);
    overtaken?.refuse(new DcsError('EXPIRED', 'overtaken by a newer value before it was sent'));
    queue.push(task);
    return overtaken !== undefined;
  }

  /** Takes the first task whose unit is free. */
  take(free: (unit: number) => boolean, now: MonotonicMs): Queued | undefined {
    const oldest = this.#oldest((task) => now - task.queuedAt >= LONG_MS && free(task.unit));
    if (oldest) {
      const queue = this.#queues[oldest.lane];
      return queue.splice(queue.indexOf(oldest), 1)[0];
    }
    for (const lane of lanes) {
      const queue = this.#queues[lane];
      const at = queue.findIndex(({ unit }) => free(unit));
      if (at >= 0) return queue.splice(at, 1)[0];
    }
    return undefined;
  }

  /** Refuses what has waited too long; returns how many that were. */
  expire(now: MonotonicMs): number {
    const late = this.all().filter(({ expiresAt }) => expiresAt <= now);
    if (late.length === 0) return 0;
    for (const lane of lanes) this.#queues[lane] = this.#queues[lane].filter(({ expiresAt }) => expiresAt > now);
    for (const task of late)
      task.refuse(new DcsError('EXPIRED', 'the bus had no room for it in time; nothing was sent'));
    return late.length;
  }

  wants(unit: number): boolean {
    return lanes.some((lane) => this.#queues[lane].some((task) => task.unit === unit));
  }

  #oldest(fits: (task: Queued) => boolean): Queued | undefined {
    let oldest: Queued | undefined;
    for (const lane of lanes)
      for (const task of this.#queues[lane])
        if (fits(task) && (!oldest || task.queuedAt < oldest.queuedAt)) oldest = task;
    return oldest;
  }

  all(): Queued[] {
    return lanes.flatMap((lane) => this.#queues[lane]);
  }

  /** Refuses everything. */
  clear(error: () => DcsError): void {
    for (const lane of lanes) for (const task of this.#queues[lane].splice(0)) task.refuse(error());
  }
}
