import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { Envelope } from '../message/envelope.ts';
import type { Actor, Handler } from './actor.ts';

export type Task =
  | {
      readonly kind: 'message';
      readonly handler: Handler<unknown>;
      readonly data: unknown;
      readonly envelope: Envelope;
      readonly arrival: MonotonicMs;
    }
  | { readonly kind: 'work'; readonly run: () => void | Promise<void> };

/** Most messages that wait for one actor. Beyond it the oldest is dropped and counted. */
export const INBOX_LIMIT = 10_000;

/** The queue of one actor. At most one of its tasks runs at a time. */
export class Inbox {
  readonly actor: Actor;
  readonly onFailure: (error: unknown) => void;
  /** `sender` of every message of this actor. */
  readonly sender: readonly string[];
  /** Serial of the actor's next message. */
  nextSerial = 0;
  /** A task runs or its promise is pending. */
  busy = false;
  /** The inbox is in the dispatcher's run queue. */
  queued = false;
  /** False until the actor's start hook is done; tasks wait meanwhile. */
  open = false;
  closed = false;
  /** Number of tasks that have ended. */
  turns = 0;
  dropped = 0;
  readonly timers = new Set<Timer>();
  /** Timed work. It precedes messages and is never dropped, because it ends pulses. */
  readonly #work: Task[] = [];
  #tasks: Task[] = [];
  #head = 0;
  #idle: (() => void)[] = [];

  constructor(actor: Actor, onFailure: (error: unknown) => void) {
    this.actor = actor;
    this.onFailure = onFailure;
    this.sender = Object.freeze([actor.id]);
  }

  get length(): number {
    return this.#work.length + this.#tasks.length - this.#head;
  }

  /** Adds a task. Returns how many messages were dropped to make room. */
  push(task: Task): number {
    if (task.kind === 'work') {
      this.#work.push(task);
      return 0;
    }
    this.#tasks.push(task);
    if (this.#tasks.length - this.#head <= INBOX_LIMIT) return 0;
    this.#takeMessage();
    this.dropped++;
    return 1;
  }

  take(): Task | undefined {
    return this.#work.length > 0 ? this.#work.shift() : this.#takeMessage();
  }

  #takeMessage(): Task | undefined {
    const task = this.#tasks[this.#head];
    if (task === undefined) return undefined;
    this.#head++;
    if (this.#head > 1024 && this.#head * 2 > this.#tasks.length) {
      this.#tasks = this.#tasks.slice(this.#head);
      this.#head = 0;
    } else if (this.#head === this.#tasks.length) {
      this.#tasks.length = 0;
      this.#head = 0;
    }
    return task;
  }

  /** Closes the inbox: discards all tasks and stops all timers. Resolves when the running task has ended. */
  close(): Promise<void> {
    this.closed = true;
    for (const timer of this.timers) timer.cancel();
    this.timers.clear();
    this.#work.length = 0;
    this.#tasks.length = 0;
    this.#head = 0;
    return this.busy ? new Promise((resolve) => this.#idle.push(resolve)) : Promise.resolve();
  }

  taskDone(): void {
    this.busy = false;
    this.turns++;
    if (!this.closed) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

/** Runs the tasks of all inboxes: fairly between actors, and at most a slice before the event loop does I/O. */
export class Dispatcher {
  /** Number of tasks before the event loop does I/O: two actors that answer each other for ever must not starve it. */
  static readonly SLICE = 1000;
  #ready: Inbox[] = [];
  #scheduled = false;

  /** Queues an inbox that has a task which may run. */
  wake(inbox: Inbox): void {
    if (inbox.queued || inbox.busy || !inbox.open || inbox.closed || inbox.length === 0) return;
    inbox.queued = true;
    this.#ready.push(inbox);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(this.#run);
  }

  readonly #run = (): void => {
    let budget = Dispatcher.SLICE;
    let ready = this.#ready;
    while (ready.length > 0) {
      this.#ready = [];
      for (let at = 0; at < ready.length; at++) {
        const inbox = ready[at];
        if (inbox === undefined) continue;
        if (budget <= 0) {
          this.#ready = [...ready.slice(at), ...this.#ready];
          setImmediate(this.#run);
          return;
        }
        budget -= this.#drain(inbox, budget);
      }
      ready = this.#ready;
    }
    this.#scheduled = false;
  };

  /** Runs tasks of one inbox until it is empty, awaits a promise, or the budget is used up. */
  #drain(inbox: Inbox, budget: number): number {
    inbox.queued = false;
    let ran = 0;
    while (ran < budget && !inbox.busy && !inbox.closed) {
      const task = inbox.take();
      if (task === undefined) return ran;
      ran++;
      this.#runTask(inbox, task);
    }
    this.wake(inbox);
    return ran;
  }

  #runTask(inbox: Inbox, task: Task): void {
    inbox.busy = true;
    try {
      const result = task.kind === 'work' ? task.run() : task.handler(task.data, task.envelope, task.arrival);
      if (!(result instanceof Promise)) {
        inbox.taskDone();
        return;
      }
      result.then(
        () => this.#finish(inbox),
        (error: unknown) => {
          this.#finish(inbox);
          inbox.onFailure(error);
        },
      );
    } catch (error) {
      inbox.taskDone();
      inbox.onFailure(error);
    }
  }

  #finish(inbox: Inbox): void {
    inbox.taskDone();
    this.wake(inbox);
  }
}

type Work = () => void | Promise<void>;

/** Timers of one actor. The work goes through its inbox, so that it never runs beside a handler. */
export class TimedWork {
  readonly #clock: Clock;
  readonly #inbox: Inbox;
  readonly #dispatcher: Dispatcher;

  constructor(clock: Clock, inbox: Inbox, dispatcher: Dispatcher) {
    this.#clock = clock;
    this.#inbox = inbox;
    this.#dispatcher = dispatcher;
  }

  /**
   * Runs work once after `delay`; with 0 in this turn of the event loop. Cancelled work does not run, even when it waits in
   * the inbox already.
   */
  once(delay: DurationMs, work: Work): Timer {
    let cancelled = false;
    const push = () => this.#push(() => (cancelled ? undefined : work()));
    const timer = delay > 0 ? this.#arm(delay, push) : { cancel() {} };
    if (delay <= 0) push();
    return {
      cancel: () => {
        cancelled = true;
        this.#inbox.timers.delete(timer);
        timer.cancel();
      },
    };
  }

  /**
   * Runs work at a fixed rate. The next due time counts from the last one, and missed periods are skipped. A run is skipped
   * while the one before it waits or runs.
   */
  every(period: DurationMs, work: Work): void {
    let waiting = false;
    let due = this.#clock.now() + period;
    const run = async () => {
      try {
        await work();
      } finally {
        waiting = false;
      }
    };
    const next = () => {
      this.#arm(Math.max(0, due - this.#clock.now()), () => {
        const now = this.#clock.now();
        due += period * Math.max(1, Math.ceil((now - due) / period));
        next();
        if (waiting) return;
        waiting = true;
        this.#push(run);
      });
    };
    next();
  }

  #arm(delay: DurationMs, action: () => void): Timer {
    const timer = this.#clock.after(delay, () => {
      this.#inbox.timers.delete(timer);
      action();
    });
    this.#inbox.timers.add(timer);
    return timer;
  }

  #push(run: Work): void {
    this.#inbox.push({ kind: 'work', run });
    this.#dispatcher.wake(this.#inbox);
  }
}
