import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { Caller } from './caller.ts';
import { Calls } from './calls.ts';
import { Challenges } from './challenges.ts';
import { Directory, type Entry } from './directory.ts';
import { Door, type DoorWire } from './door.ts';
import type { Gate } from './gate.ts';
import { type NodeInfo, readNode, readNodes } from './node-info.ts';
import { Pings } from './pings.ts';
import { Positions } from './positions.ts';
import { Reach } from './reach.ts';
import { Retired } from './retired.ts';
import { type EndReason, readPosition, Session, type SessionHost } from './session.ts';
import type { Want } from './want.ts';
import type { Wire } from './wire.ts';
import type { Kit } from './zmq.ts';

const TICK_MS = 150;
/** A process that did not run for this long was stopped or hung (ms). */
const AWAY_MS = 1500;
/** Wait before a newcomer is told to those who seem not to know it (ms). */
const GOSSIP_MS = 300;

export interface PeersHost extends Omit<SessionHost, 'nodes' | 'stalled' | 'former' | 'ended'> {
  self(): NodeInfo;
  /** This process stays on its machine. */
  readonly local: boolean;
  /** What we want of a peer, and whom we hear without it. */
  wanted(from: Session | undefined): Want;
  heard(): readonly string[];
  opened(session: Session, fresh: boolean): void;
  closed(session: Session, reason: EndReason): void;
  /** This process did not run for so long that what it reads now may be old. */
  wasAway(): void;
  /** Who may come in; undefined while the mesh is not encrypted. */
  gate(): Gate | undefined;
}

/** The dcs-io nodes we know of, and one session with each that can be reached. */
export class Peers {
  readonly door: Door;
  readonly #id: string;
  readonly #kit: Kit;
  readonly #clock: Clock;
  readonly #host: PeersHost;
  readonly #sessionHost: SessionHost;
  readonly directory: Directory;
  readonly #retired: Retired;
  readonly #pings: Pings;
  readonly #challenges: Challenges;
  readonly #positions: Positions;
  readonly calls: Calls;
  #ticker: Timer | undefined;
  #ticked: MonotonicMs;
  #stopped = false;

  constructor(kit: Kit, host: PeersHost) {
    this.#id = host.self().id;
    this.#kit = kit;
    this.#host = host;
    this.#clock = host.clock;
    this.#ticked = this.#clock.now();
    this.directory = new Directory(this.#clock);
    this.#challenges = new Challenges(kit.stats);
    this.#pings = new Pings(kit.stats, kit.log);
    this.#retired = new Retired(this.#clock, (session, missed) => {
      this.#missed(session, missed);
      session.tell({ sync: true });
    });
    this.#positions = new Positions(this.#clock, {
      sessions: () => this.sessions(),
      wanted: (session) => host.wanted(session),
      heard: () => host.heard(),
    });
    this.calls = new Calls(kit, this.#clock, this.directory, {
      self: () => host.self(),
      local: host.local,
      gate: () => host.gate(),
      hello: () => ({ hello: host.self(), t: this.#clock.now(), ...this.#positions.now() }),
      answered: (entry, frame, caller) => this.#answered(entry, frame, caller),
    });
    this.door = new Door(kit, { knock: (frame, wire) => this.#knocked(frame, wire) });
    this.#sessionHost = {
      clock: host.clock,
      stats: host.stats,
      message: (session, found, waited) => host.message(session, found, waited),
      changed: (session, before) => {
        this.refresh(false);
        if (session.want !== before) host.changed(session, before);
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
      stalled: (session) => this.calls.again(session),
      former: (session, sent) => this.#retired.counted(session, sent),
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
    const port = await this.door.bind(listen);
    if (!this.#host.local) await this.#pings.bind(listen, port);
    return port;
  }

  /** Of a broker with keys, who does not serve v1: it is called by its well-known port, on addresses it gets later too. */
  bindAlso(port: number): void {
    if (this.#host.gate()) void this.door.bindAlso(this.#host.self().addresses, port);
  }

  start(): void {
    this.#tick();
  }

  /** Somebody told us of a node, or it told us itself. */
  learn(info: NodeInfo): void {
    if (this.#stopped || info.id === this.#id || this.directory.isGone(info.id)) return;
    const entry = this.directory.enter(info);
    if (!entry) return;
    // Whom we have talked with is not who somebody else says it is now.
    if (entry.answered && entry.info.key !== info.key) {
      this.#kit.stats.forged++;
      return;
    }
    entry.info = info;
    if (!entry.session && !entry.caller) this.calls.approach(entry);
  }

  /** What we want of the peers, or whom we hear, may have changed. `soon`: it matters at once. */
  refresh(soon: boolean): void {
    if (!this.#stopped) this.#positions.refresh(soon);
  }

  async stop(linger: DurationMs): Promise<void> {
    this.#stopped = true;
    this.#ticker?.cancel();
    this.#positions.stop();
    this.calls.stop();
    await Promise.all([...this.sessions()].map((session) => session.leave()));
    this.#retired.stop();
    this.#pings.close();
    this.door.close(linger);
  }

  /** Ends the sessions of a key that is not allowed any more. */
  revoke(key: string): void {
    for (const session of [...this.sessions()]) if (session.wire.key === key) session.end('revoked');
    this.#retired.revoke(key);
  }

  /** Somebody is at our door: says hello, proves its key, or was refused before and talks on. */
  #knocked(frame: Record<string, unknown>, wire: DoorWire): void {
    const answer = (data: object) => void wire.send(JSON.stringify(data)).catch(() => this.#kit.stats.sendDrops++);
    const gate = this.#host.gate();
    const hello = gate ? this.#challenges.proven(gate, frame, wire, answer) : frame;
    if (!hello) return;
    const peer = readNode(hello['hello']);
    if (!peer || peer.id === this.#id) {
      this.#kit.stats.malformed++;
      if (frame['bye'] === undefined) answer({ bye: 'unknown' }); // it may think it has a session that we gave up
      return;
    }
    const entry = this.directory.enter(peer);
    if (!entry || this.#stopped) return;
    if (entry.answered && entry.info.key !== wire.key) {
      // Another key claims to be a node we talk with, or did until its link broke: an id belongs to one life of one node.
      this.#kit.stats.forged++;
      return;
    }
    if (entry.session?.wire.dialled && this.#id < peer.id) {
      answer({ bye: 'duplicate', id: this.#id });
      return;
    }
    entry.info = peer;
    const nodes = [...this.directory.entries()].filter(({ session, info }) => session && info.id !== peer.id);
    answer({
      welcome: this.#host.self(),
      t: this.#clock.now(),
      ...this.#positions.now(),
      nodes: nodes.map(({ info }) => info),
      token: wire.token,
    });
    this.door.admit(wire, this.#open(entry, wire, hello));
  }

  /** A door has answered: whom we called (`entry`), or whoever is the broker at a named address. */
  #answered(called: Entry | undefined, frame: Record<string, unknown>, caller: Caller): void {
    if (this.#challenges.meet(this.#host.gate(), this.#id, frame, caller)) return;
    const peer = readNode(frame['welcome']);
    const entry = called ?? (peer && this.directory.enter(peer));
    if (
      peer &&
      entry &&
      peer.id === entry.info.id &&
      (called ? called.caller === caller || called.relief === caller : !entry.session)
    ) {
      entry.info = peer;
      if (entry.relief === caller) {
        entry.relief = undefined;
        entry.caller = caller;
      }
      caller.carry(frame['token']);
      caller.established(this.#open(entry, caller, frame, caller.host));
      for (const node of readNodes(frame['nodes'])) this.learn(node);
    } else if (frame['bye'] !== undefined || peer) {
      // We have a session already, or somebody else lives at that address now.
      if (called?.caller === caller) called.caller = undefined;
      if (called?.relief === caller) called.relief = undefined;
      caller.close(false);
    }
  }

  /** `host`: where the peer is, if we called it. */
  #open(entry: Entry, wire: Wire, frame: Record<string, unknown>, host?: string): Session {
    const far = entry.info.machine !== this.#host.self().machine;
    const reach = far
      ? Reach.open(this.#pings, this.#clock, host, {
          deaf: () => this.calls.again(session),
          givenUp: () => session.end('disconnected'),
        })
      : undefined;
    const session = new Session(this.#sessionHost, wire, readPosition(entry.info, frame), far, reach);
    if (typeof frame['t'] === 'number') session.compareClocks(frame['t']);
    const old = entry.session;
    if (!old) entry.since = this.#clock.now();
    entry.session = session;
    entry.answered = true;
    entry.courtesy?.cancel();
    if (old) this.#retired.add(old, session);
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
      if (session === newcomer || session.hears(newcomer.peer.id)) continue;
      session.tell({ nodes: [newcomer.peer] });
      newcomer.tell({ nodes: [session.peer] });
    }
  }

  #ended(session: Session, reason: EndReason): void {
    this.#retired.forget(session);
    const entry = this.directory.get(session.peer.id);
    if (entry && entry.caller === session.wire) entry.caller = undefined;
    if (!entry || entry.session !== session) return;
    entry.session = undefined;
    entry.relief?.close(false);
    entry.relief = undefined;
    entry.since = this.#clock.now();
    this.#host.closed(session, reason);
    if (this.#stopped) return;
    this.refresh(false);
    if (reason === 'leave') this.directory.bury(session.peer.id);
    if (reason === 'leave' || reason === 'revoked') this.directory.forget(entry);
    else entry.courtesy = this.#clock.after(50 + Math.random() * 100, () => this.calls.approach(entry));
  }

  #tick(): void {
    const now = this.#clock.now();
    const excused = now - this.#ticked > 3 * TICK_MS;
    if (now - this.#ticked > AWAY_MS) this.#host.wasAway();
    this.#ticked = now;
    for (const session of [...this.sessions(), ...this.#retired.sessions()]) session.tick(now, excused);
    this.#kit.stats.expiredContacts += this.directory.expire();
    this.#ticker = this.#clock.after(TICK_MS, () => this.#tick());
  }
}
