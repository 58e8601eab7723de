import type { Clock, DurationMs, MonotonicMs, Timer } from '../../clock/clock.ts';
import { DcsError, toDcsError } from '../../errors/errors.ts';
import type { Span } from './block-planner.ts';
import { BusMeter } from './bus-meter.ts';
import type { PollBlock, PolledItem, Poller } from './poller.ts';
import { type QueuedTask, type Task, TaskQueue } from './task-queue.ts';
import { DEFAULT_LOSS, type LossLimits, UnitHealth } from './unit-health.ts';

/** Share of the bus's time that off-line units may take together while other units answer. */
const OFFLINE_SHARE = 0.08;
/** A unit is in doubt after this many requests in a row without an answer: a single one may be lost on any line. */
const DOUBT_AFTER = 2;
/** Share of the bus's time that units in doubt may take together while others answer. */
const DOUBT_SHARE = 0.5;
/** After this many tasks in a row a due poll gets its turn. */
const TASKS_IN_A_ROW = 8;

/**
 * Carries one request to its reply, or to the reason why there is none. A reply that is late, foreign or corrupt never
 * becomes the result: it is counted and dropped.
 */
export interface BusTransport<Request, Reply> {
  /** Most requests under way at once. */
  readonly concurrency: number;
  /**
   * Sends a request that is not expired and resolves with its reply. The caller keeps to `concurrency` and `freeAt`.
   * Rejects with TIMEOUT or NO_DEVICE (no answer), BAD_REPLY (damaged), PORT_DOWN or EXPIRED (not sent), or with the
   * device's refusal; NO_SUCH_CHANNEL refuses an address.
   */
  transact(request: Request, expiresAt?: MonotonicMs): Promise<Reply>;
  /** When `unit` may be asked next: later than now while its late reply could be taken for the reply to another request. */
  freeAt(unit: number): MonotonicMs;
  /** Whether the line is set up for this unit. `undefined`: it always is. */
  ready?(unit: number): boolean;
}

/** Parts of the bus that a scheduler works with. */
export interface SchedulerOptions<Request, Reply, Where extends Span> {
  readonly transport: BusTransport<Request, Reply>;
  readonly poller: Poller<Where, Reply>;
  readonly clock: Clock;
  count(name: string, by?: number): void;
  /** The request that reads a span for these items. */
  readRequest(span: Where, items: readonly PolledItem<Where, Reply>[]): Request;
  /** How much silence of a unit is a loss; DEFAULT_LOSS for a bus that does not say. */
  loss?(unit: number): LossLimits;
  /** Whether a request may be sent again at once, because it changes nothing. */
  repeatable?(request: Request): boolean;
  /** Whether a read that was refused may be accepted in parts; when `undefined`, after NO_SUCH_CHANNEL. */
  divisible?(error: DcsError): boolean;
  /** A unit has answered, be it with a refusal. `wasOffline`: it had been off line. */
  onAnswer?(unit: number, wasOffline: boolean): void;
  /** A request to a unit got no answer. */
  onSilence?(unit: number): void;
  /** A request was answered after this time. */
  onRoundTrip?(request: Request, tripMs: DurationMs): void;
}

/**
 * The one queue of a physical bus: every request passes here. Tasks go before polls, in lanes. A unit that is held by a
 * task, or whose late reply may still come, is passed over and the other units go on.
 */
export class Scheduler<Request extends { readonly unit: number }, Reply, Where extends Span> {
  readonly #options: SchedulerOptions<Request, Reply, Where>;
  readonly #transport: BusTransport<Request, Reply>;
  readonly #poller: Poller<Where, Reply>;
  readonly #clock: Clock;
  readonly #queue = new TaskQueue<Request, Reply>();
  readonly #health = new Map<number, UnitHealth>();
  readonly #meter: BusMeter;
  /** Units held by a task. */
  readonly #held = new Set<number>();
  /** Number of polls under way, by unit. */
  readonly #polling = new Map<number, number>();
  #running = 0;
  #tasksInARow = 0;
  /** No off-line unit is probed before this time while others answer. */
  #probesFrom: MonotonicMs = 0;
  /** No unit in doubt is polled before this time while others answer. */
  #doubtsFrom: MonotonicMs = 0;
  #timer: Timer | undefined;
  /** Looks for values that are too old, at this time. */
  #ageTimer: Timer | undefined;
  #ageAt = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(options: SchedulerOptions<Request, Reply, Where>) {
    this.#options = options;
    this.#transport = options.transport;
    this.#poller = options.poller;
    this.#clock = options.clock;
    this.#meter = new BusMeter(options.clock);
  }

  /** Queues a task. Rejects with what its work rejects with, or with EXPIRED or PORT_DOWN when it was never sent. */
  submit<Result>(task: Task<Result, Request, Reply>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const now = this.#clock.now();
      if (this.#closed) {
        reject(new DcsError('PORT_DOWN', 'the port is closed'));
        return;
      }
      const probeAt = this.#health.get(task.unit)?.probeAt;
      if (probeAt !== undefined && probeAt > now) {
        const wait = Math.ceil(probeAt - now);
        reject(new DcsError('PORT_DOWN', `unit ${task.unit} does not answer; it is asked again in ${wait} ms`));
        return;
      }
      const replaced = this.#queue.add({
        lane: task.lane,
        unit: task.unit,
        key: task.key,
        queuedAt: now,
        expiresAt: now + task.ttlMs,
        run: (transact) => task.work(transact).then(resolve, reject),
        reject,
      });
      if (replaced) this.#options.count('writes_overtaken');
      this.dispatch();
    });
  }

  get metrics(): Record<string, number> {
    const offline = [...this.#health.values()].filter((unit) => unit.offline).length;
    return { ...this.#meter.metrics, units_off_line: offline };
  }

  /** The unit counts as lost: it is only probed. */
  isOffline(unit: number): boolean {
    return this.#health.get(unit)?.offline ?? false;
  }

  /** Starts whatever may be sent now. Call it when something has changed. */
  dispatch(): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    const now = this.#clock.now();
    const expired = this.#queue.expire(now);
    if (expired > 0) this.#options.count('tasks_expired', expired);
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

  /** Rejects what waits, with PORT_DOWN. The transport rejects what is under way. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#ageTimer?.cancel();
    this.#queue.clear(() => new DcsError('PORT_DOWN', 'the port went down before this was sent'));
  }

  /** A task has its unit to itself: a poll sent before a write must not be answered after it. */
  #nextTask(now: MonotonicMs): QueuedTask<Request, Reply> | undefined {
    return this.#queue.take((unit) => this.#isFree(unit, now) && !this.#polling.has(unit), now);
  }

  #nextPoll(now: MonotonicMs, beforeTasks = false): PollBlock<Where, Reply> | undefined {
    const probe = this.#nextProbe(now);
    if (probe) return probe;
    // A waiting task needs its unit to itself, so polls let the unit become free, unless it is their turn.
    const usable = (unit: number) =>
      this.#isFree(unit, now) &&
      !this.isOffline(unit) &&
      !this.#waitsInDoubt(unit, now) &&
      (beforeTasks || !this.#queue.hasTaskFor(unit));
    return this.#poller.nextBlock(now, usable, (unit) => this.#transport.ready?.(unit) ?? true);
  }

  #nextProbe(now: MonotonicMs): PollBlock<Where, Reply> | undefined {
    if (this.#probesFrom > now && this.#anyOnline()) return undefined;
    const due: { readonly unit: number; readonly since: MonotonicMs }[] = [];
    for (const [unit, { probeAt: since }] of this.#health) {
      if (since === undefined || since > now || !this.#isFree(unit, now) || this.#polling.has(unit)) continue;
      due.push({ unit, since });
    }
    // The longest wait goes first: the share of the bus may be too small for all units and must not go to one alone.
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

  #anyOnline(): boolean {
    return this.#poller.blocks.some((block) => !this.isOffline(block.span.unit));
  }

  /** Whether units that answer go before this one, which has not answered for some requests. */
  #waitsInDoubt(unit: number, now: MonotonicMs): boolean {
    return now < this.#doubtsFrom && this.#isDoubtful(unit) && this.#anyCertain();
  }

  #isDoubtful(unit: number): boolean {
    return (this.#health.get(unit)?.misses ?? 0) >= DOUBT_AFTER;
  }

  #anyCertain(): boolean {
    return this.#poller.blocks.some(({ span: { unit } }) => !this.#isDoubtful(unit));
  }

  #lossLimits(unit: number): LossLimits {
    return this.#options.loss?.(unit) ?? DEFAULT_LOSS;
  }

  async #runTask(task: QueuedTask<Request, Reply>): Promise<void> {
    this.#running++;
    this.#held.add(task.unit);
    await task.run((request, expiresAt) => this.#transact(request, expiresAt));
    this.#held.delete(task.unit);
    this.#running--;
    this.dispatch();
  }

  async #runPoll(block: PollBlock<Where, Reply>): Promise<void> {
    const { unit } = block.span;
    this.#running++;
    this.#polling.set(unit, (this.#polling.get(unit) ?? 0) + 1);
    this.#poller.markSent(block);
    const began = this.#clock.now();
    const offline = this.isOffline(unit);
    let error: DcsError | undefined;
    try {
      const request = this.#options.readRequest(block.span, block.items);
      const reply = await this.#transactOnce(request, undefined, block);
      for (const item of block.items) item.deliver(reply, item.span.first - block.span.first);
    } catch (thrown) {
      error = toDcsError(thrown);
    }
    this.#running--;
    const left = (this.#polling.get(unit) ?? 1) - 1;
    if (left > 0) this.#polling.set(unit, left);
    else this.#polling.delete(unit);
    if (this.#closed) return;
    const now = this.#clock.now();
    this.#poller.markDone(block, now, error !== undefined, offline);
    if (error) this.#pollFailed(block, error, began, now);
    else this.#poller.accept(block, now);
    this.#watchAge(block, now);
    this.dispatch();
  }

  #pollFailed(block: PollBlock<Where, Reply>, error: DcsError, began: MonotonicMs, now: MonotonicMs): void {
    if (error.code === 'PORT_DOWN') return;
    // A busy device is there and says nothing about the value.
    if (isNoAnswer(error) || error.code === 'BUSY') {
      this.#pollUnanswered(block, error, began, now);
      return;
    }
    const { divisible } = this.#options;
    if (divisible ? divisible(error) : error.code === 'NO_SUCH_CHANNEL') {
      if (this.#poller.split(block, now)) return;
    }
    this.#poller.noteRefused(block, now);
    for (const item of block.items) item.fail(error);
  }

  #pollUnanswered(block: PollBlock<Where, Reply>, error: DcsError, began: MonotonicMs, now: MonotonicMs): void {
    const { unit } = block.span;
    const tookMs = now - began;
    if (this.isOffline(unit)) {
      // Its items have failed when it went off line; others have been planned since.
      this.#poller.failUnit(unit, error);
      this.#probesFrom = now + tookMs * (1 / OFFLINE_SHARE - 1);
      return;
    }
    for (const item of block.items) {
      if (item.unanswered) item.unanswered(error);
      else item.fail(error);
    }
    if (!isNoAnswer(error)) return;
    const { retries, misses, missMs } = this.#lossLimits(unit);
    // What a gateway says at once, it would say at once again.
    const useful = error.code === 'BAD_REPLY' || tookMs >= missMs;
    const at = Math.max(now, this.#transport.freeAt(unit));
    const answeredAt = this.#health.get(unit)?.answeredAt ?? Number.NEGATIVE_INFINITY;
    this.#poller.noteUnanswered(block, { began, at, answeredAt }, { retries: useful ? retries : 0, misses });
    if (this.#isDoubtful(unit)) this.#doubtsFrom = now + tookMs * (1 / DOUBT_SHARE - 1);
  }

  /** Makes sure that values are looked at when those of this block grow too old. */
  #watchAge({ items }: PollBlock<Where, Reply>, now: MonotonicMs): void {
    let next = this.#ageAt;
    for (const item of items) next = Math.min(next, item.age?.(now) ?? next);
    if (next < this.#ageAt) this.#ageValuesAt(next, now);
  }

  /** Makes values uncertain and bad as they grow too old, whatever keeps their reads from being answered. */
  #ageValuesAt(at: MonotonicMs, now: MonotonicMs): void {
    this.#ageTimer?.cancel();
    this.#ageAt = at;
    this.#ageTimer = this.#clock.after(Math.max(1, at - now), () => {
      this.#ageAt = Number.POSITIVE_INFINITY;
      const then = this.#clock.now();
      const next = this.#poller.age(then);
      if (next !== undefined) this.#ageValuesAt(next, then);
    });
  }

  /** Sends a request of a task; one that changes nothing is repeated when it gets no answer and may be sent at once. */
  async #transact(request: Request, expiresAt?: MonotonicMs): Promise<Reply> {
    const { unit } = request;
    const times = this.#options.repeatable?.(request) ? this.#lossLimits(unit).retries : 0;
    for (let again = 0; ; again++) {
      try {
        return await this.#transactOnce(request, expiresAt);
      } catch (thrown) {
        const error = toDcsError(thrown);
        const useful = again < times && isNoAnswer(error) && !this.#closed && !this.isOffline(unit);
        if (!useful || this.#transport.freeAt(unit) > this.#clock.now()) throw error;
      }
    }
  }

  /** Every request of the bus goes through here, which tells whether its unit answers. */
  async #transactOnce(request: Request, expiresAt?: MonotonicMs, block?: PollBlock<Where, Reply>): Promise<Reply> {
    const ended = this.#meter.start();
    const began = this.#clock.now();
    try {
      const reply = await this.#transport.transact(request, expiresAt);
      ended(true);
      this.#options.onRoundTrip?.(request, this.#clock.now() - began);
      this.#noteAnswer(request.unit);
      return reply;
    } catch (thrown) {
      const error = toDcsError(thrown);
      const unsent = error.code === 'PORT_DOWN' || error.code === 'EXPIRED';
      ended(error.code !== 'TIMEOUT' && !unsent);
      if (block && isNoAnswer(error)) block.error = error;
      if (isNoAnswer(error)) this.#noteSilence(request.unit, error, began);
      else if (!unsent) this.#noteAnswer(request.unit);
      throw error;
    }
  }

  #noteAnswer(unit: number): void {
    const wasOffline = this.#health.get(unit)?.noteAnswer(this.#clock.now()) ?? false;
    this.#options.onAnswer?.(unit, wasOffline);
    if (!wasOffline) return;
    this.#options.count('units_recovered');
    this.#poller.pollNow(unit, this.#clock.now());
  }

  #noteSilence(unit: number, error: DcsError, began: MonotonicMs): void {
    this.#options.onSilence?.(unit);
    const health = this.#health.get(unit) ?? new UnitHealth(this.#lossLimits(unit));
    this.#health.set(unit, health);
    const lost = health.noteSilence(this.#clock.now(), this.#anyOnline(), began);
    if (!lost) return;
    this.#options.count('units_lost');
    // Fail its values now, also when a command found it off line: it is polled again only when the bus has time for it.
    this.#poller.failUnit(unit, error);
  }

  /** Sets the timer to the next moment at which something may be sent, or expires, because time has passed. */
  #armTimer(now: MonotonicMs): void {
    const moments = this.#queue.all().map(({ expiresAt }) => expiresAt);
    if (this.#running < this.#transport.concurrency) moments.push(...this.#sendableMoments(now));
    const later = moments.filter((moment) => moment > now);
    if (later.length > 0) this.#timer = this.#clock.after(Math.min(...later) - now, () => this.dispatch());
  }

  #sendableMoments(now: MonotonicMs): MonotonicMs[] {
    const moments = [this.#doubtsFrom];
    const due = this.#poller.nextDue(now, (unit) => !this.isOffline(unit));
    if (due !== undefined) moments.push(due);
    for (const [unit, { probeAt }] of this.#health) {
      if (probeAt !== undefined && this.#poller.probe(unit))
        moments.push(this.#anyOnline() ? Math.max(probeAt, this.#probesFrom) : probeAt);
    }
    for (const { unit } of this.#queue.all()) moments.push(this.#transport.freeAt(unit));
    for (const block of this.#poller.blocks) moments.push(this.#transport.freeAt(block.span.unit));
    return moments;
  }
}

/** Returns whether the unit gave no answer that can be trusted, or a gateway says that it gave none. */
export function isNoAnswer({ code }: DcsError): boolean {
  return code === 'TIMEOUT' || code === 'NO_DEVICE' || code === 'BAD_REPLY';
}
