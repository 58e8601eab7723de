import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import { CONTROL_PREFIX } from './introductions.ts';
import type { Session } from './session.ts';
import type { SocketPair } from './socket-pair.ts';

/** How long we wait for our introduction to come back before we repeat it (ms), doubled each time; and at most. */
const GREETING_MS: DurationMs = 50;
const LONGEST_GREETING_MS: DurationMs = 3200;

export interface BrokerLinksHost {
  introduce(): void;
  /** Our session with this node. */
  session(id: string): Session | undefined;
  /** A broker hears us and we it. */
  greeted(pair: SocketPair): void;
}

interface State {
  /** Id of the process that is the broker, once our introduction has come back from it. */
  broker: string | undefined;
  greeting: Timer | undefined;
}

/**
 * Our links to brokers, of this machine and of others. A broker that is a dcs-io node with which we have a session says
 * everything there; on the broker link we then listen to introductions only, and send nothing else.
 */
export class BrokerLinks {
  readonly #clock: Clock;
  readonly #host: BrokerLinksHost;
  readonly #links = new Map<SocketPair, State>();

  constructor(clock: Clock, host: BrokerLinksHost) {
    this.#clock = clock;
    this.#host = host;
  }

  /** Links whose broker we reach in no other way. */
  *outlets(): Iterable<SocketPair> {
    for (const pair of this.#links.keys()) if (!this.isSpokenFor(pair)) yield pair;
  }

  all(): Iterable<SocketPair> {
    return this.#links.keys();
  }

  /** Whether the broker at the other end is a node we have a session with. */
  isSpokenFor(pair: SocketPair): boolean {
    return this.#session(pair) !== undefined;
  }

  /**
   * A link has come up: introduces us, again until it comes back to us. A handshake does not yet mean that our
   * subscription is in force, and an answer before that would be lost.
   */
  greet(pair: SocketPair, patience = GREETING_MS): void {
    const state = this.#state(pair);
    state.greeting?.cancel();
    this.#host.introduce();
    const next = Math.min(patience * 2, LONGEST_GREETING_MS);
    state.greeting = this.#clock.after(patience, () => this.greet(pair, next));
  }

  /** Something we sent came back over a link; the last to pass it on was `broker`. */
  echoed(pair: SocketPair, broker: string | undefined): void {
    const state = this.#links.get(pair);
    if (!state) return;
    state.greeting?.cancel();
    state.greeting = undefined;
    state.broker = broker;
    this.refresh();
    this.#host.greeted(pair);
  }

  /** A link has broken; whoever comes next there may be somebody else. */
  lost(pair: SocketPair): void {
    const state = this.#links.get(pair);
    if (state) state.broker = undefined;
    state?.greeting?.cancel();
    this.refresh();
  }

  drop(pair: SocketPair): void {
    this.#links.get(pair)?.greeting?.cancel();
    this.#links.delete(pair);
  }

  /** Sessions have come or gone. */
  refresh(): void {
    for (const pair of this.#links.keys()) pair.listenTo(this.#session(pair)?.settled ? CONTROL_PREFIX : '');
  }

  stop(): void {
    for (const { greeting } of this.#links.values()) greeting?.cancel();
  }

  /** The session with the broker at the other end. */
  #session(pair: SocketPair): Session | undefined {
    const broker = this.#links.get(pair)?.broker;
    return broker === undefined ? undefined : this.#host.session(broker);
  }

  #state(pair: SocketPair): State {
    const known = this.#links.get(pair);
    if (known) return known;
    const state: State = { broker: undefined, greeting: undefined };
    this.#links.set(pair, state);
    return state;
  }
}
