import type { Clock, DurationMs, MonotonicMs } from '../../clock/clock.ts';
import { type MeshOptions, v1Listen } from '../options.ts';
import { type Endpoint, isLoopback, ownAddresses } from '../transport/addresses.ts';
import type { SocketFactory } from '../transport/socket-factory.ts';
import { Dialer } from './dialer.ts';
import { type Contact, isOnThisMachine } from './introductions.ts';
import { type PairHooks, type Ports, SocketPair } from './socket-pair.ts';

/** How long a v1 process counts as heard after its last message (ms). */
const HEARD_MS: DurationMs = 10_000;
/** How long it is remembered, for people: v1 says neither that it lives nor that it goes (ms). */
const KNOWN_MS: DurationMs = 60_000;
const MAX_SENDERS_KEPT = 1024;

/** The v1 processes whose messages come to us without anybody's help; peers need not pass those on to us. */
export class DirectSenders {
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #heard = new Map<string, MonotonicMs>();
  readonly #known = new Map<string, MonotonicMs>();

  constructor(clock: Clock, changed: () => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  /** A message came directly from this process. */
  hear(id: string): void {
    if (this.#known.has(id) || this.#known.size < MAX_SENDERS_KEPT) this.#known.set(id, this.#clock.now());
    const fresh = !this.#heard.has(id);
    if (fresh && this.#heard.size >= MAX_SENDERS_KEPT) return;
    this.#heard.set(id, this.#clock.now());
    if (fresh) this.#changed();
  }

  ids(): readonly string[] {
    return [...this.#heard.keys()];
  }

  /** Those heard within the last minute, with how long ago. */
  known(): { readonly id: string; readonly silentMs: DurationMs }[] {
    const now = this.#clock.now();
    return [...this.#known].map(([id, at]) => ({ id, silentMs: now - at }));
  }

  /** A link has broken: whom we heard over it is not known, so nobody counts until heard again. */
  forget(): void {
    if (this.#heard.size === 0) return;
    this.#heard.clear();
    this.#changed();
  }

  /** Forgets who has been silent. Called now and then. */
  sweep(): void {
    const now = this.#clock.now();
    for (const [id, at] of this.#known) if (now - at > KNOWN_MS) this.#known.delete(id);
    for (const [id, at] of this.#heard) {
      if (now - at <= HEARD_MS) continue;
      this.#heard.delete(id);
      this.#changed();
    }
  }
}

export interface V1LinksHooks extends PairHooks {
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
export class V1Links {
  readonly server: SocketPair;
  readonly client: SocketPair;
  readonly proxies: readonly SocketPair[];
  readonly dialer: Dialer;
  readonly #options: MeshOptions;
  readonly #brokers: readonly { readonly pair: SocketPair; readonly endpoint: Endpoint }[];
  readonly #proxyEndpoints: readonly Endpoint[];

  /** `closed`: what is not encrypted stays on this machine. */
  constructor(sockets: SocketFactory, clock: Clock, options: MeshOptions, closed: boolean, hooks: V1LinksHooks) {
    const clear = ({ host }: Endpoint) => !closed || isLoopback(host);
    this.#options = options;
    this.server = new SocketPair(sockets, 'server', hooks);
    this.client = new SocketPair(sockets, 'client', {
      ...hooks,
      up: (_pair, endpoint) => this.dialer.up(endpoint),
      down: (_pair, endpoint) => {
        hooks.lost();
        this.dialer.down(endpoint);
      },
    });
    this.dialer = new Dialer(this.client, clock, sockets);
    this.#proxyEndpoints = options.proxyBrokers.filter(clear);
    this.proxies = this.#proxyEndpoints.map(() => new SocketPair(sockets, 'proxy broker', hooks));
    this.#brokers = options.brokers.filter(clear).map((endpoint) => {
      const joined = (pair: SocketPair) => {
        if (pair.isUp(endpoint) && pair.listeners > 0) hooks.joined(pair);
      };
      const down = (pair: SocketPair) => hooks.parted(pair);
      return {
        endpoint,
        pair: new SocketPair(sockets, 'broker client', { ...hooks, up: joined, subscribed: joined, down }),
      };
    });
    for (const endpoint of options.proxyBrokers) {
      if (clear(endpoint)) continue;
      sockets.log.error(
        { ...endpoint },
        'with keys, a proxy broker must be the end of a tunnel on this machine; it is ignored',
      );
    }
  }

  /** Binds the server link; returns its ports. */
  async bind(): Promise<Ports> {
    for (;;) {
      const ports = await this.server.bind([v1Listen(this.#options)], 0, 0);
      if (ports) return ports;
    }
  }

  /** Connects to all that the user named. */
  connect(): void {
    for (const [at, endpoint] of this.#proxyEndpoints.entries()) this.proxies[at]?.connect(endpoint);
    for (const { pair, endpoint } of this.#brokers) pair.connect(endpoint);
  }

  /** Connects to the server of another process. One that listens on loopback and names no broker stays on its machine. */
  connectTo(contact: Contact): void {
    const own = ownAddresses();
    const here = contact.addresses.length === 0 || isOnThisMachine(contact, own);
    if (!here && isLoopback(v1Listen(this.#options)) && this.#brokers.length === 0) return;
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
