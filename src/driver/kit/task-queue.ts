import type { Request } from '../../../drivers/modbus/protocol/request.ts';
import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';
import { DcsError } from '../../errors/errors.ts';

/** What goes before what, unless something has waited for long. Polling comes after all of these. */
export const lanes = ['write', 'verify', 'demand'] as const;
export type Lane = (typeof lanes)[number];

/** Sends one request over the bus the task holds, as Transport.transact does. */
export type Transact = (request: Request, expiresAt?: MonotonicMs) => Promise<Buffer>;

/** A piece of work on one unit that somebody waits for. It may ask more than once and keeps its place meanwhile. */
export interface Task<Result> {
  readonly lane: Lane;
  readonly unit: number;
  /** A waiting task of the same key is overtaken by this one: it is refused, never sent. */
  readonly key?: string;
  /** Not begun after this, it is refused with EXPIRED. */
  readonly ttlMs: DurationMs;
  work(ask: Transact): Promise<Result>;
}

/** A task in the queue. */
export interface QueuedTask {
  readonly lane: Lane;
  readonly unit: number;
  readonly key: string | undefined;
  readonly queuedAt: MonotonicMs;
  readonly expiresAt: MonotonicMs;
  /** Runs it; settles when it is over, never rejects. */
  run(ask: Transact): Promise<void>;
  reject(error: DcsError): void;
}

/** A task that has waited for this long goes before all younger ones: no lane starves another. */
const MAX_LANE_WAIT_MS: DurationMs = 1000;

/** The tasks that wait, in lanes; within a lane in the order they came. */
export class TaskQueue {
  readonly #queues: Record<Lane, QueuedTask[]> = { write: [], verify: [], demand: [] };

  /** Adds a task. One of the same key that still waits is refused; returns whether there was one. */
  add(task: QueuedTask): boolean {
    const queue = this.#queues[task.lane];
    const at = task.key === undefined ? -1 : queue.findIndex((other) => other.key === task.key);
    const [overtaken] = at < 0 ? [] : queue.splice(at, 1);
    overtaken?.reject(new DcsError('EXPIRED', 'overtaken by a newer value before it was sent'));
    queue.push(task);
    return overtaken !== undefined;
  }

  /** Takes the first task whose unit is free. */
  take(free: (unit: number) => boolean, now: MonotonicMs): QueuedTask | undefined {
    const oldest = this.#oldest((task) => now - task.queuedAt >= MAX_LANE_WAIT_MS && free(task.unit));
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
      task.reject(new DcsError('EXPIRED', 'the bus had no room for it in time; nothing was sent'));
    return late.length;
  }

  hasTaskFor(unit: number): boolean {
    return lanes.some((lane) => this.#queues[lane].some((task) => task.unit === unit));
  }

  #oldest(fits: (task: QueuedTask) => boolean): QueuedTask | undefined {
    let oldest: QueuedTask | undefined;
    for (const lane of lanes)
      for (const task of this.#queues[lane])
        if (fits(task) && (!oldest || task.queuedAt < oldest.queuedAt)) oldest = task;
    return oldest;
  }

  all(): QueuedTask[] {
    return lanes.flatMap((lane) => this.#queues[lane]);
  }

  /** Refuses everything. */
  clear(error: () => DcsError): void {
    for (const lane of lanes) for (const task of this.#queues[lane].splice(0)) task.reject(error());
  }
}
