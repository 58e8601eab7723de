import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import type { Dispatcher, Inbox } from './inbox.ts';

type Work = () => void | Promise<void>;

/** Work an actor does at a time of its own: it goes through the inbox, so it never runs beside a handler. */
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
   * Once after `delay`; with none, in this turn of the event loop. A cancelled one does not run, even when it was due and
   * waited in the inbox.
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
   * At a fixed rate: the next due time counts from the last one, and periods that have passed are skipped, not made up
   * for. A run that still waits or runs when the next one is due makes that one be skipped.
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
