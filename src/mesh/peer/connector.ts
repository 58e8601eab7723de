import type { Dealer } from 'zeromq';
import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import { messageOf } from '../../errors/errors.ts';
import { isRecord } from '../../message/envelope.ts';
import type { AccessControl } from '../security/access-control.ts';
import { tcp } from '../transport/addresses.ts';
import { isReadable, type SocketFactory } from '../transport/socket-factory.ts';
import { type Connection, parseFrame } from './acceptor.ts';
import type { Directory, KnownNode } from './directory.ts';
import { type NodeInfo, readNode, waysTo } from './node-info.ts';
import type { Session } from './session.ts';

/** How long one address gets before the next is tried (ms). */
const CONNECT_MS = 800;
/** How often hello is repeated until it is answered (ms). */
const HELLO_MS = 1000;
/** How long a node that has taken the connection may take to answer (ms). */
const ANSWER_MS = 3000;

/** A place to call. */
export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** Public key that must be there, when the mesh is encrypted. */
  readonly key?: string;
}

export interface OutgoingConnectionHooks {
  /** What we say first. */
  hello(): object;
  /** A frame that is not part of a session yet: an answer to hello. */
  onHandshakeFrame(frame: Record<string, unknown>, caller: OutgoingConnection): void;
  onClosed?(): void;
}

/** Calls another node at its door: at one address after the other, until it answers. One connection, one life. */
export class OutgoingConnection implements Connection {
  readonly outgoing = true;
  /** The session this call has become. */
  session: Session | undefined;
  readonly #sockets: SocketFactory;
  readonly #clock: Clock;
  readonly #hooks: OutgoingConnectionHooks;
  readonly #targets: () => readonly DialTarget[];
  #target: DialTarget | undefined;
  #dealer: Dealer | undefined;
  #token: string | undefined;
  #attempt = 0;
  #helloSentOn: Dealer | undefined;
  #attemptTimer: Timer | undefined;
  #helloTimer: Timer | undefined;
  #closed = false;

  /** `places` is asked before every attempt: addresses may change. */
  constructor(
    sockets: SocketFactory,
    clock: Clock,
    places: () => readonly DialTarget[],
    hooks: OutgoingConnectionHooks,
  ) {
    this.#sockets = sockets;
    this.#clock = clock;
    this.#targets = places;
    this.#hooks = hooks;
    this.#dialNext();
  }

  get key(): string | undefined {
    return this.#target?.key;
  }

  /** Where the connection goes. */
  get host(): string | undefined {
    return this.#target?.host;
  }

  /** Every frame is an object, so what the door wants to see can be put in front. */
  send(text: string): Promise<void> {
    const marked = this.#token === undefined ? text : `{"k":${JSON.stringify(this.#token)},${text.slice(1)}`;
    return this.#dealer?.send(marked) ?? Promise.resolve();
  }

  /** What the door wants to see in every frame from now on. */
  setToken(token: unknown): void {
    if (typeof token === 'string') this.#token = token;
  }

  /** Answers the door before there is a session. */
  sendHandshake(data: object): void {
    this.#dealer?.send(JSON.stringify(data)).catch(() => this.#sockets.stats.sendDrops++);
  }

  /** The call has become a session: no more attempts. */
  attachSession(session: Session): void {
    this.session = session;
    this.#attemptTimer?.cancel();
    this.#helloTimer?.cancel();
  }

  close(linger: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#hooks.onClosed?.();
    this.#attemptTimer?.cancel();
    this.#helloTimer?.cancel();
    this.#closeDealer(linger ? 1000 : 0);
  }

  #dialNext(): void {
    if (this.#closed) return;
    this.#closeDealer(0);
    const places = this.#targets();
    this.#target = places[this.#attempt++ % Math.max(1, places.length)];
    this.#attemptTimer = this.#clock.after(CONNECT_MS, () => this.#dialNext());
    if (!this.#target) return;
    const dealer = this.#sockets.dealer(this.#target.key);
    this.#dealer = dealer;
    const next = () => {
      if (dealer !== this.#dealer || this.session) return;
      this.#attemptTimer?.cancel();
      this.#attemptTimer = this.#clock.after(50, () => this.#dialNext());
    };
    dealer.events.on('handshake', () => this.#sendHello(dealer));
    dealer.events.on('handshake:error:protocol', next);
    dealer.events.on('handshake:error:auth', next);
    dealer.events.on('disconnect', () => {
      if (dealer !== this.#dealer) return;
      if (this.session) this.session.onDisconnect();
      else next();
    });
    void this.#readFrames(dealer);
    try {
      dealer.connect(tcp(this.#target.host, this.#target.port));
    } catch (error) {
      this.#sockets.stats.socketErrors++;
      this.#sockets.log.debug({ place: this.#target }, `cannot call: ${messageOf(error)}`);
    }
  }

  #sendHello(dealer: Dealer): void {
    if (this.#closed || dealer !== this.#dealer || this.session) return;
    dealer.send(JSON.stringify(this.#hooks.hello())).catch(() => this.#sockets.stats.sendDrops++);
    this.#helloTimer?.cancel();
    if (this.#helloSentOn !== dealer) {
      this.#helloSentOn = dealer;
      this.#attemptTimer?.cancel();
      this.#attemptTimer = this.#clock.after(ANSWER_MS, () => this.#dialNext());
    }
    this.#helloTimer = this.#clock.after(HELLO_MS, () => this.#sendHello(dealer));
  }

  async #readFrames(dealer: Dealer): Promise<void> {
    try {
      for await (const [frame] of dealer) {
        if (frame && !isReadable(frame, this.#sockets.stats)) continue;
        const found = frame === undefined ? undefined : parseFrame(frame);
        if (!isRecord(found)) this.#sockets.stats.malformed++;
        else if (this.session) this.session.receive(found);
        else this.#hooks.onHandshakeFrame(found, this);
      }
    } catch (error) {
      if (dealer !== this.#dealer) return;
      this.#sockets.stats.socketErrors++;
      this.#sockets.log.debug({ err: error }, `a call broke: ${messageOf(error)}`);
    }
  }

  #closeDealer(linger: number): void {
    const dealer = this.#dealer;
    this.#dealer = undefined;
    this.#helloTimer?.cancel();
    if (!dealer) return;
    dealer.linger = linger;
    dealer.close();
  }
}

/** How long after a link with a named broker is gone it is called again (ms). */
const REDIAL_MS = 500;

export interface NamedBrokerDialerHost extends Pick<OutgoingConnectionHooks, 'hello' | 'onHandshakeFrame'> {
  hasSession(id: string): boolean;
}

/**
 * Calls the broker of another machine, whoever that is: with one allowed key after the other, because a door is asked for
 * by its key. Again whenever there is no session with whoever was found there.
 */
export class NamedBrokerDialer {
  readonly #sockets: SocketFactory;
  readonly #clock: Clock;
  readonly #targets: () => readonly DialTarget[];
  readonly #host: NamedBrokerDialerHost;
  #brokerId = '';
  #connection: OutgoingConnection | undefined;
  #stopped = false;

  constructor(sockets: SocketFactory, clock: Clock, places: () => readonly DialTarget[], host: NamedBrokerDialerHost) {
    this.#sockets = sockets;
    this.#clock = clock;
    this.#targets = places;
    this.#host = host;
    this.#dial();
  }

  stop(): void {
    this.#stopped = true;
    if (!this.#connection?.session) this.#connection?.close(false);
  }

  #dial(): void {
    if (this.#stopped) return;
    if (this.#host.hasSession(this.#brokerId)) {
      this.#clock.after(REDIAL_MS, () => this.#dial());
      return;
    }
    this.#connection = new OutgoingConnection(this.#sockets, this.#clock, this.#targets, {
      hello: () => this.#host.hello(),
      onHandshakeFrame: (frame, caller) => {
        this.#brokerId =
          readNode(frame['welcome'])?.id ?? (typeof frame['id'] === 'string' ? frame['id'] : this.#brokerId);
        this.#host.onHandshakeFrame(frame, caller);
      },
      onClosed: () => {
        this.#clock.after(REDIAL_MS, () => this.#dial());
      },
    });
  }
}

/** How long the node that should be called by the other waits before it calls itself (ms). */
const DIAL_BACKOFF_MS: DurationMs = 1000;

export interface ConnectorHost {
  self(): NodeInfo;
  /** This process stays on its machine. */
  readonly local: boolean;
  /** Who may come in; undefined while the mesh is not encrypted. */
  accessControl(): AccessControl | undefined;
  /** What we say first. */
  hello(): object;
  /** A door has answered: whom we called (`entry`), or whoever is the broker at a named address. */
  onHandshakeFrame(entry: KnownNode | undefined, frame: Record<string, unknown>, caller: OutgoingConnection): void;
}

/** Who calls whom, when, and where. */
export class Connector {
  readonly #sockets: SocketFactory;
  readonly #clock: Clock;
  readonly #directory: Directory;
  readonly #host: ConnectorHost;
  readonly #brokers: NamedBrokerDialer[] = [];
  #stopped = false;

  constructor(sockets: SocketFactory, clock: Clock, directory: Directory, host: ConnectorHost) {
    this.#sockets = sockets;
    this.#clock = clock;
    this.#directory = directory;
    this.#host = host;
  }

  /** One of the two calls: who has the smaller id, unless the other cannot. Later both do, in case that was wrong. */
  connectTo(entry: KnownNode): void {
    entry.dialBackoff?.cancel();
    if (this.#stopped || this.#targets(entry).length === 0) return;
    const self = this.#host.self();
    if (self.id < entry.info.id || waysTo(self, entry.info).length === 0) this.#dial(entry);
    else {
      entry.dialBackoff = this.#clock.after(DIAL_BACKOFF_MS, () => {
        if (!entry.session) this.#dial(entry);
      });
    }
  }

  /** A second connection beside one that brings nothing: whoever made the first makes it. */
  openStandby(session: Session): void {
    const entry = this.#directory.get(session.peer.id);
    if (this.#stopped || entry?.session !== session || !session.connection.outgoing) return;
    entry.standbyConnection ??= this.#newConnection(entry);
  }

  /** Calls the broker of another machine at its well-known port. */
  dialBroker(host: string, port: number): void {
    const places = () => (this.#host.accessControl()?.keys() ?? []).map((key) => ({ host, port, key }));
    this.#brokers.push(
      new NamedBrokerDialer(this.#sockets, this.#clock, places, {
        hello: () => this.#host.hello(),
        onHandshakeFrame: (frame, caller) => this.#host.onHandshakeFrame(undefined, frame, caller),
        hasSession: (id) => this.#directory.get(id)?.session !== undefined,
      }),
    );
  }

  /** No more calls; those that became sessions stay. */
  stop(): void {
    this.#stopped = true;
    for (const { connection, standbyConnection, dialBackoff } of this.#directory.entries()) {
      dialBackoff?.cancel();
      standbyConnection?.close(false);
      if (!connection?.session) connection?.close(false);
    }
    for (const broker of this.#brokers) broker.stop();
  }

  #dial(entry: KnownNode): void {
    if (!this.#stopped) entry.connection ??= this.#newConnection(entry);
  }

  #newConnection(entry: KnownNode): OutgoingConnection {
    return new OutgoingConnection(this.#sockets, this.#clock, () => this.#targets(entry), {
      hello: () => this.#host.hello(),
      onHandshakeFrame: (frame, caller) => this.#host.onHandshakeFrame(entry, frame, caller),
    });
  }

  #targets({ info }: KnownNode): readonly DialTarget[] {
    const self = this.#host.self();
    if (this.#host.local && info.machine !== self.machine) return [];
    const gate = this.#host.accessControl();
    if (gate ? !gate.allows(info.key) : info.key !== undefined) return [];
    return waysTo(info, self).map((host) => ({ host, port: info.port, ...(info.key && { key: info.key }) }));
  }
}
