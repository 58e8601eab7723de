import type { Clock, DurationMs, Timer } from '../clock/clock.ts';
import { messageOf } from '../errors/errors.ts';
import { isLoopback } from './addresses.ts';
import type { Endpoint } from './endpoint.ts';
import { type PairHooks, SocketPair } from './socket-pair.ts';
import type { Kit } from './zmq.ts';

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
  client: SocketPair | undefined;
  isBroker = false;
  readonly #kit: Kit;
  readonly #clock: Clock;
  readonly #options: BrokerRoleOptions;
  readonly #hooks: BrokerRoleHooks;
  readonly #local: Endpoint;
  #timer: Timer | undefined;
  #attempt: Promise<void> = Promise.resolve();
  #stopped = false;
  #eager = true;
  #greeted: () => void = () => undefined;

  constructor(kit: Kit, clock: Clock, options: BrokerRoleOptions, hooks: BrokerRoleHooks) {
    this.#kit = kit;
    this.#clock = clock;
    this.#options = options;
    this.#hooks = hooks;
    this.serving = new SocketPair(kit, 'broker', hooks);
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
      this.#kit.log.warn({ ...this.#local }, 'the process that has the broker ports does not answer yet');
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
    this.client?.close(linger);
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
      if (pair === this.client && pair.isUp(this.#local) && pair.listeners > 0) this.#hooks.joined(pair);
    };
    this.client = new SocketPair(this.#kit, 'broker client', {
      frame: (text, pair) => this.#hooks.frame(text, pair),
      up: linked,
      subscribed: linked,
      down: (pair) => {
        this.#hooks.parted(pair, false);
        this.#retry(Math.random() * 50);
      },
    });
    this.client.connect(this.#local);
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
        this.#kit.stats.takeovers++;
        if (this.client) this.#hooks.parted(this.client, true);
        this.client?.close(0);
        this.client = undefined;
        this.#kit.log.info({ ...this.#local }, 'this process is the address broker of its machine now');
        this.#hooks.elected();
        this.greeted();
        return;
      }
    } catch (error) {
      this.#kit.stats.socketErrors++;
      this.#kit.log.warn({ err: error }, `cannot take the broker ports: ${messageOf(error)}`);
    }
    this.#retry(this.#eager ? EAGER_MS : RETRY_MS * (0.9 + Math.random() * 0.2));
  }
}
