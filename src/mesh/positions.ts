import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import type { Session } from './session.ts';
import type { Want } from './want.ts';

/** How long changes of who hears whom are gathered (ms). */
const SETTLE_MS: DurationMs = 100;

export interface PositionsHost {
  sessions(): Iterable<Session>;
  /** What we want of a peer, or of anybody. */
  wanted(from: Session | undefined): Want;
  /** Ids of the v1 processes we hear. */
  heard(): readonly string[];
}

/** Tells every peer what we want of it, and whom we hear without it, whenever that has changed. */
export class Positions {
  readonly #clock: Clock;
  readonly #host: PositionsHost;
  #soon: NodeJS.Immediate | undefined;
  #settling: Timer | undefined;

  constructor(clock: Clock, host: PositionsHost) {
    this.#clock = clock;
    this.#host = host;
  }

  /** What somebody is told who is no peer yet. */
  now(): object {
    return { want: this.#host.wanted(undefined).write(), near: this.#near() };
  }

  /**
   * Something may have changed: tells it at the end of this turn when it matters at once (an actor listens to something
   * new), otherwise when others are likely to have settled too.
   */
  refresh(soon: boolean): void {
    if (soon) this.#soon ??= setImmediate(() => this.#tellAll());
    else this.#settling ??= this.#clock.after(SETTLE_MS, () => this.#tellAll());
  }

  stop(): void {
    if (this.#soon) clearImmediate(this.#soon);
    this.#settling?.cancel();
    this.#soon = undefined;
    this.#settling = undefined;
  }

  #tellAll(): void {
    this.stop();
    const near = this.#near();
    for (const session of this.#host.sessions()) {
      const position = { want: this.#host.wanted(session).write(), near };
      const text = JSON.stringify(position);
      if (session.told === text) continue;
      session.told = text;
      session.tell(position);
    }
  }

  #near(): readonly string[] {
    const peers = [...this.#host.sessions()].filter(({ settled }) => settled).map(({ peer }) => peer.id);
    return [...new Set([...peers, ...this.#host.heard()])].sort();
  }
}
