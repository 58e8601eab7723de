import type { Subscriber, XPublisher } from 'zeromq';
import { messageOf, systemCode } from '../../errors/errors.ts';
import { type Endpoint, tcp } from '../transport/addresses.ts';
import { isReadable, keepaliveOptions, type SocketFactory } from '../transport/socket-factory.ts';

/** What a link does with what happens on its sockets. None may throw. */
export interface PairHooks {
  /** One frame came in. */
  frame(text: string, pair: SocketPair): void;
  /** The way to and from an endpoint we connect to works: it gets what we publish, and we what it publishes. */
  up?(pair: SocketPair, endpoint: Endpoint): void;
  /** A way that had worked is gone; ZeroMQ tries again by itself. */
  down?(pair: SocketPair, endpoint: Endpoint): void;
  /** Somebody new gets everything we publish here, or somebody does no more. */
  subscribed?(pair: SocketPair): void;
  unsubscribed?(pair: SocketPair): void;
}

/** Ports that have been bound. */
export interface Ports {
  /** Ours is the SUB: others send to it. */
  readonly rx: number;
  /** Ours is the PUB: others listen to it. */
  readonly tx: number;
}

/**
 * One link of the v1 protocol: a SUB and a PUB, both bound or both connected. Publishing never waits and never throws;
 * a link to a peer that is not there drops what is published.
 */
export class SocketPair {
  readonly role: string;
  readonly #sockets: SocketFactory;
  readonly #hooks: PairHooks;
  readonly #sub: Subscriber;
  readonly #pub: XPublisher;
  /** By the ZeroMQ address of either port. */
  readonly #links = new Map<string, Link>();
  #listeners = 0;
  #closed = false;
  #listening = false;
  #watching = false;
  #prefix = '';

  constructor(sockets: SocketFactory, role: string, hooks: PairHooks) {
    this.#sockets = sockets;
    this.role = role;
    this.#hooks = hooks;
    this.#sub = sockets.subscriber();
    this.#pub = sockets.publisher();
    this.#sub.subscribe();
  }

  /** Peers that get everything published here. */
  get listeners(): number {
    return this.#listeners;
  }

  /**
   * Binds both ports on every host, or none of them. Port 0: any free one (the same on every host). Undefined: a port
   * is taken. Rejects with the transport's error when a host is not an address of this machine.
   */
  async bind(hosts: readonly string[], rx: number, tx: number): Promise<Ports | undefined> {
    this.#listen();
    const bound: { socket: Subscriber | XPublisher; address: string }[] = [];
    const ports = { rx, tx };
    try {
      for (const host of hosts) {
        for (const [way, socket] of [['rx', this.#sub] as const, ['tx', this.#pub] as const]) {
          await socket.bind(tcp(host, ports[way] === 0 ? '*' : ports[way]));
          const address = socket.lastEndpoint ?? tcp(host, ports[way]);
          bound.push({ socket, address });
          ports[way] = Number(address.slice(address.lastIndexOf(':') + 1));
        }
      }
      return ports;
    } catch (error) {
      for (const { socket, address } of bound.reverse()) await socket.unbind(address);
      if (systemCode(error) === 'EADDRINUSE') return undefined;
      throw error;
    }
  }

  /** Connects to an endpoint; the hook `up` tells when it works. Twice is once. */
  connect(endpoint: Endpoint): void {
    const { host, rx, tx } = endpoint;
    if (this.#links.has(tcp(host, tx))) return;
    // Not where others connect to what we publish: a listener of v1 that lost such a connection in an outage would never
    // know. Left alone, the connection goes on when the outage is over. Once: ZeroMQ warns of it on a socket that is in use.
    if (!this.#watching) Object.assign(this.#pub, keepaliveOptions);
    this.#watch();
    const link = { endpoint, ways: new Set<string>() };
    this.#links.set(tcp(host, tx), link);
    this.#links.set(tcp(host, rx), link);
    this.#attempt(() => this.#sub.connect(tcp(host, tx)));
    this.#attempt(() => this.#pub.connect(tcp(host, rx)));
    this.#listen();
  }

  /** Gives an endpoint up. */
  disconnect({ host, rx, tx }: Endpoint): void {
    if (!this.#links.delete(tcp(host, tx))) return;
    this.#links.delete(tcp(host, rx));
    this.#attempt(() => this.#sub.disconnect(tcp(host, tx)));
    this.#attempt(() => this.#pub.disconnect(tcp(host, rx)));
  }

  /** The way to and from this endpoint works. */
  isUp({ host, tx }: Endpoint): boolean {
    const link = this.#links.get(tcp(host, tx));
    return link !== undefined && isUp(link);
  }

  /** Listen to everything that is published at the other end, or only to frames that begin like this. */
  listenTo(prefix: string): void {
    if (prefix === this.#prefix || this.#closed) return;
    this.#attempt(() => this.#sub.subscribe(prefix));
    const before = this.#prefix;
    this.#attempt(() => this.#sub.unsubscribe(before));
    this.#prefix = prefix;
  }

  /** Publishes one frame to those who listen to everything. False: nobody does. */
  publish(text: string): boolean {
    return this.#listeners > 0 && this.announce(text);
  }

  /** Publishes one frame to those who listen to everything, and to those who asked for such frames. */
  announce(text: string): boolean {
    if (this.#closed) return false;
    try {
      this.#pub.send(text).catch(this.#dropped);
      return true;
    } catch {
      this.#dropped();
      return false;
    }
  }

  /** Closes both sockets; what was published goes on leaving for up to `linger` ms. */
  close(linger: number): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const socket of [this.#sub, this.#pub]) {
      this.#attempt(() => {
        socket.linger = linger;
        socket.close();
      });
    }
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    void this.#receiveFrames();
    void this.#receiveSubscriptions();
  }

  async #receiveFrames(): Promise<void> {
    try {
      for await (const frames of this.#sub) {
        for (const frame of frames) {
          if (isReadable(frame, this.#sockets.stats)) this.#hooks.frame(frame.toString(), this);
        }
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  async #receiveSubscriptions(): Promise<void> {
    try {
      for await (const [frame] of this.#pub) {
        // The first byte says subscribe (1) or unsubscribe (0); the rest is the prefix, empty for everything.
        if (frame === undefined || frame.length !== 1) continue;
        if (frame[0] === 1) {
          this.#listeners++;
          this.#hooks.subscribed?.(this);
        } else if (frame[0] === 0) {
          this.#listeners = Math.max(0, this.#listeners - 1);
          this.#hooks.unsubscribed?.(this);
        }
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  /**
   * Monitors are attached only to sockets that connect, and always with handlers: a monitor nobody drains stops the
   * ZeroMQ of the whole process once it is full.
   */
  #watch(): void {
    if (this.#watching) return;
    this.#watching = true;
    for (const socket of [this.#sub, this.#pub]) {
      socket.events.on('handshake', ({ address }) => this.#wayUp(address));
      socket.events.on('disconnect', ({ address }) => this.#wayDown(address));
    }
  }

  #wayUp(address: string): void {
    const link = this.#links.get(address);
    if (!link) return;
    const was = isUp(link);
    link.ways.add(address);
    if (!was && isUp(link)) this.#hooks.up?.(this, link.endpoint);
  }

  #wayDown(address: string): void {
    const link = this.#links.get(address);
    if (!link) return;
    const was = isUp(link);
    link.ways.delete(address);
    if (was) this.#hooks.down?.(this, link.endpoint);
  }

  readonly #dropped = (): void => {
    this.#sockets.stats.sendDrops++;
  };

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (this.#closed) return;
    this.#sockets.stats.socketErrors++;
    this.#sockets.log.error({ role: this.role, err: error }, `${this.role}: ${messageOf(error)}`);
  }
}

/** An endpoint we connect to, and which of its two addresses have a live connection. */
interface Link {
  readonly endpoint: Endpoint;
  readonly ways: Set<string>;
}

function isUp({ ways }: Link): boolean {
  return ways.size === 2;
}
