import type { Clock, DurationMs, MonotonicMs } from '../../clock/clock.ts';
import { type Envelope, isRecord, type Payload } from '../../message/envelope.ts';
import { DelayEstimate, FailureDetector } from '../liveness/failure-detector.ts';
import type { PingMonitor } from '../liveness/pings.ts';
import { Subscription } from '../routing/subscription.ts';
import type { MeshStats } from '../stats.ts';
import type { Connection } from './acceptor.ts';
import { type NodeInfo, readNodes } from './node-info.ts';
import { Outbox } from './outbox.ts';

/** A session says at least this often that it lives (ms); over a network, which may lose some of it, more often. */
const BEAT_MS = 600;
const NETWORK_BEAT_MS = 150;
/** A peer that is silent for so long is gone or hangs (ms). */
const SILENCE_MS = 1800;
/** After so much silence it is asked beside the connection (ms). */
const SUSPECT_MS = 400;
/**
 * Messages wait this long after a session has opened (ms): what the peer sent just before, through a broker, must not be
 * overtaken by what it sends directly now.
 */
const OPEN_HOLD_MS = 30;

/**
 * How long what the peer said on other ways, before it said its first word here, may take to arrive (ms). The end that is
 * called has the session before the caller knows of it: whoever gave up the other ways when the session opens would lose
 * what is said on them until then.
 */
const SETTLE_MS = 100;

/** How long what came before the connection broke may take to be read (ms). */
const DRAIN_MS = 50;
/** How long a peer that takes nothing may hold up our leave (ms). */
const LEAVE_MS = 200;

/** What a session needs from the mesh. None may throw. */
export interface SessionHost {
  readonly clock: Clock;
  readonly stats: MeshStats;
  /** One message. `waited`: how long it was held up on the way. */
  message(session: Session, found: unknown, waited: DurationMs): void;
  /** The peer wants other things now, or hears others. */
  changed(session: Session, before: Subscription): void;
  /** The peer knows these nodes. */
  nodes(nodes: readonly NodeInfo[]): void;
  /** The peer says what it is and which pins it has. */
  birth(session: Session, found: unknown): void;
  gap(session: Session, missed: number): void;
  /** The peer missed something and asks for the last values. */
  sync(session: Session): void;
  dropped(session: Session, messages: number): void;
  /** The peer lives, but the connection brings nothing, one way or the other: another one may. */
  stalled(session: Session): void;
  /** On the connection this one has replaced the peer sent so many messages. */
  sentBefore(session: Session, sent: number): void;
  /** All that the peer says comes on this session now. */
  settled(session: Session): void;
  ended(session: Session, reason: EndReason): void;
}

/** Where the peer stands when a session opens. */
export interface PeerState {
  readonly peer: NodeInfo;
  /** What it wants to hear. */
  readonly subscription: Subscription;
  /** Ids of the processes it hears without our help. */
  readonly directlyReachable: ReadonlySet<string>;
}

export type EndReason = 'leave' | 'silent' | 'disconnected' | 'replaced' | 'revoked' | 'stopped';

/**
 * A direct link with another dcs-io node: one connection, both ways. The messages on it are numbered, so that nothing is
 * lost silently; it carries beats, so that a peer that is gone or hangs is noticed in 2 s; and what the peer wants.
 */
export class Session {
  readonly peer: NodeInfo;
  readonly connection: Connection;
  /** What the peer wants to hear. */
  subscription: Subscription;
  /** Ids of the processes the peer hears without our help. */
  directlyReachable: ReadonlySet<string>;
  /** What we told the peer last that we want and hear. */
  lastAnnounced = '';
  /** All that the peer says comes here now; it may be given up on other ways. */
  settled = false;
  readonly #host: SessionHost;
  readonly #outbox: Outbox;
  readonly #delay = new DelayEstimate();
  readonly #failureDetector = new FailureDetector(SILENCE_MS);
  readonly #pings: PingMonitor | undefined;
  readonly #beatPeriod: DurationMs;
  #nextSerial = 0;
  #lastFrameAt: MonotonicMs;
  #peerSpoke = false;
  #disconnected = false;
  #replaced = false;
  #ended = false;

  /** `far`: on another machine, behind a network. */
  constructor(host: SessionHost, wire: Connection, position: PeerState, far: boolean, reach: PingMonitor | undefined) {
    this.#host = host;
    this.#beatPeriod = far ? NETWORK_BEAT_MS : BEAT_MS;
    this.#pings = reach;
    this.connection = wire;
    this.peer = position.peer;
    this.subscription = position.subscription;
    this.directlyReachable = position.directlyReachable;
    this.#lastFrameAt = host.clock.now();
    this.#outbox = new Outbox(host.clock, wire, OPEN_HOLD_MS, {
      dropped: (messages) => host.dropped(this, messages),
      unreachable: () => this.onDisconnect(),
    });
    if (reach) this.sendControl({ ping: reach.offer });
  }

  /** How long a datagram takes there and back; unknown within a machine. */
  get roundTripMs(): DurationMs | undefined {
    return this.#pings?.roundTripMs;
  }

  /** How many messages have come. */
  get received(): number {
    return this.#nextSerial;
  }

  /** How many messages were sent. */
  get sent(): number {
    return this.#outbox.numbered;
  }

  /** The peer hears this process itself. */
  reachesDirectly(id: string | undefined): boolean {
    return id !== undefined && (id === this.peer.id || this.directlyReachable.has(id));
  }

  /** Sends one encoded envelope. `urgent`: at once, not with the others of this turn of the event loop. */
  post(text: string, urgent: boolean): void {
    if (!this.#replaced && !this.#ended) this.#outbox.post(text, urgent);
  }

  /** Sends something of the mesh's own. */
  sendControl(data: object): void {
    if (!this.#ended) this.#outbox.control(JSON.stringify(data));
  }

  /** The peer's clock, as its greeting gave it: what comes after it is measured against that. */
  compareClocks(theirs: MonotonicMs): void {
    this.#delay.queueingDelay(theirs, this.#host.clock.now());
  }

  /** One frame of the peer. */
  receive(frame: unknown): void {
    if (this.#ended) return;
    if (!isRecord(frame)) {
      this.#host.stats.malformed++;
      return;
    }
    const now = this.#host.clock.now();
    this.#lastFrameAt = now;
    if (frame['hello'] !== undefined) return; // repeated before our welcome had arrived
    if (!this.#peerSpoke) this.#onFirstFrame();
    const { s, t, m } = frame;
    if (isCount(s) && typeof t === 'number') {
      const waited = this.#delay.queueingDelay(t, now);
      this.#failureDetector.noteDelay(waited, now);
      this.#onMessages(s, Array.isArray(m) ? m : [], waited);
    } else this.#onControl(frame);
  }

  /** Called several times a second. `excused`: we were away ourselves, so the peer's silence means nothing yet. */
  tick(now: MonotonicMs, excused: boolean): void {
    if (this.#ended) return;
    if (excused) this.#lastFrameAt = Math.max(this.#lastFrameAt, now - this.#beatPeriod);
    const silence = now - this.#lastFrameAt;
    if (!this.#replaced) this.#pings?.tick(now, silence > SUSPECT_MS, silence > SILENCE_MS);
    const verdict = this.#failureDetector.verdict(silence, now, this.#pings);
    if (verdict === 'lost') {
      this.#pings?.giveUp();
      this.end('silent');
      return;
    }
    if (verdict === 'stalled' && !this.#replaced) this.#host.stalled(this);
    if (now - this.#outbox.lastSent >= this.#beatPeriod && !this.#replaced) this.#outbox.beat();
  }

  /** Another connection has taken over: what is on the way here still counts, nothing more is sent. */
  markReplaced(): void {
    this.#outbox.flush(true);
    this.#replaced = true;
  }

  /** The connection has broken. That news may overtake what came on it before: a goodbye, at the end. */
  onDisconnect(): void {
    if (this.#disconnected) return;
    this.#disconnected = true;
    this.#drainThenEnd();
  }

  /** Ends the session; what waits to be sent is forgotten, never sent later. Idempotent. */
  end(reason: EndReason): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#outbox.close();
    this.#pings?.close();
    this.connection.close(reason === 'stopped');
    this.#host.ended(this, reason);
  }

  /** Sends what is left, says goodbye and ends; takes at most a moment. */
  async leave(): Promise<void> {
    if (this.#ended) return;
    this.#outbox.flush(true);
    this.sendControl({ bye: 'leave' });
    await this.#outbox.drained(LEAVE_MS);
    this.end('stopped');
  }

  #drainThenEnd(): void {
    const heard = this.#lastFrameAt;
    this.#host.clock.after(DRAIN_MS, () => {
      if (this.#lastFrameAt > heard) this.#drainThenEnd();
      else this.end('disconnected');
    });
  }

  #onFirstFrame(): void {
    this.#peerSpoke = true;
    this.#host.clock.after(SETTLE_MS, () => {
      if (this.settled || this.#replaced || this.#ended) return;
      this.settled = true;
      this.#host.settled(this);
    });
  }

  #onMessages(first: number, messages: readonly unknown[], waited: DurationMs): void {
    const missed = first - this.#nextSerial;
    if (missed < 0) {
      this.#host.stats.malformed++;
      return;
    }
    this.#nextSerial = first + messages.length;
    if (missed > 0) {
      this.#host.gap(this, missed);
      this.sendControl({ sync: true });
    }
    for (const message of messages) this.#host.message(this, message, waited);
  }

  #onControl(frame: Record<string, unknown>): void {
    const want = Subscription.parse(frame['want']);
    const near = readProcessIds(frame['near']);
    if (want || near) {
      const before = this.subscription;
      this.subscription = want ?? before;
      this.directlyReachable = near ?? this.directlyReachable;
      this.#host.changed(this, before);
    } else if (frame['nodes'] !== undefined) this.#host.nodes(readNodes(frame['nodes']));
    else if (frame['sync'] === true) this.#host.sync(this);
    else if (frame['bye'] === 'leave') this.end('leave');
    else if (frame['bye'] !== undefined) this.end('disconnected');
    else if (frame['birth'] !== undefined) this.#host.birth(this, frame['birth']);
    else if (isCount(frame['former'])) this.#host.sentBefore(this, frame['former']);
    else if (frame['ping'] !== undefined) {
      if (this.#pings && !this.#pings.acceptOffer(frame['ping'])) this.#host.stats.malformed++;
    } else this.#host.stats.malformed++;
  }
}

/** Where a peer stands, as its greeting says. */
export function readPeerState(peer: NodeInfo, frame: Record<string, unknown>): PeerState {
  return {
    peer,
    subscription: Subscription.parse(frame['want']) ?? Subscription.everything,
    directlyReachable: readProcessIds(frame['near']) ?? new Set(),
  };
}

/** A number of messages. Anything else that JSON calls a number would end the counting of those that follow. */
function isCount(found: unknown): found is number {
  return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0;
}

/** Reads a list of process ids. */
function readProcessIds(found: unknown): ReadonlySet<string> | undefined {
  if (!Array.isArray(found) || found.length > 4096) return undefined;
  return new Set(found.filter((id) => typeof id === 'string' && id.length <= 64));
}

/** Whether a message commands anything, for whoever must decide how long it may wait. */
export function isCommand({ payload }: Envelope): boolean {
  return commandsPin(payload) || commandsPort(payload);
}

/** A message may have several subjects; a report beside a command does not make it harmless. */
export function commandsPin({ IoMessage: io }: Payload): boolean {
  return isRecord(io) && io['last_change'] === undefined;
}

export function commandsPort({ SerialPortMessage: serial }: Payload): boolean {
  return isRecord(serial) && serial['source_time'] === undefined;
}
