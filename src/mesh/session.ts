import type { Clock, DurationMs, MonotonicMs } from '../clock/clock.ts';
import { type Envelope, isRecord, type Payload } from '../message/envelope.ts';
import { type NodeInfo, readNodes } from './node-info.ts';
import { Outbox } from './outbox.ts';
import { Patience } from './patience.ts';
import type { Reach } from './reach.ts';
import type { MeshStats } from './stats.ts';
import { Transit } from './transit.ts';
import { Want } from './want.ts';
import type { Wire } from './wire.ts';

/** A session says at least this often that it lives (ms); over a network, which may lose some of it, more often. */
const BEAT_MS = 600;
const NETWORK_BEAT_MS = 150;
/** A peer that is silent for so long is gone or hangs (ms). */
const SILENCE_MS = 1800;
/** After so much silence it is asked beside the connection (ms). */
const SUSPICIOUS_MS = 400;
/**
 * Messages wait this long after a session has opened (ms): what the peer sent just before, through a broker, must not be
 * overtaken by what it sends directly now.
 */
const HOLD_MS = 30;

/**
 * How long what the peer said on other ways, before it said its first word here, may take to arrive (ms). The end that is
 * called has the session before the caller knows of it: whoever gave up the other ways when the session opens would lose
 * what is said on them until then.
 */
const SETTLE_MS = 100;

/** How long what came before the connection broke may take to be read (ms). */
const LAST_WORDS_MS = 50;
/** How long a peer that takes nothing may hold up our leave (ms). */
const LEAVE_MS = 200;

/** What a session needs from the mesh. None may throw. */
export interface SessionHost {
  readonly clock: Clock;
  readonly stats: MeshStats;
  /** One message. `waited`: how long it was held up on the way. */
  message(session: Session, found: unknown, waited: DurationMs): void;
  /** The peer wants other things now, or hears others. */
  changed(session: Session, before: Want): void;
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
  former(session: Session, sent: number): void;
  /** All that the peer says comes on this session now. */
  settled(session: Session): void;
  ended(session: Session, reason: EndReason): void;
}

/** Where the peer stands when a session opens. */
export interface Position {
  readonly peer: NodeInfo;
  /** What it wants to hear. */
  readonly want: Want;
  /** Ids of the processes it hears without our help. */
  readonly near: ReadonlySet<string>;
}

export type EndReason = 'leave' | 'silent' | 'disconnected' | 'replaced' | 'revoked' | 'stopped';

/**
 * A direct link with another dcs-io node: one connection, both ways. The messages on it are numbered, so that nothing is
 * lost silently; it carries beats, so that a peer that is gone or hangs is noticed in 2 s; and what the peer wants.
 */
export class Session {
  readonly peer: NodeInfo;
  readonly wire: Wire;
  /** What the peer wants to hear. */
  want: Want;
  /** Ids of the processes the peer hears without our help. */
  near: ReadonlySet<string>;
  /** What we told the peer last that we want and hear. */
  told = '';
  /** All that the peer says comes here now; it may be given up on other ways. */
  settled = false;
  readonly #host: SessionHost;
  readonly #outbox: Outbox;
  readonly #transit = new Transit();
  readonly #patience = new Patience(SILENCE_MS);
  readonly #reach: Reach | undefined;
  readonly #beat: DurationMs;
  #expected = 0;
  #heard: MonotonicMs;
  #met = false;
  #cut = false;
  #retired = false;
  #ended = false;

  /** `far`: on another machine, behind a network. */
  constructor(host: SessionHost, wire: Wire, position: Position, far: boolean, reach: Reach | undefined) {
    this.#host = host;
    this.#beat = far ? NETWORK_BEAT_MS : BEAT_MS;
    this.#reach = reach;
    this.wire = wire;
    this.peer = position.peer;
    this.want = position.want;
    this.near = position.near;
    this.#heard = host.clock.now();
    this.#outbox = new Outbox(host.clock, wire, HOLD_MS, {
      dropped: (messages) => host.dropped(this, messages),
      unreachable: () => this.cut(),
    });
    if (reach) this.tell({ ping: reach.offer });
  }

  /** How long a datagram takes there and back; unknown within a machine. */
  get roundTripMs(): DurationMs | undefined {
    return this.#reach?.roundTripMs;
  }

  /** How many messages have come. */
  get received(): number {
    return this.#expected;
  }

  /** How many messages were sent. */
  get sent(): number {
    return this.#outbox.numbered;
  }

  /** The peer hears this process itself. */
  hears(id: string | undefined): boolean {
    return id !== undefined && (id === this.peer.id || this.near.has(id));
  }

  /** Sends one encoded envelope. `urgent`: at once, not with the others of this turn of the event loop. */
  post(text: string, urgent: boolean): void {
    if (!this.#retired && !this.#ended) this.#outbox.post(text, urgent);
  }

  /** Sends something of the mesh's own. */
  tell(data: object): void {
    if (!this.#ended) this.#outbox.control(JSON.stringify(data));
  }

  /** The peer's clock, as its greeting gave it: what comes after it is measured against that. */
  compareClocks(theirs: MonotonicMs): void {
    this.#transit.waited(theirs, this.#host.clock.now());
  }

  /** One frame of the peer. */
  receive(frame: unknown): void {
    if (this.#ended) return;
    if (!isRecord(frame)) {
      this.#host.stats.malformed++;
      return;
    }
    const now = this.#host.clock.now();
    this.#heard = now;
    if (frame['hello'] !== undefined) return; // repeated before our welcome had arrived
    if (!this.#met) this.#meet();
    const { s, t, m } = frame;
    if (isCount(s) && typeof t === 'number') {
      const waited = this.#transit.waited(t, now);
      this.#patience.heldUp(waited, now);
      this.#messages(s, Array.isArray(m) ? m : [], waited);
    } else this.#control(frame);
  }

  /** Called several times a second. `excused`: we were away ourselves, so the peer's silence means nothing yet. */
  tick(now: MonotonicMs, excused: boolean): void {
    if (this.#ended) return;
    if (excused) this.#heard = Math.max(this.#heard, now - this.#beat);
    const silence = now - this.#heard;
    if (!this.#retired) this.#reach?.tick(now, silence > SUSPICIOUS_MS, silence > SILENCE_MS);
    const verdict = this.#patience.verdict(silence, now, this.#reach);
    if (verdict === 'lost') {
      this.#reach?.giveUp();
      this.end('silent');
      return;
    }
    if (verdict === 'stalled' && !this.#retired) this.#host.stalled(this);
    if (now - this.#outbox.lastSent >= this.#beat && !this.#retired) this.#outbox.beat();
  }

  /** Another connection has taken over: what is on the way here still counts, nothing more is sent. */
  retire(): void {
    this.#outbox.flush(true);
    this.#retired = true;
  }

  /** The connection has broken. That news may overtake what came on it before: a goodbye, at the end. */
  cut(): void {
    if (this.#cut) return;
    this.#cut = true;
    this.#hearOut();
  }

  /** Ends the session; what waits to be sent is forgotten, never sent later. Idempotent. */
  end(reason: EndReason): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#outbox.close();
    this.#reach?.close();
    this.wire.close(reason === 'stopped');
    this.#host.ended(this, reason);
  }

  /** Sends what is left, says goodbye and ends; takes at most a moment. */
  async leave(): Promise<void> {
    if (this.#ended) return;
    this.#outbox.flush(true);
    this.tell({ bye: 'leave' });
    await this.#outbox.drained(LEAVE_MS);
    this.end('stopped');
  }

  #hearOut(): void {
    const heard = this.#heard;
    this.#host.clock.after(LAST_WORDS_MS, () => {
      if (this.#heard > heard) this.#hearOut();
      else this.end('disconnected');
    });
  }

  #meet(): void {
    this.#met = true;
    this.#host.clock.after(SETTLE_MS, () => {
      if (this.settled || this.#retired || this.#ended) return;
      this.settled = true;
      this.#host.settled(this);
    });
  }

  #messages(first: number, messages: readonly unknown[], waited: DurationMs): void {
    const missed = first - this.#expected;
    if (missed < 0) {
      this.#host.stats.malformed++;
      return;
    }
    this.#expected = first + messages.length;
    if (missed > 0) {
      this.#host.gap(this, missed);
      this.tell({ sync: true });
    }
    for (const message of messages) this.#host.message(this, message, waited);
  }

  #control(frame: Record<string, unknown>): void {
    const want = Want.read(frame['want']);
    const near = readIds(frame['near']);
    if (want || near) {
      const before = this.want;
      this.want = want ?? before;
      this.near = near ?? this.near;
      this.#host.changed(this, before);
    } else if (frame['nodes'] !== undefined) this.#host.nodes(readNodes(frame['nodes']));
    else if (frame['sync'] === true) this.#host.sync(this);
    else if (frame['bye'] === 'leave') this.end('leave');
    else if (frame['bye'] !== undefined) this.end('disconnected');
    else if (frame['birth'] !== undefined) this.#host.birth(this, frame['birth']);
    else if (isCount(frame['former'])) this.#host.former(this, frame['former']);
    else if (frame['ping'] !== undefined) {
      if (this.#reach && !this.#reach.met(frame['ping'])) this.#host.stats.malformed++;
    } else this.#host.stats.malformed++;
  }
}

/** Where a peer stands, as its greeting says. */
export function readPosition(peer: NodeInfo, frame: Record<string, unknown>): Position {
  return { peer, want: Want.read(frame['want']) ?? Want.everything, near: readIds(frame['near']) ?? new Set() };
}

/** A number of messages. Anything else that JSON calls a number would end the counting of those that follow. */
function isCount(found: unknown): found is number {
  return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0;
}

/** Reads a list of process ids. */
function readIds(found: unknown): ReadonlySet<string> | undefined {
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
