import { isNoAnswer } from '../../../drivers/modbus/protocol/exception.ts';
import type { Request } from '../../../drivers/modbus/protocol/request.ts';
import type { Transport } from '../../../drivers/modbus/transport/transport.ts';
import type { Clock, DurationMs, MonotonicMs, Timer } from '../../clock/clock.ts';
import { DcsError, toDcsError } from '../../errors/errors.ts';
import { BusMeter } from './bus-meter.ts';
import type { PollBlock, Poller } from './poller.ts';
import { type QueuedTask, type Task, TaskQueue } from './task-queue.ts';
import { UnitHealth } from './unit-health.ts';

/** Share of the bus's time that units which do not answer may take together while others do. */
const OFFLINE_SHARE = 0.08;
/** After so many tasks in a row a due poll gets its turn. */
const TASKS_IN_A_ROW = 8;

/**
 * The one queue of a physical bus: whatever its units, pins and settings, every request passes here. Tasks go before
 * polls, in lanes; a unit that is being written to, or whose late reply is still to be feared, is passed over and the
 * others go on.
 */
export class Scheduler {
  readonly #transport: Transport;
  readonly #poller: Poller;
  readonly #clock: Clock;
  readonly #count: (name: string, by?: number) => void;
  readonly #queue = new TaskQueue();
  readonly #health = new Map<number, UnitHealth>();
  readonly #meter: BusMeter;
  /** Units held by a task. */
  readonly #held = new Set<number>();
  /** Requests of polls under way, by unit. */
  readonly #polling = new Map<number, number>();
  readonly #answered: (unit: number, back: boolean) => void;
  readonly #measured: (request: Request, tripMs: DurationMs) => void;
  #running = 0;
  #tasksInARow = 0;
  #probesFrom: MonotonicMs = 0;
  #timer: Timer | undefined;
  #closed = false;

  /** `answered`: a unit has given an answer, be it a refusal; `back`: it had been off line. `measured`: how long a request took. */
  constructor(
    transport: Transport,
    poller: Poller,
    clock: Clock,
    count: (name: string, by?: number) => void,
    answered: (unit: number, back: boolean) => void = () => undefined,
    measured: (request: Request, tripMs: DurationMs) => void = () => undefined,
  ) {
    this.#answered = answered;
    this.#measured = measured;
    this.#transport = transport;
    this.#poller = poller;
    this.#clock = clock;
    this.#meter = new BusMeter(clock);
    this.#count = count;
  }

  /** Queues a task. Rejects with what its work rejects with, EXPIRED (never sent) or PORT_DOWN (never sent). */
  submit<Result>(task: Task<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const now = this.#clock.now();
      if (this.#closed) {
        reject(new DcsError('PORT_DOWN', 'the port is closed'));
        return;
      }
      const probeAt = this.#health.get(task.unit)?.probeAt;
      if (probeAt !== undefined && probeAt > now) {
        reject(
          new DcsError(
            'PORT_DOWN',
            `unit ${task.unit} does not answer; it is asked again in ${Math.ceil(probeAt - now)} ms`,
          ),
        );
        return;
      }
      const overtook = this.#queue.add({
        lane: task.lane,
        unit: task.unit,
        key: task.key,
        queuedAt: now,
        expiresAt: now + task.ttlMs,
        run: (ask) => task.work(ask).then(resolve, reject),
        reject: reject,
      });
      if (overtook) this.#count('writes_overtaken');
      this.dispatch();
    });
  }

  get metrics(): Record<string, number> {
    const away = [...this.#health.values()].filter(({ offline }) => offline).length;
    return { ...this.#meter.metrics, units_off_line: away };
  }

  /** Something has changed: starts whatever may go now. */
  dispatch(): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    const now = this.#clock.now();
    const expired = this.#queue.expire(now);
    if (expired > 0) this.#count('tasks_expired', expired);
    while (this.#running < this.#transport.concurrency) {
      const poll = this.#tasksInARow >= TASKS_IN_A_ROW ? this.#nextPoll(now, true) : undefined;
      const task = poll ? undefined : this.#nextTask(now);
      if (task) {
        this.#tasksInARow++;
        void this.#runTask(task);
        continue;
      }
      this.#tasksInARow = 0;
      const block = poll ?? this.#nextPoll(now);
      if (!block) break;
      void this.#runPoll(block);
    }
    this.#armTimer(now);
  }

  /** Refuses what waits, with PORT_DOWN. What is under way is the transport's to reject. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#queue.clear(() => new DcsError('PORT_DOWN', 'the port went down before this was sent'));
  }

  /** A task has its unit to itself: a poll sent before a write must not be answered after it. */
  #nextTask(now: MonotonicMs): QueuedTask | undefined {
    return this.#queue.take((unit) => this.#isFree(unit, now) && !this.#polling.has(unit), now);
  }

  #nextPoll(now: MonotonicMs, first = false): PollBlock | undefined {
    const probe = this.#nextProbe(now);
    if (probe) return probe;
    // A waiting task needs its unit to itself, so polls let the unit become free, unless it is their turn.
    const usable = (unit: number) =>
      this.#isFree(unit, now) && !this.#isOffline(unit) && (first || !this.#queue.hasTaskFor(unit));
    return this.#poller.nextBlock(now, usable, (unit) => this.#transport.ready?.(unit) ?? true);
  }

  #nextProbe(now: MonotonicMs): PollBlock | undefined {
    if (this.#probesFrom > now && this.#anyOnline()) return undefined;
    const due: { readonly unit: number; readonly since: MonotonicMs }[] = [];
    for (const [unit, health] of this.#health) {
      const { probeAt: since } = health;
      if (since === undefined || since > now || !this.#isFree(unit, now) || this.#polling.has(unit)) continue;
      due.push({ unit, since });
    }
    // Who has waited longest goes first: the share of the bus may be too small for all, and must not be one unit's alone.
    due.sort((a, b) => a.since - b.since);
    for (const { unit } of due) {
      const block = this.#poller.probe(unit);
      if (block) return block;
    }
    return undefined;
  }

  #isFree(unit: number, now: MonotonicMs): boolean {
    return !this.#held.has(unit) && this.#transport.freeAt(unit) <= now;
  }

  #isOffline(unit: number): boolean {
    return this.#health.get(unit)?.offline ?? false;
  }

  #anyOnline(): boolean {
    return this.#poller.blocks.some((block) => !this.#isOffline(block.span.unit));
  }

  async #runTask(task: QueuedTask): Promise<void> {
    this.#running++;
    this.#held.add(task.unit);
    await task.run((request, expiresAt) => this.#transact(request, expiresAt));
    this.#held.delete(task.unit);
    this.#running--;
    this.dispatch();
  }

  async #runPoll(block: PollBlock): Promise<void> {
    const { unit } = block.span;
    this.#running++;
    this.#polling.set(unit, (this.#polling.get(unit) ?? 0) + 1);
    this.#poller.markSent(block);
    const began = this.#clock.now();
    const away = this.#isOffline(unit);
    let error: DcsError | undefined;
    try {
      const data = await this.#readWithRetry({ kind: 'read', ...block.span });
      for (const item of block.items) item.deliver(data, item.span.first - block.span.first);
    } catch (thrown) {
      error = toDcsError(thrown);
    }
    this.#running--;
    const left = (this.#polling.get(unit) ?? 1) - 1;
    if (left > 0) this.#polling.set(unit, left);
    else this.#polling.delete(unit);
    if (this.#closed) return;
    const now = this.#clock.now();
    this.#poller.markDone(block, now, error !== undefined, away);
    if (error) this.#pollFailed(block, error, began, now);
    this.dispatch();
  }

  /** A damaged reply is asked for once more: noise passes. */
  async #readWithRetry(request: Request): Promise<Buffer> {
    try {
      return await this.#transact(request);
    } catch (error) {
      const again = error instanceof DcsError && error.code === 'BAD_REPLY' && !this.#closed;
      if (!again || this.#transport.freeAt(request.unit) > this.#clock.now()) throw error;
      return this.#transact(request);
    }
  }

  #pollFailed(block: PollBlock, error: DcsError, began: MonotonicMs, now: MonotonicMs): void {
    if (error.code === 'PORT_DOWN') return;
    if (error.code === 'NO_SUCH_CHANNEL' && this.#poller.split(block, now)) return;
    for (const item of block.items) item.fail(error);
    if (!isNoAnswer(error)) return;
    const { unit } = block.span;
    // What the unit owed meanwhile has waited behind this request: it is as doubtful as what was asked.
    this.#poller.failUnit(unit, error, this.#isOffline(unit) ? Number.POSITIVE_INFINITY : now);
    if (this.#isOffline(unit)) this.#probesFrom = now + (now - began) * (1 / OFFLINE_SHARE - 1);
  }

  /** Every request of this bus goes through here: it is what tells whether a unit is alive. */
  async #transact(request: Request, expiresAt?: MonotonicMs): Promise<Buffer> {
    const ended = this.#meter.start();
    const began = this.#clock.now();
    try {
      const data = await this.#transport.transact(request, expiresAt);
      ended(true);
      this.#measured(request, this.#clock.now() - began);
      this.#noteAnswer(request.unit);
      return data;
    } catch (thrown) {
      const error = toDcsError(thrown);
      // It was not sent: nobody has answered.
      const unsent = error.code === 'PORT_DOWN' || error.code === 'EXPIRED';
      ended(error.code !== 'TIMEOUT' && !unsent);
      if (isNoAnswer(error)) this.#noteSilence(request.unit, error);
      else if (!unsent) this.#noteAnswer(request.unit);
      throw error;
    }
  }

  #noteAnswer(unit: number): void {
    const back = this.#health.get(unit)?.noteAnswer() ?? false;
    this.#answered(unit, back);
    if (!back) return;
    this.#count('units_recovered');
    this.#poller.pollNow(unit, this.#clock.now());
  }

  #noteSilence(unit: number, error: DcsError): void {
    const health = this.#health.get(unit) ?? new UnitHealth();
    this.#health.set(unit, health);
    if (!health.noteSilence(this.#clock.now(), this.#anyOnline())) return;
    this.#count('units_lost');
    // Also when it was a command that found it away: from now on it is only asked when the bus has time for it.
    this.#poller.failUnit(unit, error);
  }

  /** Wakes up when time alone makes something possible. */
  #armTimer(now: MonotonicMs): void {
    if (this.#running >= this.#transport.concurrency) return;
    const moments: MonotonicMs[] = [];
    const due = this.#poller.nextDue(now, (unit) => !this.#isOffline(unit));
    if (due !== undefined) moments.push(due);
    for (const [unit, { probeAt }] of this.#health) {
      if (probeAt !== undefined && this.#poller.probe(unit))
        moments.push(this.#anyOnline() ? Math.max(probeAt, this.#probesFrom) : probeAt);
    }
    for (const { expiresAt, unit } of this.#queue.all()) moments.push(expiresAt, this.#transport.freeAt(unit));
    for (const block of this.#poller.blocks) moments.push(this.#transport.freeAt(block.span.unit));
    const later = moments.filter((moment) => moment > now);
    if (later.length > 0) this.#timer = this.#clock.after(Math.min(...later) - now, () => this.dispatch());
  }
}
