import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import { Caller, type Place } from './caller.ts';
import { Challenges } from './challenges.ts';
import { Door, type DoorWire } from './door.ts';
import type { Gate } from './gate.ts';
import { type NodeInfo, readNode, readNodes, waysTo } from './node-info.ts';
import { type EndReason, readIds, Session, type SessionHost } from './session.ts';
import { Want } from './want.ts';
import type { Wire } from './wire.ts';
import type { Kit } from './zmq.ts';

const TICK_MS = 150;
/** A process that did not run for this long was stopped or hung (ms). */
const AWAY_MS = 1500;
/** How long the node that should be called by the other waits before it calls itself (ms). */
const COURTESY_MS = 1000;
/** How long a session that was replaced is still listened to (ms). */
const RETIREMENT_MS = 1000;
/** How long a node is called that never answered, and one that did (ms). */
const NEVER_ANSWERED_MS = 30_000;
const DID_ANSWER_MS = 600_000;
const MAX_NODES = 1024;
/** How long after a named broker is called again (ms). */
const BROKER_MS = 500;
/** How long changes of who hears whom are gathered (ms). */
const SETTLE_MS = 100;
/** Wait before a newcomer is told to those who seem not to know it (ms). */
const GOSSIP_MS = 300;

export interface PeersHost extends Omit<SessionHost, 'nodes' | 'ended'> {
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

interface Entry {
  info: NodeInfo;
  session: Session | undefined;
  caller: Caller | undefined;
  courtesy: Timer | undefined;
  answered: boolean;
  since: MonotonicMs;
}

/** The dcs-io nodes we know of, and one session with each that can be reached. */
export class Peers {
  readonly door: Door;
  readonly #kit: Kit;
  readonly #clock: Clock;
  readonly #host: PeersHost;
  readonly #sessionHost: SessionHost;
  readonly #entries = new Map<string, Entry>();
  readonly #retired = new Set<Session>();
  /** Ids of nodes that left or died; an id is never used again. */
  readonly #gone = new Set<string>();
  readonly #challenges = new Challenges();
  readonly #brokers = new Set<Caller>();
  #ticker: Timer | undefined;
  #refreshing: NodeJS.Immediate | undefined;
  #settling: Timer | undefined;
  #ticked: MonotonicMs;
  #stopped = false;

  constructor(kit: Kit, host: PeersHost) {
    this.#kit = kit;
    this.#host = host;
    this.#clock = host.clock;
    this.#ticked = this.#clock.now();
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
      gap: (session, missed) => host.gap(session, missed),
      sync: (session) => host.sync(session),
      dropped: (session, messages) => host.dropped(session, messages),
      ended: (session, reason) => this.#ended(session, reason),
    };
  }

  /** Sessions that are open now. */
  *sessions(): Iterable<Session> {
    for (const { session } of this.#entries.values()) if (session) yield session;
  }

  session(id: string): Session | undefined {
    return this.#entries.get(id)?.session;
  }

  knows(id: string): boolean {
    return this.#entries.has(id);
  }

  /** The node whose server link has these ports, at one of these addresses. */
  atServer(addresses: readonly string[], rx: number, tx: number): NodeInfo | undefined {
    for (const { info } of this.#entries.values()) {
      if (info.server.rx !== rx || info.server.tx !== tx) continue;
      if (addresses.some((address) => info.addresses.includes(address)) || addresses.length === 0) return info;
    }
    return undefined;
  }

  start(): void {
    this.#tick();
  }

  /** Somebody told us of a node, or it told us itself. */
  learn(info: NodeInfo): void {
    if (this.#stopped || info.id === this.#host.self().id || this.#gone.has(info.id)) return;
    const known = this.#entries.get(info.id);
    if (known) {
      known.info = info;
      if (!known.session && !known.caller) this.#approach(known);
      return;
    }
    if (this.#entries.size >= MAX_NODES) return;
    const entry = this.#enter(info);
    this.#approach(entry);
  }

  /** This process had a session and is gone: what comes from it now is from an earlier life. */
  isGone(id: string | undefined): boolean {
    return id !== undefined && this.#gone.has(id);
  }

  /**
   * Tells every peer what we want of it and whom we hear, where that has changed: at the end of this turn when it matters
   * at once (an actor listens to something new), otherwise when others are likely to have settled too.
   */
  refresh(soon: boolean): void {
    if (this.#stopped) return;
    if (soon) this.#refreshing ??= setImmediate(() => this.#updateAll());
    else this.#settling ??= this.#clock.after(SETTLE_MS, () => this.#updateAll());
  }

  #updateAll(): void {
    this.#cancelRefresh();
    const near = this.#near();
    for (const session of this.sessions()) {
      const position = { want: this.#host.wanted(session).write(), near };
      const text = JSON.stringify(position);
      if (session.told === text) continue;
      session.told = text;
      session.tell(position);
    }
  }

  #cancelRefresh(): void {
    if (this.#refreshing) clearImmediate(this.#refreshing);
    this.#settling?.cancel();
    this.#refreshing = undefined;
    this.#settling = undefined;
  }

  async stop(linger: DurationMs): Promise<void> {
    this.#stopped = true;
    this.#ticker?.cancel();
    this.#cancelRefresh();
    for (const { caller, courtesy } of this.#entries.values()) {
      courtesy?.cancel();
      if (!caller?.session) caller?.close(false);
    }
    await Promise.all([...this.sessions()].map((session) => session.leave()));
    for (const session of this.#retired) session.end('stopped');
    for (const caller of this.#brokers) caller.close(true);
    this.door.close(linger);
  }

  #enter(info: NodeInfo): Entry {
    const since = this.#clock.now();
    const entry: Entry = { info, session: undefined, caller: undefined, courtesy: undefined, answered: false, since };
    this.#entries.set(info.id, entry);
    return entry;
  }

  /** One of the two calls: who has the smaller id, unless the other cannot. Later both do, in case that was wrong. */
  #approach(entry: Entry): void {
    entry.courtesy?.cancel();
    if (this.#places(entry.info).length === 0) return;
    const self = this.#host.self();
    if (self.id < entry.info.id || waysTo(self, entry.info).length === 0) this.#call(entry);
    else {
      entry.courtesy = this.#clock.after(COURTESY_MS, () => {
        if (!entry.session) this.#call(entry);
      });
    }
  }

  #places({ id }: NodeInfo): readonly Place[] {
    const info = this.#entries.get(id)?.info;
    const self = this.#host.self();
    if (!info || (this.#host.local && info.machine !== self.machine)) return [];
    const gate = this.#host.gate();
    if (gate ? !gate.allows(info.key) : info.key !== undefined) return [];
    return waysTo(info, self).map((host) => ({ host, port: info.port, ...(info.key && { key: info.key }) }));
  }

  /**
   * Calls the broker of another machine, whoever that is: with one allowed key after the other, because a door is asked
   * for by its key. Again whenever the link with it is gone.
   */
  callBroker(host: string, port: number): void {
    const places = () => (this.#host.gate()?.keys() ?? []).map((key) => ({ host, port, key }));
    let found = '';
    const call = () => {
      if (this.#stopped) return;
      if (this.session(found)) {
        this.#clock.after(BROKER_MS, call);
        return;
      }
      const caller = new Caller(this.#kit, this.#clock, places, {
        hello: () => ({ hello: this.#host.self(), t: this.#clock.now(), ...this.#position(undefined) }),
        answered: (frame, from) => {
          found = readNode(frame['welcome'])?.id ?? (typeof frame['id'] === 'string' ? frame['id'] : found);
          this.#answered(undefined, frame, from);
        },
        closed: () => {
          this.#brokers.delete(caller);
          this.#clock.after(BROKER_MS, call);
        },
      });
      this.#brokers.add(caller);
    };
    call();
  }

  /** Ends the sessions of a key that is not allowed any more. */
  revoke(key: string): void {
    for (const session of [...this.sessions()]) if (session.wire.key === key) session.end('revoked');
    for (const session of [...this.#retired]) if (session.wire.key === key) session.end('revoked');
  }

  #call(entry: Entry): void {
    if (this.#stopped || entry.caller) return;
    entry.caller = new Caller(this.#kit, this.#clock, () => this.#places(entry.info), {
      hello: () => ({ hello: this.#host.self(), t: this.#clock.now(), ...this.#position(undefined) }),
      answered: (frame, caller) => this.#answered(entry, frame, caller),
    });
  }

  #position(session: Session | undefined): object {
    return { want: this.#host.wanted(session).write(), near: this.#near() };
  }

  #near(): readonly string[] {
    return [...new Set([...[...this.sessions()].map(({ peer }) => peer.id), ...this.#host.heard()])].sort();
  }

  /** Somebody is at our door: says hello, proves its key, or was refused before and talks on. */
  #knocked(frame: Record<string, unknown>, wire: DoorWire): void {
    const answer = (data: object) => void wire.send(JSON.stringify(data)).catch(() => this.#kit.stats.sendDrops++);
    const gate = this.#host.gate();
    const hello = gate ? this.#challenges.proven(gate, frame, wire, answer) : frame;
    if (!hello) return;
    const peer = readNode(hello['hello']);
    if (!peer || peer.id === this.#host.self().id) {
      this.#kit.stats.malformed++;
      // It may think it has a session that we have given up.
      if (frame['bye'] === undefined) answer({ bye: 'unknown' });
      return;
    }
    const entry = this.#entries.get(peer.id) ?? (this.#entries.size < MAX_NODES ? this.#enter(peer) : undefined);
    if (!entry || this.#stopped) return;
    if (entry.session && entry.session.wire.key !== wire.key) {
      // Another key claims to be a node we talk with.
      this.#kit.stats.forged++;
      return;
    }
    if (entry.session?.wire.dialled && this.#host.self().id < peer.id) {
      answer({ bye: 'duplicate', id: this.#host.self().id });
      return;
    }
    entry.info = peer;
    const nodes = [...this.#entries.values()].filter(({ session, info }) => session && info.id !== peer.id);
    answer({
      welcome: this.#host.self(),
      t: this.#clock.now(),
      ...this.#position(undefined),
      nodes: nodes.map(({ info }) => info),
      token: wire.token,
    });
    this.door.admit(wire, this.#open(entry, wire, hello));
  }

  /** A door has answered: whom we called (`entry`), or whoever is the broker at a named address. */
  #answered(called: Entry | undefined, frame: Record<string, unknown>, caller: Caller): void {
    if (this.#challenges.meet(this.#host.gate(), this.#host.self().id, frame, caller)) return;
    const peer = readNode(frame['welcome']);
    const entry = called ?? (peer ? (this.#entries.get(peer.id) ?? this.#enter(peer)) : undefined);
    if (
      peer &&
      entry &&
      peer.id === entry.info.id &&
      (!called || entry.caller === caller) &&
      (called || !entry.session)
    ) {
      entry.info = peer;
      caller.carry(frame['token']);
      caller.established(this.#open(entry, caller, frame));
      for (const node of readNodes(frame['nodes'])) this.learn(node);
    } else if (frame['bye'] !== undefined || peer) {
      // We have a session already, or somebody else lives at that address now.
      if (called?.caller === caller) called.caller = undefined;
      caller.close(false);
    }
  }

  #open(entry: Entry, wire: Wire, frame: Record<string, unknown>): Session {
    const want = Want.read(frame['want']) ?? Want.everything;
    const session = new Session(this.#sessionHost, wire, entry.info, want, readIds(frame['near']) ?? new Set());
    if (typeof frame['t'] === 'number') session.compareClocks(frame['t']);
    const old = entry.session;
    entry.session = session;
    entry.answered = true;
    entry.courtesy?.cancel();
    if (old) this.#retire(old);
    this.#host.opened(session, old === undefined);
    this.refresh(false);
    if (!old) this.#clock.after(GOSSIP_MS, () => this.#gossip(session));
    return session;
  }

  #retire(session: Session): void {
    session.retire();
    this.#retired.add(session);
    this.#clock.after(RETIREMENT_MS, () => session.end('replaced'));
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
    this.#retired.delete(session);
    const entry = this.#entries.get(session.peer.id);
    if (entry && entry.caller === session.wire) entry.caller = undefined;
    if (!entry || entry.session !== session) return;
    entry.session = undefined;
    entry.since = this.#clock.now();
    this.#host.closed(session, reason);
    if (this.#stopped) return;
    this.refresh(false);
    if (reason === 'leave') this.#bury(session.peer.id);
    if (reason === 'leave' || reason === 'revoked') this.#forget(entry);
    else entry.courtesy = this.#clock.after(50 + Math.random() * 100, () => this.#approach(entry));
  }

  #bury(id: string): void {
    this.#gone.add(id);
    const [oldest] = this.#gone;
    if (this.#gone.size > MAX_NODES && oldest !== undefined) this.#gone.delete(oldest);
  }

  #forget(entry: Entry): void {
    entry.courtesy?.cancel();
    entry.caller?.close(false);
    this.#entries.delete(entry.info.id);
  }

  #tick(): void {
    const now = this.#clock.now();
    const excused = now - this.#ticked > 3 * TICK_MS;
    if (now - this.#ticked > AWAY_MS) this.#host.wasAway();
    this.#ticked = now;
    for (const session of [...this.sessions(), ...this.#retired]) session.tick(now, excused);
    for (const entry of this.#entries.values()) {
      const patience = entry.answered ? DID_ANSWER_MS : NEVER_ANSWERED_MS;
      if (!entry.session && now - entry.since > patience) {
        this.#kit.stats.expiredContacts++;
        this.#forget(entry);
      }
    }
    this.#ticker = this.#clock.after(TICK_MS, () => this.#tick());
  }
}
