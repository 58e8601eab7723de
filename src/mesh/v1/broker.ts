import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import { messageOf } from '../../errors/errors.ts';
import type { Directory } from '../peer/directory.ts';
import type { Session } from '../peer/session.ts';
import { type Endpoint, isLoopback } from '../transport/addresses.ts';
import type { SocketFactory } from '../transport/socket-factory.ts';
import { INTRODUCTION_PREFIX } from './introductions.ts';
import { type PairListener, SocketPair } from './socket-pair.ts';

/** Wait for our introduction to come back before it is repeated (ms), doubled each time; and the longest. */
const INTRODUCTION_RETRY_MS: DurationMs = 50;
const INTRODUCTION_RETRY_MAX_MS: DurationMs = 3200;

export interface BrokerLinkListener extends PairListener {
  /** Sends our introduction on all broker links. */
  introduce(): void;
}

/**
 * Our link to a broker, of this machine or another. When the broker is a dcs-io node with which we have a session, everything
 * goes through the session: then the link carries introductions only.
 */
export class BrokerLink {
  readonly pair: SocketPair;
  readonly #endpoint: Endpoint;
  readonly #clock: Clock;
  readonly #directory: Directory;
  readonly #listener: BrokerLinkListener;
  /** Id of the broker, once our introduction has come back from it. */
  #brokerId: string | undefined;
  #introductionTimer: Timer | undefined;

  constructor(sockets: SocketFactory, directory: Directory, endpoint: Endpoint, listener: BrokerLinkListener) {
    this.pair = new SocketPair(sockets, 'broker client', listener);
    this.#endpoint = endpoint;
    this.#clock = directory.clock;
    this.#directory = directory;
    this.#listener = listener;
  }

  connect(): void {
    this.pair.connect(this.#endpoint);
  }

  /** Our session with the broker. */
  get session(): Session | undefined {
    return this.#brokerId === undefined ? undefined : this.#directory.get(this.#brokerId)?.session;
  }

  /** Call it when the link may have come up: introduces this process when it has. */
  onProgress(): void {
    if (this.pair.isUp(this.#endpoint) && this.pair.subscribers > 0) this.#introduce(INTRODUCTION_RETRY_MS);
  }

  /** A message of ours came back over the link: it works both ways. `brokerId`: the last process that passed it on. */
  confirm(brokerId: string | undefined): void {
    this.#introductionTimer?.cancel();
    this.#introductionTimer = undefined;
    this.#brokerId = brokerId;
  }

  /** The link has broken; another process may be the broker when it is up again. */
  onDown(): void {
    this.#brokerId = undefined;
    this.#introductionTimer?.cancel();
  }

  /** Call it when sessions have come or gone: subscribes to everything or to introductions only. */
  refresh(): void {
    this.pair.subscribeTo(this.session?.settled ? INTRODUCTION_PREFIX : '');
  }

  close(linger: DurationMs): void {
    this.#introductionTimer?.cancel();
    this.pair.close(linger);
  }

  /**
   * Introduces this process until the introduction comes back. ZeroMQ's handshake does not mean yet that our subscription is
   * in force, and an answer before that would be lost.
   */
  #introduce(retry: DurationMs): void {
    this.#introductionTimer?.cancel();
    this.#listener.introduce();
    const next = Math.min(retry * 2, INTRODUCTION_RETRY_MAX_MS);
    this.#introductionTimer = this.#clock.after(retry, () => this.#introduce(next));
  }
}

/** Interval at which a process that is not the broker tries to become it (ms). */
const ELECTION_RETRY_MS = 1000;
/** Longest time that `start` waits for the process that has the ports to answer (ms). */
const START_MS = 500;
/** Interval at which it tries to bind meanwhile (ms): the ports may belong to a process that is just ending. */
const START_RETRY_MS = 50;

export interface BrokerPorts {
  readonly listen: string;
  readonly rx: number;
  readonly tx: number;
}

export interface ElectionListener extends BrokerLinkListener {
  /** The link to the former broker is given up, because this process is the broker now. */
  onLocalLinkClosed(): void;
  /** This process has become the broker while it ran. */
  onElected(): void;
}

/**
 * Elects the broker of this machine: the process that binds the two well-known ports. The others link to it, and one of them
 * takes over when it dies.
 */
export class BrokerElection {
  /** The link that this process serves as the broker. */
  readonly serving: SocketPair;
  /** The link to the broker of this machine, while that is another process. */
  localLink: BrokerLink | undefined;
  isBroker = false;
  readonly #sockets: SocketFactory;
  readonly #directory: Directory;
  readonly #clock: Clock;
  readonly #ports: BrokerPorts;
  readonly #listener: ElectionListener;
  readonly #local: Endpoint;
  #timer: Timer | undefined;
  #attempt: Promise<void> = Promise.resolve();
  #stopped = false;
  #starting = true;
  #onConfirmed: () => void = () => undefined;

  constructor(sockets: SocketFactory, directory: Directory, ports: BrokerPorts, listener: ElectionListener) {
    this.#sockets = sockets;
    this.#directory = directory;
    this.#clock = directory.clock;
    this.#ports = ports;
    this.#listener = listener;
    this.serving = new SocketPair(sockets, 'broker', listener);
    this.#local = { host: isLoopback(ports.listen) ? ports.listen : '127.0.0.1', rx: ports.rx, tx: ports.tx };
  }

  /** Binds the ports; or resolves once the link to their owner works, or it has not answered in time. */
  async start(): Promise<void> {
    if (await this.#bind()) return;
    const confirmed = new Promise<void>((resolve) => {
      this.#onConfirmed = resolve;
    });
    this.localLink = new BrokerLink(this.#sockets, this.#directory, this.#local, this.#listener);
    this.localLink.connect();
    this.#retry(START_RETRY_MS);
    const deadline = this.#clock.after(START_MS, () => {
      this.#sockets.log.warn({ ...this.#local }, 'the process that has the broker ports does not answer yet');
      this.confirm();
    });
    await confirmed;
    deadline.cancel();
    this.#retry(ELECTION_RETRY_MS);
  }

  /** The link to the broker of this machine works both ways. */
  confirm(): void {
    this.#starting = false;
    this.#onConfirmed();
  }

  /** The link to the broker of this machine has broken: tries to take over, after a random time up to 50 ms. */
  onLocalLinkDown(): void {
    this.#retry(Math.random() * 50);
  }

  async stop(linger: DurationMs): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#onConfirmed();
    await this.#attempt;
    this.localLink?.close(linger);
    this.serving.close(linger);
  }

  /** Binds both ports or none: with one of them, no process could be the broker. */
  async #bind(): Promise<boolean> {
    const { listen, rx, tx } = this.#ports;
    // Processes of this machine look for the broker on loopback, whatever address it has for the others.
    const everywhere = listen === '0.0.0.0' || listen === '*' || isLoopback(listen);
    const ports = await this.serving.bind(everywhere ? [listen] : ['127.0.0.1', listen], rx, tx);
    if (!ports || this.#stopped) return false;
    this.isBroker = true;
    return true;
  }

  #retry(delay: DurationMs): void {
    if (this.#stopped || this.isBroker) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(delay, () => {
      this.#attempt = this.#attempt.then(() => this.#tryTakeover());
    });
  }

  async #tryTakeover(): Promise<void> {
    if (this.#stopped || this.isBroker) return;
    try {
      if (await this.#bind()) {
        this.#onTakeover();
        return;
      }
    } catch (error) {
      this.#sockets.stats.socketErrors++;
      this.#sockets.log.warn({ err: error }, `cannot bind the broker ports: ${messageOf(error)}`);
    }
    this.#retry(this.#starting ? START_RETRY_MS : ELECTION_RETRY_MS * (0.9 + Math.random() * 0.2));
  }

  #onTakeover(): void {
    this.#sockets.stats.takeovers++;
    if (this.localLink) this.#listener.onLocalLinkClosed();
    this.localLink?.close(0);
    this.localLink = undefined;
    this.#sockets.log.info({ ...this.#local }, 'this process is the address broker of its machine now');
    this.#listener.onElected();
    this.confirm();
  }
}
