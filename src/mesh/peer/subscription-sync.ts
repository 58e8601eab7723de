import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import type { Subscription } from '../routing/subscription.ts';
import type { Session } from './session.ts';

/** How long changes of who hears whom are gathered (ms). */
const SETTLE_MS: DurationMs = 100;

export interface SubscriptionSyncHost {
  sessions(): Iterable<Session>;
  /** What we want of a peer, or of anybody. */
  subscriptionFor(from: Session | undefined): Subscription;
  /** Ids of the v1 processes we hear. */
  directSenders(): readonly string[];
}

/** Tells every peer what we want of it, and whom we hear without it, whenever that has changed. */
export class SubscriptionSync {
  readonly #clock: Clock;
  readonly #host: SubscriptionSyncHost;
  #soon: NodeJS.Immediate | undefined;
  #settling: Timer | undefined;

  constructor(clock: Clock, host: SubscriptionSyncHost) {
    this.#clock = clock;
    this.#host = host;
  }

  /** What somebody is told who is no peer yet. */
  current(): object {
    return { want: this.#host.subscriptionFor(undefined).toWire(), near: this.#directlyReachable() };
  }

  /**
   * Something may have changed: tells it at the end of this turn when it matters at once (an actor listens to something
   * new), otherwise when others are likely to have settled too.
   */
  refresh(soon: boolean): void {
    if (soon) this.#soon ??= setImmediate(() => this.#announce());
    else this.#settling ??= this.#clock.after(SETTLE_MS, () => this.#announce());
  }

  stop(): void {
    if (this.#soon) clearImmediate(this.#soon);
    this.#settling?.cancel();
    this.#soon = undefined;
    this.#settling = undefined;
  }

  #announce(): void {
    this.stop();
    const near = this.#directlyReachable();
    for (const session of this.#host.sessions()) {
      const position = { want: this.#host.subscriptionFor(session).toWire(), near };
      const text = JSON.stringify(position);
      if (session.lastAnnounced === text) continue;
      session.lastAnnounced = text;
      session.sendControl(position);
    }
  }

  #directlyReachable(): readonly string[] {
    const peers = [...this.#host.sessions()].filter(({ settled }) => settled).map(({ peer }) => peer.id);
    return [...new Set([...peers, ...this.#host.directSenders()])].sort();
  }
}
