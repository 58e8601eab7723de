import type { Subscriber, XPublisher } from 'zeromq';
import { messageOf, systemCode } from '../../errors/errors.ts';
import { type Endpoint, type Ports, tcp } from '../transport/addresses.ts';
import { isReadable, keepaliveOptions, type SocketFactory } from '../transport/socket-factory.ts';

export interface PairListener {
  /** One frame came in. Must not throw, like the others. */
  onFrame(text: string, pair: SocketPair): void;
  /** Both connections to an endpoint work: it gets what we publish, and we what it publishes. */
  onUp(pair: SocketPair, endpoint: Endpoint): void;
  /** A connection to an endpoint that was up has broken; ZeroMQ reconnects by itself. */
  onDown(pair: SocketPair, endpoint: Endpoint): void;
  /** A subscriber to everything published here has joined, or left. */
  onSubscriber(pair: SocketPair, joined: boolean): void;
}

/**
 * One link of the v1 protocol: a SUB and a PUB socket, both bound or both connected. Publishing never waits and never throws;
 * what is published to a peer that is not connected is dropped.
 */
export class SocketPair {
  readonly role: string;
  readonly #sockets: SocketFactory;
  readonly #listener: PairListener;
  readonly #sub: Subscriber;
  readonly #pub: XPublisher;
  /** Keyed by the ZeroMQ address of either port. */
  readonly #links = new Map<string, Link>();
  #subscribers = 0;
  #closed = false;
  /** The bind under way: until it ends ZeroMQ refuses to read and write (EBUSY). */
  #binding: Promise<void> | undefined;
  #reading = false;
  #watching = false;
  #prefix = '';

  constructor(sockets: SocketFactory, role: string, listener: PairListener) {
    this.#sockets = sockets;
    this.role = role;
    this.#listener = listener;
    this.#sub = sockets.subscriber();
    this.#pub = sockets.publisher();
    this.#sub.subscribe();
  }

  /** Number of peers that subscribe to everything published here. */
  get subscribers(): number {
    return this.#subscribers;
  }

  /**
   * Binds both ports on every host, or none of them. Port 0 is any free one, the same on every host. Resolves with `undefined`
   * when a port is taken. Rejects with the transport's error when a host is not an address of this machine.
   */
  async bind(hosts: readonly string[], rx: number, tx: number): Promise<Ports | undefined> {
    this.#startReading();
    const binding = this.#bindAll(hosts, rx, tx);
    this.#binding = binding.then(ignore, ignore);
    try {
      return await binding;
    } finally {
      this.#binding = undefined;
    }
  }

  async #bindAll(hosts: readonly string[], rx: number, tx: number): Promise<Ports | undefined> {
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

  /** Connects to an endpoint; `onUp` tells when it works. Idempotent. */
  connect(endpoint: Endpoint): void {
    const { host, rx, tx } = endpoint;
    if (this.#links.has(tcp(host, tx))) return;
    // Only where we connect. A v1 subscriber that connected to us and lost the connection in an outage would never know; left
    // alone, the connection goes on after the outage. Set once: ZeroMQ warns of it on a socket in use.
    if (!this.#watching) Object.assign(this.#pub, keepaliveOptions);
    this.#watch();
    const link = { endpoint, connected: new Set<string>() };
    this.#links.set(tcp(host, tx), link);
    this.#links.set(tcp(host, rx), link);
    this.#attempt(() => this.#sub.connect(tcp(host, tx)));
    this.#attempt(() => this.#pub.connect(tcp(host, rx)));
    this.#startReading();
  }

  /** Disconnects from an endpoint. */
  disconnect({ host, rx, tx }: Endpoint): void {
    if (!this.#links.delete(tcp(host, tx))) return;
    this.#links.delete(tcp(host, rx));
    this.#attempt(() => this.#sub.disconnect(tcp(host, tx)));
    this.#attempt(() => this.#pub.disconnect(tcp(host, rx)));
  }

  /** True when both connections to this endpoint work. */
  isUp({ host, tx }: Endpoint): boolean {
    const link = this.#links.get(tcp(host, tx));
    return link !== undefined && isUp(link);
  }

  /** Subscribes to the frames that begin with this prefix; the empty prefix means all of them. */
  subscribeTo(prefix: string): void {
    if (prefix === this.#prefix || this.#closed) return;
    this.#attempt(() => this.#sub.subscribe(prefix));
    const before = this.#prefix;
    this.#attempt(() => this.#sub.unsubscribe(before));
    this.#prefix = prefix;
  }

  /** Publishes one frame to those that subscribe to everything. Returns false when nobody does. */
  publish(text: string): boolean {
    return this.#subscribers > 0 && this.announce(text);
  }

  /** Publishes one frame, also to those that subscribe to its prefix only. */
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

  /** Closes both sockets; published frames may still leave for `linger` ms. */
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

  #startReading(): void {
    if (this.#reading) return;
    this.#reading = true;
    void this.#receiveFrames();
    void this.#receiveSubscriptions();
  }

  async #receiveFrames(): Promise<void> {
    try {
      for await (const frames of this.#sub) {
        for (const frame of frames) {
          if (isReadable(frame, this.#sockets.stats)) this.#listener.onFrame(frame.toString(), this);
        }
      }
    } catch (error) {
      if (await this.#bindingEnded()) return this.#receiveFrames();
      this.#failed(error);
    }
  }

  async #receiveSubscriptions(): Promise<void> {
    try {
      for await (const [frame] of this.#pub) {
        // The first byte says subscribe (1) or unsubscribe (0); the rest is the prefix, empty for everything.
        if (frame === undefined || frame.length !== 1) continue;
        if (frame[0] === 1) {
          this.#subscribers++;
          this.#listener.onSubscriber(this, true);
        } else if (frame[0] === 0) {
          this.#subscribers = Math.max(0, this.#subscribers - 1);
          this.#listener.onSubscriber(this, false);
        }
      }
    } catch (error) {
      if (await this.#bindingEnded()) return this.#receiveSubscriptions();
      this.#failed(error);
    }
  }

  /** Resolves with true when a bind was under way and has ended, so that reading can go on. */
  async #bindingEnded(): Promise<boolean> {
    if (!this.#binding || this.#closed) return false;
    await this.#binding;
    return true;
  }

  /**
   * Monitors only sockets that connect, and always with handlers: a monitor that nobody reads blocks the ZeroMQ of the whole
   * process once its queue is full.
   */
  #watch(): void {
    if (this.#watching) return;
    this.#watching = true;
    for (const socket of [this.#sub, this.#pub]) {
      socket.events.on('handshake', ({ address }) => this.#onHandshake(address));
      socket.events.on('disconnect', ({ address }) => this.#onDisconnect(address));
    }
  }

  #onHandshake(address: string): void {
    const link = this.#links.get(address);
    if (!link) return;
    const was = isUp(link);
    link.connected.add(address);
    if (!was && isUp(link)) this.#listener.onUp(this, link.endpoint);
  }

  #onDisconnect(address: string): void {
    const link = this.#links.get(address);
    if (!link) return;
    const was = isUp(link);
    link.connected.delete(address);
    if (was) this.#listener.onDown(this, link.endpoint);
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

/** An endpoint we connect to, and those of its two addresses that are connected. */
interface Link {
  readonly endpoint: Endpoint;
  readonly connected: Set<string>;
}

function isUp({ connected }: Link): boolean {
  return connected.size === 2;
}

function ignore(): void {
  // The caller of bind() has the outcome.
}
