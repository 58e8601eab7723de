import type { Clock, DurationMs, MonotonicMs, Timer } from '../../clock/clock.ts';
import type { Router } from '../routing/router.ts';
import { Subscription } from '../routing/subscription.ts';
import type { Directory } from './directory.ts';
import type { Session } from './session.ts';

/** Time for which changes of directly reachable processes are gathered (ms). */
const SETTLE_MS: DurationMs = 100;
/** Time for which a v1 process counts as heard after its last message (ms). */
const HEARD_MS: DurationMs = 10_000;
/** Time for which it is listed for people (ms): v1 has neither heartbeat nor goodbye. */
const KNOWN_MS: DurationMs = 60_000;
const MAX_PROCESSES = 1024;

/** The v1 processes linked to this one: who sends to us directly, and whether any of them listens. */
export class V1Processes {
  /** A v1 process listens to everything that this one publishes. */
  listening = false;
  readonly #clock: Clock;
  readonly #heard = new Map<string, MonotonicMs>();
  readonly #known = new Map<string, MonotonicMs>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A message came directly from this process. Returns true when the process counts as heard only now. */
  hear(id: string): boolean {
    if (this.#known.has(id) || this.#known.size < MAX_PROCESSES) this.#known.set(id, this.#clock.now());
    const fresh = !this.#heard.has(id);
    if (fresh && this.#heard.size >= MAX_PROCESSES) return false;
    this.#heard.set(id, this.#clock.now());
    return fresh;
  }

  /** Processes heard lately: peers need not pass their messages on to us. */
  heard(): readonly string[] {
    return [...this.#heard.keys()];
  }

  /** Processes heard within the last minute, with how long ago. */
  known(): { readonly id: string; readonly silentMs: DurationMs }[] {
    const now = this.#clock.now();
    return [...this.#known].map(([id, at]) => ({ id, silentMs: now - at }));
  }

  /** A link has broken, and nobody knows which processes were heard over it. Returns true when that changes anything. */
  forgetHeard(): boolean {
    const changed = this.#heard.size > 0;
    this.#heard.clear();
    return changed;
  }

  /** Forgets processes that have been silent. Returns true when fewer count as heard. */
  sweep(): boolean {
    const now = this.#clock.now();
    for (const [id, at] of this.#known) if (now - at > KNOWN_MS) this.#known.delete(id);
    const before = this.#heard.size;
    for (const [id, at] of this.#heard) if (now - at > HEARD_MS) this.#heard.delete(id);
    return this.#heard.size < before;
  }
}

/** Keeps every peer informed of what we want from it, and of the processes whose messages we get without it. */
export class SubscriptionSync {
  readonly #clock: Clock;
  readonly #directory: Directory;
  readonly #router: Router;
  readonly #v1: V1Processes;
  #soon: NodeJS.Immediate | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(directory: Directory, router: Router, v1: V1Processes) {
    this.#clock = directory.clock;
    this.#directory = directory;
    this.#router = router;
    this.#v1 = v1;
    router.onInterestChanged(() => this.refresh(true));
  }

  /** Returns the subscription for hello and welcome, where there is no session yet. */
  current(): object {
    return { want: this.#subscriptionFor(undefined).toWire(), near: this.#directlyReachable() };
  }

  /**
   * Something may have changed. `soon`: an actor listens to something new, so tell the peers at the end of this turn;
   * otherwise tell them when other changes are likely to have come too.
   */
  refresh(soon: boolean): void {
    if (this.#stopped) return;
    if (soon) this.#soon ??= setImmediate(() => this.#announce());
    else this.#timer ??= this.#clock.after(SETTLE_MS, () => this.#announce());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #cancel(): void {
    if (this.#soon) clearImmediate(this.#soon);
    this.#timer?.cancel();
    this.#soon = undefined;
    this.#timer = undefined;
  }

  #announce(): void {
    this.#cancel();
    const near = this.#directlyReachable();
    for (const session of this.#directory.sessions()) {
      const position = { want: this.#subscriptionFor(session).toWire(), near };
      const text = JSON.stringify(position);
      if (session.lastAnnounced === text) continue;
      session.lastAnnounced = text;
      session.sendControl(position);
    }
  }

  /**
   * Returns our subscription at a peer: everything when a v1 process listens; else the interest of our actors, joined with the
   * subscriptions of other peers that do not get the messages of `from` directly.
   */
  #subscriptionFor(from: Session | undefined): Subscription {
    if (this.#v1.listening) return Subscription.everything;
    let subscription = Subscription.fromInterest(this.#router.interest());
    for (const session of this.#directory.sessions()) {
      if (from && session !== from && !session.reachesDirectly(from.peer.id))
        subscription = subscription.union(session.subscription);
    }
    return subscription;
  }

  #directlyReachable(): readonly string[] {
    const peers = [...this.#directory.sessions()].filter(({ settled }) => settled).map(({ peer }) => peer.id);
    return [...new Set([...peers, ...this.#v1.heard()])].sort();
  }
}
