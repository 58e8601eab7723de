import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import type { Session } from './session.ts';

/** Time for which frames of a replaced session still count (ms). */
const REPLACED_GRACE_MS: DurationMs = 1000;

/**
 * Sessions that another connection has replaced. What is under way on the old connection still counts for a moment. What has
 * not come by then is lost, and both ends know how much that is: each tells the other how many messages it had sent.
 */
export class ReplacedSessions {
  readonly #clock: Clock;
  readonly #sessions = new Set<Session>();
  readonly #predecessors = new WeakMap<Session, Session>();
  readonly #timers = new Set<Timer>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  sessions(): Iterable<Session> {
    return this.#sessions;
  }

  /** Replaces a session. Its successor tells the peer how many messages the old one has sent. */
  add(old: Session, successor: Session): void {
    old.markReplaced();
    successor.settled = old.settled;
    this.#sessions.add(old);
    this.#predecessors.set(successor, old);
    successor.sendControl({ former: old.sent });
    this.#later(() => old.end('replaced'));
  }

  /** The peer says how many messages it sent before, on the session that this one replaced. Missing ones are reported. */
  reconcile(session: Session, sentBefore: number): void {
    const old = this.#predecessors.get(session);
    if (!old) return;
    this.#predecessors.delete(session);
    this.#later(() => {
      if (sentBefore > old.received) session.reportGap(sentBefore - old.received);
    });
  }

  forget(session: Session): void {
    this.#sessions.delete(session);
  }

  /** Ends the sessions of a key. */
  revoke(key: string): void {
    for (const session of [...this.#sessions]) if (session.connection.key === key) session.end('revoked');
  }

  /** Ends all of them. */
  stop(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    for (const session of [...this.#sessions]) session.end('stopped');
  }

  #later(action: () => void): void {
    const timer = this.#clock.after(REPLACED_GRACE_MS, () => {
      this.#timers.delete(timer);
      action();
    });
    this.#timers.add(timer);
  }
}
