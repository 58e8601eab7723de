import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import type { Session } from './session.ts';

/** How long a session that was replaced is still listened to (ms). */
const REPLACED_GRACE_MS: DurationMs = 1000;

/**
 * Sessions whose place another connection has taken. What is on the way on the old one still counts for a moment; what had
 * not come by then is lost, and both ends know how much that is.
 */
export class ReplacedSessions {
  readonly #clock: Clock;
  readonly #gap: (session: Session, missed: number) => void;
  readonly #sessions = new Set<Session>();
  readonly #replaced = new WeakMap<Session, Session>();
  readonly #timers = new Set<Timer>();

  /** `gap`: of what the peer of this session said before, so many messages never came. */
  constructor(clock: Clock, gap: (session: Session, missed: number) => void) {
    this.#clock = clock;
    this.#gap = gap;
  }

  sessions(): Iterable<Session> {
    return this.#sessions;
  }

  add(old: Session, successor: Session): void {
    old.markReplaced();
    successor.settled = old.settled;
    this.#sessions.add(old);
    this.#replaced.set(successor, old);
    successor.sendControl({ former: old.sent });
    this.#later(() => old.end('replaced'));
  }

  /** The peer of this session says how many messages it had sent on the one before. */
  reconcile(session: Session, sent: number): void {
    const old = this.#replaced.get(session);
    if (!old) return;
    this.#replaced.delete(session);
    this.#later(() => {
      if (sent > old.received) this.#gap(session, sent - old.received);
    });
  }

  forget(session: Session): void {
    this.#sessions.delete(session);
  }

  /** Ends those of a key. */
  revoke(key: string): void {
    for (const session of [...this.#sessions]) if (session.connection.key === key) session.end('revoked');
  }

  /** Ends them all. */
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
