import type { Clock, DurationMs } from '../clock/clock.ts';
import { isLoopback, ownAddresses } from './addresses.ts';
import { type Contact, isOnThisMachine } from './contacts.ts';
import { Dialer } from './dialer.ts';
import type { Endpoint } from './endpoint.ts';
import type { MeshOptions } from './options.ts';
import { openListen } from './options.ts';
import { type PairHooks, type Ports, SocketPair } from './socket-pair.ts';
import type { Kit } from './zmq.ts';

export interface OpenLinksHooks extends PairHooks {
  /** The link to a named broker has come up. */
  joined(pair: SocketPair): void;
  /** The link to a named broker has broken. */
  parted(pair: SocketPair): void;
  /** A link to another server has broken. */
  lost(): void;
}

/**
 * The links of v1, in the clear, except those of the address broker:
 *
 * - server: other processes connect here; its ports are our contact
 * - client: we connect here to the servers of others
 * - broker clients: to the brokers of other machines that the user named
 * - proxies: to brokers behind a tunnel; no contact ever passes there, for it would mean nothing at the other end
 */
export class OpenLinks {
  readonly server: SocketPair;
  readonly client: SocketPair;
  readonly proxies: readonly SocketPair[];
  readonly dialer: Dialer;
  readonly #options: MeshOptions;
  readonly #brokers: readonly { readonly pair: SocketPair; readonly endpoint: Endpoint }[];
  readonly #proxyEndpoints: readonly Endpoint[];

  /** `closed`: what is not encrypted stays on this machine. */
  constructor(kit: Kit, clock: Clock, options: MeshOptions, closed: boolean, hooks: OpenLinksHooks) {
    const clear = ({ host }: Endpoint) => !closed || isLoopback(host);
    this.#options = options;
    this.server = new SocketPair(kit, 'server', hooks);
    this.client = new SocketPair(kit, 'client', {
      ...hooks,
      up: (_pair, endpoint) => this.dialer.up(endpoint),
      down: (_pair, endpoint) => {
        hooks.lost();
        this.dialer.down(endpoint);
      },
    });
    this.dialer = new Dialer(this.client, clock, kit);
    this.#proxyEndpoints = options.proxyBrokers.filter(clear);
    this.proxies = this.#proxyEndpoints.map(() => new SocketPair(kit, 'proxy broker', hooks));
    this.#brokers = options.brokers.filter(clear).map((endpoint) => {
      const joined = (pair: SocketPair) => {
        if (pair.isUp(endpoint) && pair.listeners > 0) hooks.joined(pair);
      };
      const down = (pair: SocketPair) => hooks.parted(pair);
      return {
        endpoint,
        pair: new SocketPair(kit, 'broker client', { ...hooks, up: joined, subscribed: joined, down }),
      };
    });
    for (const endpoint of options.proxyBrokers) {
      if (clear(endpoint)) continue;
      kit.log.error(
        { ...endpoint },
        'with keys, a proxy broker must be the end of a tunnel on this machine; it is ignored',
      );
    }
  }

  /** Binds the server link; returns its ports. */
  async bind(): Promise<Ports> {
    for (;;) {
      const ports = await this.server.bind([openListen(this.#options)], 0, 0);
      if (ports) return ports;
    }
  }

  /** Connects to all that the user named. */
  connect(): void {
    for (const [at, endpoint] of this.#proxyEndpoints.entries()) this.proxies[at]?.connect(endpoint);
    for (const { pair, endpoint } of this.#brokers) pair.connect(endpoint);
  }

  /** Connects to the server of another process. One that listens on loopback and names no broker stays on its machine. */
  dial(contact: Contact): void {
    const own = ownAddresses();
    const here = contact.addresses.length === 0 || isOnThisMachine(contact, own);
    if (!here && isLoopback(openListen(this.#options)) && this.#brokers.length === 0) return;
    this.dialer.dial(contact, own);
  }

  /** Where the messages of others are passed on; what is the mesh's own (`control`) does not pass through a tunnel. */
  relays(control: boolean): readonly SocketPair[] {
    return control ? [this.client, this.server] : [this.client, this.server, ...this.proxies];
  }

  close(linger: DurationMs): void {
    const pairs = [this.server, this.client, ...this.proxies, ...this.#brokers.map(({ pair }) => pair)];
    for (const pair of pairs) pair.close(linger);
  }
}
