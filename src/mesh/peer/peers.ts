import type { Timer } from '../../clock/clock.ts';
import { StallDetector } from '../liveness/failure-detector.ts';
import { PingSocket } from '../liveness/pings.ts';
import type { LocalNode, NodeInfo } from '../local-node.ts';
import type { Router } from '../routing/router.ts';
import type { PeerAccess } from '../security/access-control.ts';
import type { SocketFactory } from '../transport/socket-factory.ts';
import { Acceptor, type Connection } from './acceptor.ts';
import { Connector, type DialScope } from './connector.ts';
import { Directory, type KnownNode } from './directory.ts';
import { Handshake, type SessionOpener } from './handshake.ts';
import { PeerTransport } from './peer-transport.ts';
import { ReplacedSessions } from './replaced-sessions.ts';
import {
  type EndReason,
  readPeerState,
  Session,
  type SessionContext,
  type SessionEvent,
  type SessionListener,
} from './session.ts';
import { SubscriptionSync, type V1Processes } from './subscription-sync.ts';

const TICK_MS = 150;
/** Wait before a new peer is told to those that seem not to know it (ms). */
const GOSSIP_MS = 300;

export type PeerEvent =
  /** There is a session with the peer, after there was none. */
  | { readonly type: 'up' }
  | { readonly type: 'down'; readonly reason: EndReason }
  | Extract<SessionEvent, { readonly type: 'settled' | 'birth' | 'gap' | 'dropped' }>;

export interface PeerListener {
  /** Must not throw. */
  onPeerEvent(session: Session, event: PeerEvent): void;
  /** A node that we dialled does not allow our key. */
  onKeyRefused(): void;
}

/** Finds other dcs-io nodes and keeps one session with each that can be reached. */
export class Peers implements SessionListener, SessionOpener {
  readonly directory: Directory;
  readonly connector: Connector;
  readonly subscriptionSync: SubscriptionSync;
  readonly stalls: StallDetector;
  readonly #sockets: SocketFactory;
  readonly #localNode: LocalNode;
  readonly #access: PeerAccess | undefined;
  readonly #scope: DialScope;
  readonly #listener: PeerListener;
  readonly #handshake: Handshake;
  readonly #messages: PeerTransport;
  readonly #sessionContext: SessionContext;
  readonly #replaced: ReplacedSessions;
  readonly #pings: PingSocket;
  #acceptor: Acceptor | undefined;
  #ticker: Timer | undefined;
  #stopped = false;

  /** `access`: `undefined` while the mesh is not encrypted. */
  constructor(
    sockets: SocketFactory,
    router: Router,
    localNode: LocalNode,
    v1: V1Processes,
    access: PeerAccess | undefined,
    scope: DialScope,
    listener: PeerListener,
  ) {
    const { clock, stats } = router;
    this.#sockets = sockets;
    this.#localNode = localNode;
    this.#access = access;
    this.#scope = scope;
    this.#listener = listener;
    this.stalls = new StallDetector(TICK_MS, clock.now());
    this.directory = new Directory(clock);
    this.#pings = new PingSocket(stats, sockets.log);
    this.#replaced = new ReplacedSessions(clock);
    this.#messages = new PeerTransport(router, this.directory, localNode, access);
    this.#sessionContext = { clock, stats, messages: this.#messages, listener: this };
    this.subscriptionSync = new SubscriptionSync(this.directory, router, v1);
    this.#handshake = new Handshake(stats, localNode, this.directory, this.subscriptionSync, access, this);
    this.connector = new Connector(sockets, this.directory, localNode, access, scope, this.#handshake);
  }

  session(id: string): Session | undefined {
    return this.directory.get(id)?.session;
  }

  /** Listens for other nodes and, unless this process stays on its machine, for pings at the same port. Returns the port. */
  async bind(listen: string): Promise<number> {
    this.#acceptor = new Acceptor(this.#sockets, this.#handshake);
    const port = await this.#acceptor.bind(listen);
    if (this.#scope === 'network') await this.#pings.bind(listen, port);
    return port;
  }

  /** A broker with keys does not serve v1, and is dialled at its well-known port: on addresses it gets later too. */
  bindMore(port: number): void {
    if (this.#access) void this.#acceptor?.bindMore(this.#localNode.info().addresses, port);
  }

  start(): void {
    const { clock } = this.directory;
    const now = clock.now();
    const ownStall = this.stalls.tick(now);
    for (const session of [...this.directory.sessions(), ...this.#replaced.sessions()]) session.tick(now, ownStall);
    this.#sockets.stats.expiredContacts += this.directory.expire();
    this.#ticker = clock.after(TICK_MS, () => this.start());
  }

  learn(info: NodeInfo): void {
    if (this.#stopped || info.id === this.#localNode.id || this.directory.hasLeft(info.id)) return;
    const node = this.directory.ensure(info);
    if (!node) return;
    // A node's own description counts more than the one that others give of it now.
    if (node.answered && node.info.key !== info.key) {
      this.#sockets.stats.forged++;
      return;
    }
    node.info = info;
    if (!node.session && !node.connection) this.connector.connectTo(node);
  }

  async stop(linger: number): Promise<void> {
    this.#stopped = true;
    this.#ticker?.cancel();
    this.subscriptionSync.stop();
    this.#handshake.stop();
    this.connector.stop();
    await Promise.all([...this.directory.sessions()].map((session) => session.leave()));
    this.#replaced.stop();
    this.#pings.close();
    this.#acceptor?.close(linger);
  }

  /** Ends the sessions of a key that is not allowed any more. */
  revoke(key: string): void {
    for (const session of [...this.directory.sessions()]) if (session.connection.key === key) session.end('revoked');
    this.#replaced.revoke(key);
  }

  onKeyRefused(): void {
    this.#listener.onKeyRefused();
  }

  openSession(node: KnownNode, connection: Connection, frame: Record<string, unknown>, host?: string): Session {
    const remote = node.info.machine !== this.#localNode.info().machine;
    const path = { remote, socket: this.#pings, host };
    const session = new Session(this.#sessionContext, connection, readPeerState(node.info, frame), path);
    if (typeof frame['t'] === 'number') session.compareClocks(frame['t']);
    const old = node.session;
    if (!old) node.since = this.directory.clock.now();
    node.session = session;
    node.answered = true;
    node.dialBackoff?.cancel();
    if (old) this.#replaced.add(old, session);
    this.#messages.sendSnapshot(session);
    if (!old) {
      this.#listener.onPeerEvent(session, { type: 'up' });
      if (this.#acceptor) this.directory.clock.after(GOSSIP_MS, () => this.#gossip(session));
    }
    this.subscriptionSync.refresh(false);
    return session;
  }

  onSessionEvent(session: Session, event: SessionEvent): void {
    switch (event.type) {
      case 'subscription':
        this.subscriptionSync.refresh(false);
        if (session.subscription !== event.before) this.#messages.sendSnapshot(session, event.before);
        break;
      case 'nodes':
        for (const node of event.nodes) this.learn(node);
        break;
      case 'sync-request':
        this.#messages.sendSnapshot(session);
        break;
      case 'stalled':
        this.connector.openStandby(session);
        break;
      case 'sent-before':
        this.#replaced.reconcile(session, event.sent);
        break;
      case 'ended':
        this.#onEnded(session, event.reason);
        break;
      default:
        this.#count(session, event);
        this.#listener.onPeerEvent(session, event);
        if (event.type === 'settled') this.subscriptionSync.refresh(false);
    }
  }

  #count({ peer }: Session, event: PeerEvent): void {
    const node = this.directory.get(peer.id);
    if (event.type === 'gap') {
      if (node) node.missed += event.missed;
      this.#sockets.stats.missed += event.missed;
    } else if (event.type === 'dropped') {
      if (node) node.dropped += event.messages;
      this.#sockets.stats.dropped += event.messages;
    }
  }

  /** Tells the other peers of a new one that they do not seem to know, and the new one of them. */
  #gossip(newcomer: Session): void {
    for (const session of this.directory.sessions()) {
      if (session === newcomer || session.reachesDirectly(newcomer.peer.id)) continue;
      session.sendControl({ nodes: [newcomer.peer] });
      newcomer.sendControl({ nodes: [session.peer] });
    }
  }

  #onEnded(session: Session, reason: EndReason): void {
    this.#replaced.forget(session);
    const node = this.directory.get(session.peer.id);
    if (node && node.connection === session.connection) node.connection = undefined;
    if (!node || node.session !== session) return;
    node.session = undefined;
    node.standbyConnection?.close(false);
    node.standbyConnection = undefined;
    node.since = this.directory.clock.now();
    this.#listener.onPeerEvent(session, { type: 'down', reason });
    if (this.#stopped) return;
    this.subscriptionSync.refresh(false);
    if (reason === 'leave') this.directory.tombstone(session.peer.id);
    if (reason === 'leave' || reason === 'revoked') this.directory.forget(node);
    else {
      const delay = 50 + Math.random() * 100;
      node.dialBackoff = this.directory.clock.after(delay, () => this.connector.connectTo(node));
    }
  }
}
