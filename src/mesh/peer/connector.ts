import type { Dealer } from 'zeromq';
import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import { messageOf } from '../../errors/errors.ts';
import { isRecord } from '../../message/envelope.ts';
import { type LocalNode, readNode, waysTo } from '../local-node.ts';
import type { PeerAccess } from '../security/access-control.ts';
import { tcp } from '../transport/addresses.ts';
import { isReadable, type SocketFactory } from '../transport/socket-factory.ts';
import { type Connection, type ConnectionUser, parseFrame } from './acceptor.ts';
import type { Directory, KnownNode } from './directory.ts';
import type { Session } from './session.ts';

/** Time that one target gets to accept the connection before the next is tried (ms). */
const CONNECT_MS = 800;
/** Interval at which hello is repeated until it is answered (ms). */
const HELLO_MS = 1000;
/** Time that a node gets to answer hello after it has accepted the connection (ms). */
const ANSWER_MS = 3000;
/** Wait before the next target when one has refused or closed the connection (ms). */
const NEXT_TARGET_MS = 50;
/** Time in which frames sent last may still leave (ms). */
const LINGER_MS = 1000;

/** An address to dial. */
export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** Public key the server must have, when the mesh is encrypted. */
  readonly key?: string;
}

export interface CalleeHandshake {
  /** The first frame of a connection. */
  hello(): object;
  /** Handles a frame of the node we dialled that is not part of a session yet. */
  onCalleeFrame(frame: Record<string, unknown>, connection: OutgoingConnection): void;
  /** The node we dialled does not allow our key. */
  onKeyRefused(): void;
}

/** Dials another node: one target after the other, until one answers. An object is used for one connection only. */
export class OutgoingConnection implements Connection {
  readonly outgoing = true;
  /** The node it dials; `undefined` when it dials whatever node is at an address. */
  readonly node: KnownNode | undefined;
  /** Id of the node that has answered. */
  peerId: string | undefined;
  /** The session this connection carries. */
  session: ConnectionUser | undefined;
  readonly #sockets: SocketFactory;
  readonly #clock: Clock;
  readonly #handshake: CalleeHandshake;
  readonly #targets: () => readonly DialTarget[];
  readonly #onClosed: () => void;
  #target: DialTarget | undefined;
  #dealer: Dealer | undefined;
  #token: string | undefined;
  #attempt = 0;
  #helloSentOn: Dealer | undefined;
  #attemptTimer: Timer | undefined;
  #helloTimer: Timer | undefined;
  #closed = false;

  /** `targets` is called before every attempt, because addresses may change. */
  constructor(
    sockets: SocketFactory,
    clock: Clock,
    handshake: CalleeHandshake,
    targets: () => readonly DialTarget[],
    node?: KnownNode,
    onClosed: () => void = () => undefined,
  ) {
    this.#sockets = sockets;
    this.#clock = clock;
    this.#handshake = handshake;
    this.#targets = targets;
    this.node = node;
    this.#onClosed = onClosed;
    this.#dialNext();
  }

  get key(): string | undefined {
    return this.#target?.key;
  }

  /** Address the connection goes to. */
  get host(): string | undefined {
    return this.#target?.host;
  }

  /** Every frame is a JSON object, so the token is put in front of its other members. */
  send(text: string): Promise<void> {
    const marked = this.#token === undefined ? text : `{"k":${JSON.stringify(this.#token)},${text.slice(1)}`;
    return this.#dealer?.send(marked) ?? Promise.resolve();
  }

  /** Sets the token that the acceptor expects in every frame. */
  setToken(token: unknown): void {
    if (typeof token === 'string') this.#token = token;
  }

  /** Sends a frame of the handshake, before there is a session. */
  sendHandshake(data: object): void {
    this.#dealer?.send(JSON.stringify(data)).catch(() => this.#sockets.stats.sendDrops++);
  }

  /** The connection carries this session now: no more attempts. */
  attachSession(session: ConnectionUser): void {
    this.session = session;
    this.#attemptTimer?.cancel();
    this.#helloTimer?.cancel();
  }

  close(linger: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClosed();
    this.#attemptTimer?.cancel();
    this.#closeDealer(linger ? LINGER_MS : 0);
  }

  #dialNext(): void {
    if (this.#closed) return;
    this.#closeDealer(0);
    const targets = this.#targets();
    this.#target = targets[this.#attempt++ % Math.max(1, targets.length)];
    this.#attemptTimer = this.#clock.after(CONNECT_MS, () => this.#dialNext());
    if (!this.#target) return;
    const dealer = this.#sockets.dealer(this.#target.key);
    this.#dealer = dealer;
    this.#watch(dealer);
    void this.#readFrames(dealer);
    try {
      dealer.connect(tcp(this.#target.host, this.#target.port));
    } catch (error) {
      this.#sockets.stats.socketErrors++;
      this.#sockets.log.debug({ target: this.#target }, `cannot connect: ${messageOf(error)}`);
    }
  }

  #watch(dealer: Dealer): void {
    const next = () => {
      if (dealer !== this.#dealer || this.session) return;
      this.#attemptTimer?.cancel();
      this.#attemptTimer = this.#clock.after(NEXT_TARGET_MS, () => this.#dialNext());
    };
    dealer.events.on('handshake', () => this.#sendHello(dealer));
    dealer.events.on('handshake:error:protocol', next);
    dealer.events.on('handshake:error:auth', () => {
      if (dealer === this.#dealer) this.#handshake.onKeyRefused();
      next();
    });
    dealer.events.on('disconnect', () => {
      if (dealer !== this.#dealer) return;
      if (this.session) this.session.onDisconnect();
      else next();
    });
  }

  #sendHello(dealer: Dealer): void {
    if (this.#closed || dealer !== this.#dealer || this.session) return;
    this.sendHandshake(this.#handshake.hello());
    this.#helloTimer?.cancel();
    if (this.#helloSentOn !== dealer) {
      this.#helloSentOn = dealer;
      this.#attemptTimer?.cancel();
      this.#attemptTimer = this.#clock.after(ANSWER_MS, () => this.#dialNext());
    }
    this.#helloTimer = this.#clock.after(HELLO_MS, () => this.#sendHello(dealer));
  }

  async #readFrames(dealer: Dealer): Promise<void> {
    const { stats, log } = this.#sockets;
    try {
      for await (const [frame] of dealer) {
        if (frame && !isReadable(frame, stats)) continue;
        const found = frame === undefined ? undefined : parseFrame(frame);
        if (!isRecord(found)) stats.malformed++;
        else if (this.session) this.session.receive(found);
        else this.#onHandshakeFrame(found);
      }
    } catch (error) {
      if (dealer !== this.#dealer) return;
      stats.socketErrors++;
      log.debug({ err: error }, `an outgoing connection failed: ${messageOf(error)}`);
    }
  }

  #onHandshakeFrame(frame: Record<string, unknown>): void {
    const id = readNode(frame['welcome'])?.id ?? frame['id'];
    if (typeof id === 'string') this.peerId = id;
    this.#handshake.onCalleeFrame(frame, this);
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

/** Wait before a named broker is dialled again (ms). */
const REDIAL_MS = 500;
/** Wait of the node that should be dialled by the other before it dials itself (ms). */
const DIAL_BACKOFF_MS: DurationMs = 1000;

/** Which nodes a process dials: any, those of its machine, or only brokers that it was told the address of. */
export type DialScope = 'network' | 'machine' | 'named-brokers';

/** Decides which node dials which, when, and at which addresses. */
export class Connector {
  readonly #sockets: SocketFactory;
  readonly #clock: Clock;
  readonly #directory: Directory;
  readonly #localNode: LocalNode;
  readonly #access: PeerAccess | undefined;
  readonly #scope: DialScope;
  readonly #handshake: CalleeHandshake;
  readonly #brokerConnections = new Set<OutgoingConnection>();
  #stopped = false;

  /** `access`: `undefined` while the mesh is not encrypted. */
  constructor(
    sockets: SocketFactory,
    directory: Directory,
    localNode: LocalNode,
    access: PeerAccess | undefined,
    scope: DialScope,
    handshake: CalleeHandshake,
  ) {
    this.#sockets = sockets;
    this.#clock = directory.clock;
    this.#directory = directory;
    this.#localNode = localNode;
    this.#access = access;
    this.#scope = scope;
    this.#handshake = handshake;
  }

  /** The node with the smaller id dials, unless it cannot. The other one dials later, in case the first could not. */
  connectTo(node: KnownNode): void {
    node.dialBackoff?.cancel();
    if (this.#stopped || this.#targets(node).length === 0) return;
    const self = this.#localNode.info();
    if (self.id < node.info.id || waysTo(self, node.info).length === 0) this.#dial(node);
    else {
      node.dialBackoff = this.#clock.after(DIAL_BACKOFF_MS, () => {
        if (!node.session) this.#dial(node);
      });
    }
  }

  /** Opens a second connection beside one that brings nothing. The node that dialled the first one dials it. */
  openStandby(session: Session): void {
    const node = this.#directory.get(session.peer.id);
    if (this.#stopped || node?.session !== session || !session.connection.outgoing) return;
    node.standbyConnection ??= this.#newConnection(node);
  }

  /**
   * Dials the broker of another machine at its well-known port, and again whenever there is no session with it. CURVE needs
   * the server's key before connecting, and nobody knows which node is the broker, so each allowed key is tried in turn.
   */
  dialBroker(host: string, port: number, knownId = ''): void {
    if (this.#stopped) return;
    if (this.#directory.get(knownId)?.session) {
      this.#redial(host, port, knownId);
      return;
    }
    const targets = () => (this.#access?.keys() ?? []).map((key) => ({ host, port, key }));
    const connection: OutgoingConnection = new OutgoingConnection(
      this.#sockets,
      this.#clock,
      this.#handshake,
      targets,
      undefined,
      () => {
        this.#brokerConnections.delete(connection);
        this.#redial(host, port, connection.peerId ?? knownId);
      },
    );
    this.#brokerConnections.add(connection);
  }

  /** No more dialling; connections that carry sessions stay. */
  stop(): void {
    this.#stopped = true;
    for (const { session, connection, standbyConnection, dialBackoff } of this.#directory.nodes()) {
      dialBackoff?.cancel();
      standbyConnection?.close(false);
      if (session?.connection !== connection) connection?.close(false);
    }
    for (const connection of [...this.#brokerConnections]) if (!connection.session) connection.close(false);
  }

  #redial(host: string, port: number, id: string): void {
    if (!this.#stopped) this.#clock.after(REDIAL_MS, () => this.dialBroker(host, port, id));
  }

  #dial(node: KnownNode): void {
    if (!this.#stopped) node.connection ??= this.#newConnection(node);
  }

  #newConnection(node: KnownNode): OutgoingConnection {
    return new OutgoingConnection(this.#sockets, this.#clock, this.#handshake, () => this.#targets(node), node);
  }

  #targets({ info }: KnownNode): readonly DialTarget[] {
    const self = this.#localNode.info();
    if (this.#scope === 'named-brokers' || (this.#scope === 'machine' && info.machine !== self.machine)) return [];
    // An encrypted mesh and an open one do not mix.
    if (this.#access ? !this.#access.keys().includes(info.key ?? '') : info.key !== undefined) return [];
    return waysTo(info, self).map((host) => ({
      host,
      port: info.port,
      ...(info.key !== undefined && { key: info.key }),
    }));
  }
}
