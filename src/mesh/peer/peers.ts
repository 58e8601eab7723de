import type { Clock, DurationMs, MonotonicMs, Timer } from '../../clock/clock.ts';
import { PingMonitor, PingSocket } from '../liveness/pings.ts';
import type { Subscription } from '../routing/subscription.ts';
import type { AccessControl } from '../security/access-control.ts';
import type { SocketFactory } from '../transport/socket-factory.ts';
import { type AcceptedConnection, Acceptor, type Connection } from './acceptor.ts';
import { Connector, type OutgoingConnection } from './connector.ts';
import { Directory, type KnownNode } from './directory.ts';
import { Handshake } from './handshake.ts';
import { type NodeInfo, readNode, readNodes } from './node-info.ts';
import { ReplacedSessions } from './replaced-sessions.ts';
import { type EndReason, readPeerState, Session, type SessionHost } from './session.ts';
import { SubscriptionSync } from './subscription-sync.ts';

const TICK_MS = 150;
/** A process that did not run for this long was stopped or hung (ms). */
const STALL_MS = 1500;
/** Wait before a newcomer is told to those who seem not to know it (ms). */
const GOSSIP_MS = 300;

export interface PeersHost extends Omit<SessionHost, 'nodes' | 'stalled' | 'sentBefore' | 'ended'> {
  self(): NodeInfo;
  /** This process stays on its machine. */
  readonly local: boolean;
  /** What we want of a peer, and whom we hear without it. */
  subscriptionFor(from: Session | undefined): Subscription;
  directSenders(): readonly string[];
  opened(session: Session, fresh: boolean): void;
  closed(session: Session, reason: EndReason): void;
  /** This process did not run for so long that what it reads now may be old. */
  stalled(): void;
  /** Who may come in; undefined while the mesh is not encrypted. */
  accessControl(): AccessControl | undefined;
}

/** The dcs-io nodes we know of, and one session with each that can be reached. */
export class Peers {
  readonly acceptor: Acceptor;
  readonly #id: string;
  readonly #sockets: SocketFactory;
  readonly #clock: Clock;
  readonly #host: PeersHost;
  readonly #sessionHost: SessionHost;
  readonly directory: Directory;
  readonly #replaced: ReplacedSessions;
  readonly #pings: PingSocket;
  readonly #handshake: Handshake;
  readonly #subscriptionSync: SubscriptionSync;
  readonly connector: Connector;
  #ticker: Timer | undefined;
  #ticked: MonotonicMs;
  #stopped = false;

  constructor(sockets: SocketFactory, host: PeersHost) {
    this.#id = host.self().id;
    this.#sockets = sockets;
    this.#host = host;
    this.#clock = host.clock;
    this.#ticked = this.#clock.now();
    this.directory = new Directory(this.#clock);
    this.#handshake = new Handshake(sockets.stats);
    this.#pings = new PingSocket(sockets.stats, sockets.log);
    this.#replaced = new ReplacedSessions(this.#clock, (session, missed) => {
      this.#missed(session, missed);
      session.sendControl({ sync: true });
    });
    this.#subscriptionSync = new SubscriptionSync(this.#clock, {
      sessions: () => this.sessions(),
      subscriptionFor: (session) => host.subscriptionFor(session),
      directSenders: () => host.directSenders(),
    });
    this.connector = new Connector(sockets, this.#clock, this.directory, {
      self: () => host.self(),
      local: host.local,
      accessControl: () => host.accessControl(),
      hello: () => ({ hello: host.self(), t: this.#clock.now(), ...this.#subscriptionSync.current() }),
      onHandshakeFrame: (entry, frame, caller) => this.#onCalleeFrame(entry, frame, caller),
    });
    this.acceptor = new Acceptor(sockets, { onHandshakeFrame: (frame, wire) => this.#onCallerFrame(frame, wire) });
    this.#sessionHost = {
      clock: host.clock,
      stats: host.stats,
      message: (session, found, waited) => host.message(session, found, waited),
      changed: (session, before) => {
        this.refresh(false);
        if (session.subscription !== before) host.changed(session, before);
      },
      nodes: (nodes) => {
        for (const node of nodes) this.learn(node);
      },
      birth: (session, found) => host.birth(session, found),
      gap: (session, missed) => this.#missed(session, missed),
      sync: (session) => host.sync(session),
      dropped: (session, messages) => {
        const entry = this.directory.get(session.peer.id);
        if (entry) entry.dropped += messages;
        host.dropped(session, messages);
      },
      stalled: (session) => this.connector.openStandby(session),
      sentBefore: (session, sent) => this.#replaced.reconcile(session, sent),
      settled: (session) => {
        host.settled(session);
        this.refresh(false);
      },
      ended: (session, reason) => this.#ended(session, reason),
    };
  }

  /** Sessions that are open now. */
  *sessions(): Iterable<Session> {
    for (const { session } of this.directory.entries()) if (session) yield session;
  }

  session(id: string): Session | undefined {
    return this.directory.get(id)?.session;
  }

  /** Binds the door and, unless this process stays on its machine, the same port for datagrams. Returns the port. */
  async bind(listen: string): Promise<number> {
    const port = await this.acceptor.bind(listen);
    if (!this.#host.local) await this.#pings.bind(listen, port);
    return port;
  }

  /** Of a broker with keys, who does not serve v1: it is called by its well-known port, on addresses it gets later too. */
  bindMore(port: number): void {
    if (this.#host.accessControl()) void this.acceptor.bindMore(this.#host.self().addresses, port);
  }

  start(): void {
    this.#tick();
  }

  /** Somebody told us of a node, or it told us itself. */
  learn(info: NodeInfo): void {
    if (this.#stopped || info.id === this.#id || this.directory.hasLeft(info.id)) return;
    const entry = this.directory.ensure(info);
    if (!entry) return;
    // Whom we have talked with is not who somebody else says it is now.
    if (entry.answered && entry.info.key !== info.key) {
      this.#sockets.stats.forged++;
      return;
    }
    entry.info = info;
    if (!entry.session && !entry.connection) this.connector.connectTo(entry);
  }

  /** What we want of the peers, or whom we hear, may have changed. `soon`: it matters at once. */
  refresh(soon: boolean): void {
    if (!this.#stopped) this.#subscriptionSync.refresh(soon);
  }

  async stop(linger: DurationMs): Promise<void> {
    this.#stopped = true;
    this.#ticker?.cancel();
    this.#subscriptionSync.stop();
    this.connector.stop();
    await Promise.all([...this.sessions()].map((session) => session.leave()));
    this.#replaced.stop();
    this.#pings.close();
    this.acceptor.close(linger);
  }

  /** Ends the sessions of a key that is not allowed any more. */
  revoke(key: string): void {
    for (const session of [...this.sessions()]) if (session.connection.key === key) session.end('revoked');
    this.#replaced.revoke(key);
  }

  /** Somebody is at our door: says hello, proves its key, or was refused before and talks on. */
  #onCallerFrame(frame: Record<string, unknown>, wire: AcceptedConnection): void {
    const answer = (data: object) => void wire.send(JSON.stringify(data)).catch(() => this.#sockets.stats.sendDrops++);
    const gate = this.#host.accessControl();
    const hello = gate ? this.#handshake.verifyCaller(gate, frame, wire, answer) : frame;
    if (!hello) return;
    const peer = readNode(hello['hello']);
    if (!peer || peer.id === this.#id) {
      this.#sockets.stats.malformed++;
      if (frame['bye'] === undefined) answer({ bye: 'unknown' }); // it may think it has a session that we gave up
      return;
    }
    const entry = this.directory.ensure(peer);
    if (!entry || this.#stopped) return;
    if (entry.answered && entry.info.key !== wire.key) {
      // Another key claims to be a node we talk with, or did until its link broke: an id belongs to one life of one node.
      this.#sockets.stats.forged++;
      return;
    }
    if (entry.session?.connection.outgoing && this.#id < peer.id) {
      answer({ bye: 'duplicate', id: this.#id });
      return;
    }
    entry.info = peer;
    const nodes = [...this.directory.entries()].filter(({ session, info }) => session && info.id !== peer.id);
    answer({
      welcome: this.#host.self(),
      t: this.#clock.now(),
      ...this.#subscriptionSync.current(),
      nodes: nodes.map(({ info }) => info),
      token: wire.token,
    });
    this.acceptor.attachSession(wire, this.#open(entry, wire, hello));
  }

  /** A door has answered: whom we called (`entry`), or whoever is the broker at a named address. */
  #onCalleeFrame(called: KnownNode | undefined, frame: Record<string, unknown>, caller: OutgoingConnection): void {
    if (this.#handshake.answerChallenge(this.#host.accessControl(), this.#id, frame, caller)) return;
    const peer = readNode(frame['welcome']);
    const entry = called ?? (peer && this.directory.ensure(peer));
    if (
      peer &&
      entry &&
      peer.id === entry.info.id &&
      (called ? called.connection === caller || called.standbyConnection === caller : !entry.session)
    ) {
      entry.info = peer;
      if (entry.standbyConnection === caller) {
        entry.standbyConnection = undefined;
        entry.connection = caller;
      }
      caller.setToken(frame['token']);
      caller.attachSession(this.#open(entry, caller, frame, caller.host));
      for (const node of readNodes(frame['nodes'])) this.learn(node);
    } else if (frame['bye'] !== undefined || peer) {
      // We have a session already, or somebody else lives at that address now.
      if (called?.connection === caller) called.connection = undefined;
      if (called?.standbyConnection === caller) called.standbyConnection = undefined;
      caller.close(false);
    }
  }

  /** `host`: where the peer is, if we called it. */
  #open(entry: KnownNode, wire: Connection, frame: Record<string, unknown>, host?: string): Session {
    const far = entry.info.machine !== this.#host.self().machine;
    const reach = far
      ? PingMonitor.open(this.#pings, this.#clock, host, {
          peerNotReceiving: () => this.connector.openStandby(session),
          peerGaveUp: () => session.end('disconnected'),
        })
      : undefined;
    const session = new Session(this.#sessionHost, wire, readPeerState(entry.info, frame), far, reach);
    if (typeof frame['t'] === 'number') session.compareClocks(frame['t']);
    const old = entry.session;
    if (!old) entry.since = this.#clock.now();
    entry.session = session;
    entry.answered = true;
    entry.dialBackoff?.cancel();
    if (old) this.#replaced.add(old, session);
    this.#host.opened(session, old === undefined);
    this.refresh(false);
    if (!old) this.#clock.after(GOSSIP_MS, () => this.#gossip(session));
    return session;
  }

  #missed(session: Session, missed: number): void {
    const entry = this.directory.get(session.peer.id);
    if (entry) entry.missed += missed;
    this.#host.gap(session, missed);
  }

  /** Tells the others of a newcomer that they do not seem to know, and the newcomer of them. */
  #gossip(newcomer: Session): void {
    for (const session of this.sessions()) {
      if (session === newcomer || session.reachesDirectly(newcomer.peer.id)) continue;
      session.sendControl({ nodes: [newcomer.peer] });
      newcomer.sendControl({ nodes: [session.peer] });
    }
  }

  #ended(session: Session, reason: EndReason): void {
    this.#replaced.forget(session);
    const entry = this.directory.get(session.peer.id);
    if (entry && entry.connection === session.connection) entry.connection = undefined;
    if (!entry || entry.session !== session) return;
    entry.session = undefined;
    entry.standbyConnection?.close(false);
    entry.standbyConnection = undefined;
    entry.since = this.#clock.now();
    this.#host.closed(session, reason);
    if (this.#stopped) return;
    this.refresh(false);
    if (reason === 'leave') this.directory.tombstone(session.peer.id);
    if (reason === 'leave' || reason === 'revoked') this.directory.forget(entry);
    else entry.dialBackoff = this.#clock.after(50 + Math.random() * 100, () => this.connector.connectTo(entry));
  }

  #tick(): void {
    const now = this.#clock.now();
    const excused = now - this.#ticked > 3 * TICK_MS;
    if (now - this.#ticked > STALL_MS) this.#host.stalled();
    this.#ticked = now;
    for (const session of [...this.sessions(), ...this.#replaced.sessions()]) session.tick(now, excused);
    this.#sockets.stats.expiredContacts += this.directory.expire();
    this.#ticker = this.#clock.after(TICK_MS, () => this.#tick());
  }
}
