import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import { messageOf } from '../../errors/errors.ts';
import type { Session } from '../peer/session.ts';
import { type Endpoint, isLoopback } from '../transport/addresses.ts';
import type { SocketFactory } from '../transport/socket-factory.ts';
import { CONTROL_PREFIX } from './introductions.ts';
import { type PairHooks, SocketPair } from './socket-pair.ts';

/** How often a process that is not the address broker tries to become it (ms). */
const RETRY_MS = 1000;
/** How long `start` waits for the broker that has the ports to answer (ms). */
const GREETING_MS = 500;
/** How often it tries to have them meanwhile (ms): they may be of one that has just gone, as we have to get another address. */
const EAGER_MS = 50;

export interface BrokerRoleOptions {
  readonly listen: string;
  readonly rx: number;
  readonly tx: number;
}

export interface BrokerRoleHooks extends PairHooks {
  /** The link to the local broker has come up (again): time to introduce ourselves. */
  joined(pair: SocketPair): void;
  /** That link has broken, or is not needed any more. */
  parted(pair: SocketPair, forGood: boolean): void;
  /** We have the ports now. */
  elected(): void;
}

/**
 * The address broker of this machine: whoever has the two well-known ports. This process takes them, or links to the
 * process that has them and takes over when that one dies.
 */
export class BrokerRole {
  /** The link we serve as the broker. */
  readonly serving: SocketPair;
  /** The link to the broker of this machine, while that is another process. */
  localBroker: SocketPair | undefined;
  isBroker = false;
  readonly #sockets: SocketFactory;
  readonly #clock: Clock;
  readonly #options: BrokerRoleOptions;
  readonly #hooks: BrokerRoleHooks;
  readonly #local: Endpoint;
  #timer: Timer | undefined;
  #attempt: Promise<void> = Promise.resolve();
  #stopped = false;
  #eager = true;
  #greeted: () => void = () => undefined;

  constructor(sockets: SocketFactory, clock: Clock, options: BrokerRoleOptions, hooks: BrokerRoleHooks) {
    this.#sockets = sockets;
    this.#clock = clock;
    this.#options = options;
    this.#hooks = hooks;
    this.serving = new SocketPair(sockets, 'broker', hooks);
    this.#local = { host: isLoopback(options.listen) ? options.listen : '127.0.0.1', rx: options.rx, tx: options.tx };
  }

  /** Takes the ports, or resolves once the link to their owner works (or it has not answered in time). */
  async start(): Promise<void> {
    if (await this.#take()) return;
    const greeted = new Promise<void>((resolve) => {
      this.#greeted = resolve;
    });
    this.#join();
    this.#retry(EAGER_MS);
    const impatience = this.#clock.after(GREETING_MS, () => {
      this.#sockets.log.warn({ ...this.#local }, 'the process that has the broker ports does not answer yet');
      this.greeted();
    });
    await greeted;
    impatience.cancel();
    this.#retry(RETRY_MS);
  }

  /** The broker of this machine hears us and we it. */
  greeted(): void {
    this.#eager = false;
    this.#greeted();
  }

  async stop(linger: DurationMs): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#greeted();
    await this.#attempt;
    this.localBroker?.close(linger);
    this.serving.close(linger);
  }

  /** Both ports or none: a broker that has only one would keep everybody else from being it. */
  async #take(): Promise<boolean> {
    const { listen, rx, tx } = this.#options;
    // Processes of this machine look for the broker on loopback, whatever address it has for the others.
    const everywhere = listen === '0.0.0.0' || listen === '*' || isLoopback(listen);
    const ports = await this.serving.bind(everywhere ? [listen] : ['127.0.0.1', listen], rx, tx);
    if (!ports || this.#stopped) return false;
    this.isBroker = true;
    return true;
  }

  #join(): void {
    const linked = (pair: SocketPair) => {
      if (pair === this.localBroker && pair.isUp(this.#local) && pair.listeners > 0) this.#hooks.joined(pair);
    };
    this.localBroker = new SocketPair(this.#sockets, 'broker client', {
      frame: (text, pair) => this.#hooks.frame(text, pair),
      up: linked,
      subscribed: linked,
      down: (pair) => {
        this.#hooks.parted(pair, false);
        this.#retry(Math.random() * 50);
      },
    });
    this.localBroker.connect(this.#local);
  }

  #retry(delay: DurationMs): void {
    if (this.#stopped || this.isBroker) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(delay, () => {
      this.#attempt = this.#attempt.then(() => this.#takeOver());
    });
  }

  async #takeOver(): Promise<void> {
    if (this.#stopped || this.isBroker) return;
    try {
      if (await this.#take()) {
        this.#sockets.stats.takeovers++;
        if (this.localBroker) this.#hooks.parted(this.localBroker, true);
        this.localBroker?.close(0);
        this.localBroker = undefined;
        this.#sockets.log.info({ ...this.#local }, 'this process is the address broker of its machine now');
        this.#hooks.elected();
        this.greeted();
        return;
      }
    } catch (error) {
      this.#sockets.stats.socketErrors++;
      this.#sockets.log.warn({ err: error }, `cannot take the broker ports: ${messageOf(error)}`);
    }
    this.#retry(this.#eager ? EAGER_MS : RETRY_MS * (0.9 + Math.random() * 0.2));
  }
}

/** How long we wait for our introduction to come back before we repeat it (ms), doubled each time; and at most. */
const INTRODUCTION_RETRY_MS: DurationMs = 50;
const INTRODUCTION_RETRY_MAX_MS: DurationMs = 3200;

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
  greet(pair: SocketPair, patience = INTRODUCTION_RETRY_MS): void {
    const state = this.#state(pair);
    state.greeting?.cancel();
    this.#host.introduce();
    const next = Math.min(patience * 2, INTRODUCTION_RETRY_MAX_MS);
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
