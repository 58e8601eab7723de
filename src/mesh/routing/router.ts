import type { Bus, BusInterest, BusTransport } from '../../bus/bus.ts';
import type { Clock, DurationMs } from '../../clock/clock.ts';
import type { Log } from '../../log/log.ts';
import {
  checkEnvelope,
  type Envelope,
  encodeEnvelope,
  isRecord,
  MAX_SENDERS,
  parseEnvelope,
} from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';
import { isCommand, type Session } from '../peer/session.ts';
import type { MeshStats } from '../stats.ts';
import { CONTROL, ECHO, withoutLocalContacts } from '../v1/introductions.ts';
import type { SocketPair } from '../v1/socket-pair.ts';
import { SeenMessageIds, StaleReportFilter } from './message-filters.ts';
import type { Subscription } from './subscription.ts';

/** Most pins remembered. */
const MAX_PINS = 20_000;

export interface Kept {
  readonly envelope: Envelope;
  readonly text: string;
}

/** The last report of every pin of this process, for those who come late or missed something. */
export class LastValues {
  readonly #byPin = new Map<string, Kept>();

  /** Keeps a message if it is a report. */
  note(envelope: Envelope, text: () => string): void {
    const report = ioMessageOf(envelope.payload);
    if (!report || !isReport(report)) return;
    if (!this.#byPin.has(report.pin_name) && this.#byPin.size >= MAX_PINS) return;
    this.#byPin.set(report.pin_name, { envelope, text: text() });
  }

  values(): Iterable<Kept> {
    return this.#byPin.values();
  }
}

/** A command that was held up longer than this on its way is not carried out any more (ms), ttl or not. */
export const STALE_MS = 2000;

/** What the flow needs from the mesh. */
export interface RouterHost {
  readonly id: string;
  readonly stats: MeshStats;
  readonly log: Log;
  /** v1 links on which our own messages go out. */
  outlets(): Iterable<SocketPair>;
  /** v1 links on which the messages of others are passed on. `control`: it is one of the mesh's own messages. */
  relays(control: boolean): Iterable<SocketPair>;
  /** Direct links with other dcs-io nodes. */
  sessions(): Iterable<Session>;
  control(envelope: Envelope, from: SocketPair): void;
  /** Something we sent came back: the link works both ways. */
  echo(envelope: Envelope, from: SocketPair): void;
  /** A v1 process with this id is linked to us. */
  heard(id: string): void;
  /** Why a message of this peer must not come in; undefined: it may. */
  refusal(envelope: Envelope, from: Session): string | undefined;
  /** A node with this id was here and is gone: what comes from it now waited somewhere. */
  hasLeft(id: string | undefined): boolean;
  /** Whether this peer may be told. */
  mayRead(envelope: Envelope, peer: Session): boolean;
  /** A command is not carried out; its sender is told. */
  reject(envelope: Envelope, to: Session | undefined, code: string, reason: string): void;
  interestChanged(): void;
  /** This process was stopped or hung until a moment ago: what v1 links bring now may have waited as long. */
  resumedRecently(): boolean;
}

/**
 * The way of a message through this process: from local actors to the links, from a link to the local actors and on to
 * those who do not hear its sender themselves; once, however often it comes.
 */
export class Router {
  readonly #host: RouterHost;
  readonly #clock: Clock;
  readonly #link: BusTransport;
  readonly #seen = new SeenMessageIds();
  readonly #last = new LastValues();
  readonly #staleReports = new StaleReportFilter();

  constructor(bus: Bus, host: RouterHost) {
    this.#host = host;
    this.#clock = bus.clock;
    this.#link = bus.addTransport(
      (envelope) => this.send(envelope),
      () => host.interestChanged(),
    );
  }

  /** What the actors of this process listen to. */
  interest(): BusInterest {
    return this.#link.interest();
  }

  /** Sends a message of this process to everybody who wants it. */
  send(envelope: Envelope): void {
    this.#host.stats.sent++;
    this.#seen.add(envelope.msg_id);
    const text = this.#encoder(envelope);
    this.#last.note(envelope, text);
    this.#publish(text, this.#host.outlets());
    this.#post(envelope, text, undefined, undefined);
  }

  /** Sends a message to one peer only. */
  sendTo(session: Session, envelope: Envelope): void {
    this.#seen.add(envelope.msg_id);
    session.post(this.#encoder(envelope)(), true);
  }

  /** Gives a message to the actors of this process only. */
  deliverLocally(envelope: Envelope): void {
    this.#link.inject(envelope);
  }

  /** Gives a peer the last value of every pin of ours that it wants, except those it got before. */
  snapshot(session: Session, except?: Subscription): void {
    for (const { envelope, text } of this.#last.values()) {
      if (!session.subscription.matches(envelope) || except?.matches(envelope)) continue;
      if (this.#host.mayRead(envelope, session)) session.post(text, false);
    }
  }

  /** One frame of a v1 link. */
  receive(text: string, from: SocketPair): void {
    const { stats, log, id } = this.#host;
    stats.received++;
    const parsed = parseEnvelope(text);
    if (!parsed.ok) {
      stats.malformed++;
      log.debug({ link: from.role, reason: parsed.reason }, 'a malformed message was dropped');
      return;
    }
    const envelope = parsed.value;
    if (envelope.sender.includes(id)) {
      stats.echoes++;
      this.#host.echo(envelope, from);
      return;
    }
    if (!this.#seen.add(envelope.msg_id)) {
      stats.duplicates++;
      return;
    }
    if (ECHO in envelope.payload) {
      // Goes back to the link it came from and to nobody else.
      this.#publish(this.#encoder(envelope), [from]);
      return;
    }
    const neighbour = envelope.sender.at(-1);
    if (CONTROL in envelope.payload) {
      this.#host.control(envelope, from);
      if (envelope.sender.length < MAX_SENDERS)
        this.#pass(this.#encoder(withoutLocalContacts(envelope)), this.#host.relays(true));
      return;
    }
    if (neighbour !== undefined) this.#host.heard(neighbour);
    if (isCommand(envelope) && this.#host.resumedRecently()) {
      stats.stale++;
      this.#host.reject(envelope, undefined, 'EXPIRED', 'the command waited while this process did not run');
      return;
    }
    this.#deliver(envelope, undefined, neighbour);
  }

  /** One message of a session. `waited`: how long it was held up on the way. */
  receiveDirect(found: unknown, from: Session, waited: DurationMs): void {
    const { stats, log, id } = this.#host;
    stats.received++;
    const parsed = checkEnvelope(found);
    if (!parsed.ok) {
      stats.malformed++;
      return;
    }
    const envelope = parsed.value;
    const refusal = this.#forgeryOf(envelope, from) ?? this.#host.refusal(envelope, from);
    if (refusal !== undefined) {
      stats.forged++;
      log.warn(
        { security: 'message', peer: from.peer.name, msg_id: envelope.msg_id },
        `a message was refused: ${refusal}`,
      );
      if (isCommand(envelope)) this.#host.reject(envelope, from, 'NO_PERMISSION', refusal);
      return;
    }
    if (envelope.sender.includes(id)) {
      stats.echoes++;
      return;
    }
    if (!this.#seen.add(envelope.msg_id, from.peer.id)) {
      stats.duplicates++;
      return;
    }
    const stale = isCommand(envelope) ? this.#staleness(envelope, waited) : undefined;
    if (stale !== undefined) {
      stats.stale++;
      this.#host.reject(envelope, from, 'EXPIRED', stale);
      return;
    }
    this.#deliver(envelope, from, from.peer.id);
  }

  close(): void {
    this.#link.close();
  }

  #staleness(envelope: Envelope, waited: DurationMs): string | undefined {
    if (waited > ageLimit(envelope)) return `the command was held up for ${Math.round(waited)} ms on its way`;
    return this.#host.hasLeft(envelope.sender[1]) ? 'the process that sent the command is gone' : undefined;
  }

  /** Only what its owner said comes over a link: the last sender is the peer, and the id is its creator's. */
  #forgeryOf({ sender, msg_id }: Envelope, from: Session): string | undefined {
    if (sender.at(-1) !== from.peer.id) return 'its sender is not the owner of the link';
    return msg_id.startsWith(`${sender[0]}.`) ? undefined : 'its msg_id is not of its creator';
  }

  #deliver(envelope: Envelope, from: Session | undefined, neighbour: string | undefined): void {
    const { stats } = this.#host;
    // The one answer somebody waits for is delivered all the same.
    if (this.#staleReports.isStale(envelope, this.#clock.now()) && replyTo(envelope) === undefined) {
      stats.overtaken++;
      return;
    }
    if (!this.#link.inject(envelope)) {
      stats.malformed++;
      return;
    }
    stats.delivered++;
    if (envelope.sender.length >= MAX_SENDERS) return;
    const text = this.#encoder(envelope);
    if (this.#publish(text, this.#host.relays(false)) + this.#post(envelope, text, from, neighbour) > 0)
      stats.relayed++;
  }

  /**
   * To every peer that wants it and does not hear `neighbour`, the process it came to us from, itself. An answer also
   * goes back the way its question came. Returns to how many.
   */
  #post(envelope: Envelope, text: () => string, from: Session | undefined, neighbour: string | undefined): number {
    let posted = 0;
    const asked = replyTo(envelope);
    const asker = asked === undefined ? undefined : this.#seen.origin(asked);
    let urgent: boolean | undefined;
    for (const session of this.#host.sessions()) {
      if (session === from) continue;
      if (session.peer.id !== asker && !session.subscription.matches(envelope)) continue;
      if (neighbour !== undefined && (session.reachesDirectly(neighbour) || envelope.sender.includes(session.peer.id)))
        continue;
      if (!this.#host.mayRead(envelope, session)) continue;
      urgent ??= asked !== undefined || isCommand(envelope);
      session.post(text(), urgent);
      posted++;
    }
    return posted;
  }

  /** Publishes on v1 links; nothing is encoded where nobody listens. Returns on how many. */
  #publish(text: () => string, links: Iterable<SocketPair>): number {
    let published = 0;
    for (const link of links) if (link.listeners > 0 && link.publish(text())) published++;
    return published;
  }

  /** Publishes one of the mesh's own messages: also to those who hear nothing else of a link. */
  #pass(text: () => string, links: Iterable<SocketPair>): void {
    for (const link of links) link.announce(text());
  }

  /** Encodes at most once. Our id is appended; the payload comes first, because listeners can ask for its subject. */
  #encoder(envelope: Envelope): () => string {
    let text: string | undefined;
    return () => {
      if (text === undefined) {
        const { payload, ...rest } = envelope;
        text = encodeEnvelope({ payload, ...rest, sender: [...envelope.sender, this.#host.id] });
      }
      return text;
    };
  }
}

function ageLimit({ payload }: Envelope): DurationMs {
  let limit = STALE_MS;
  for (const data of [payload['IoMessage'], payload['SerialPortMessage']]) {
    const ttl = isRecord(data) ? data['ttl'] : undefined;
    if (typeof ttl === 'number' && ttl >= 0) limit = Math.min(limit, ttl * 1000);
  }
  return limit;
}

/** The msg_id a message answers. */
function replyTo({ payload }: Envelope): string | undefined {
  for (const subject in payload) {
    const data = payload[subject];
    const id = isRecord(data) ? data['reply_to'] : undefined;
    if (typeof id === 'string') return id;
  }
  return undefined;
}
