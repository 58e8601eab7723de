import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';
import { DcsError } from '../../errors/errors.ts';

/** Lanes in the order of their priority; polling comes after all of them. `demand`: a read that somebody waits for. */
export const lanes = ['write', 'verify', 'demand'] as const;
/** Priority lane of a task. */
export type Lane = (typeof lanes)[number];

/** Sends one request over the bus that the task holds; see BusTransport.transact. */
export type Transact<Request, Reply> = (request: Request, expiresAt?: MonotonicMs) => Promise<Reply>;

/** A piece of work on one unit. It may send several requests and holds its unit meanwhile. */
export interface Task<Result, Request, Reply> {
  readonly lane: Lane;
  readonly unit: number;
  /** A waiting task of the same key is replaced by this one: it is rejected and never sent. */
  readonly key?: string;
  /** A task that has not begun by then is rejected with EXPIRED. */
  readonly ttlMs: DurationMs;
  work(transact: Transact<Request, Reply>): Promise<Result>;
}

/** A task in the queue. */
export interface QueuedTask<Request, Reply> {
  readonly lane: Lane;
  readonly unit: number;
  readonly key: string | undefined;
  readonly queuedAt: MonotonicMs;
  readonly expiresAt: MonotonicMs;
  /** Runs the task; resolves when it is over, never rejects. */
  run(transact: Transact<Request, Reply>): Promise<void>;
  reject(error: DcsError): void;
}

/** A task that has waited for this long goes before all younger ones: no lane starves another. */
const MAX_LANE_WAIT_MS: DurationMs = 1000;

/** The waiting tasks of a bus, in lanes; within a lane in the order they came. */
export class TaskQueue<Request, Reply> {
  readonly #queues: Record<Lane, QueuedTask<Request, Reply>[]> = { write: [], verify: [], demand: [] };

  /** Adds a task. Rejects a waiting task of the same key; returns whether there was one. */
  add(task: QueuedTask<Request, Reply>): boolean {
    const queue = this.#queues[task.lane];
    const at = task.key === undefined ? -1 : queue.findIndex((other) => other.key === task.key);
    const [replaced] = at < 0 ? [] : queue.splice(at, 1);
    replaced?.reject(new DcsError('EXPIRED', 'overtaken by a newer value before it was sent'));
    queue.push(task);
    return replaced !== undefined;
  }

  /** Takes the first task whose unit is free. */
  take(free: (unit: number) => boolean, now: MonotonicMs): QueuedTask<Request, Reply> | undefined {
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

  /** Rejects tasks whose time is up; returns their number. */
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

  all(): QueuedTask<Request, Reply>[] {
    return lanes.flatMap((lane) => this.#queues[lane]);
  }

  /** Rejects all tasks. */
  clear(error: () => DcsError): void {
    for (const lane of lanes) for (const task of this.#queues[lane].splice(0)) task.reject(error());
  }

  #oldest(fits: (task: QueuedTask<Request, Reply>) => boolean): QueuedTask<Request, Reply> | undefined {
    let oldest: QueuedTask<Request, Reply> | undefined;
    for (const lane of lanes)
      for (const task of this.#queues[lane])
        if (fits(task) && (!oldest || task.queuedAt < oldest.queuedAt)) oldest = task;
    return oldest;
  }
}
