import type { Bus, BusInterest, BusTransport } from '../../bus/bus.ts';
import type { Clock } from '../../clock/clock.ts';
import type { Log } from '../../log/log.ts';
import { type Envelope, encodeEnvelope, isRecord, MAX_SENDERS } from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';
import type { MeshStats } from '../stats.ts';
import { SeenMessageIds, StaleReportFilter } from './message-filters.ts';

/** Most pins whose last report is kept. */
const MAX_PINS = 20_000;

/** One message on its way through this process. It is encoded at most once, and only when a link needs the text. */
export class RoutedMessage {
  readonly envelope: Envelope;
  /** The link it came in on; `undefined` when an actor of this process sent it. */
  readonly source: object | undefined;
  /** Id of the process it came from; `undefined` when an actor of this process sent it. */
  readonly via: string | undefined;
  /** The msg_id that this message answers. */
  readonly replyTo: string | undefined;
  readonly #ownId: string;
  #text: string | undefined;

  constructor(envelope: Envelope, ownId: string, source?: object, via?: string) {
    this.envelope = envelope;
    this.source = source;
    this.via = via;
    this.replyTo = replyToOf(envelope);
    this.#ownId = ownId;
  }

  /** The frame, with our id appended to the senders. The payload comes first, so that subscribers can filter by its subject. */
  get text(): string {
    if (this.#text === undefined) {
      const { payload, ...rest } = this.envelope;
      this.#text = encodeEnvelope({ payload, ...rest, sender: [...this.envelope.sender, this.#ownId] });
    }
    return this.#text;
  }
}

/** The links of one protocol. */
export interface Transport {
  /** Sends a message to everybody of this transport who should get it. Never throws. Returns the number of links used. */
  forward(message: RoutedMessage): number;
}

/**
 * Routes messages between the local bus and the transports: a message of a local actor goes out on all of them, a message
 * of a transport goes to the local actors and on to those who do not get it from its sender directly. A message passes
 * once, however many ways it comes.
 */
export class Router {
  readonly id: string;
  readonly stats: MeshStats;
  readonly log: Log;
  readonly clock: Clock;
  readonly #bus: Bus;
  readonly #link: BusTransport;
  readonly #transports: Transport[] = [];
  readonly #seen = new SeenMessageIds();
  readonly #staleReports = new StaleReportFilter();
  /** The last report of every pin of this process, for peers that connect late or lost messages. */
  readonly #lastReports = new Map<string, RoutedMessage>();
  #interestChanged: () => void = () => undefined;

  /** `id` is this process's id on the wire. */
  constructor(bus: Bus, id: string, stats: MeshStats, log: Log) {
    this.id = id;
    this.stats = stats;
    this.log = log;
    this.clock = bus.clock;
    this.#bus = bus;
    this.#link = bus.addTransport(
      (envelope) => this.send(envelope),
      () => this.#interestChanged(),
    );
  }

  addTransport(transport: Transport): void {
    this.#transports.push(transport);
  }

  /** `listener` is called when the actors of this process may listen to something else. */
  onInterestChanged(listener: () => void): void {
    this.#interestChanged = listener;
  }

  /** Returns the subjects and pins that the actors of this process listen to. */
  interest(): BusInterest {
    return this.#link.interest();
  }

  /** Sends a message of this process to everybody who wants it. */
  send(envelope: Envelope): void {
    this.stats.sent++;
    const message = new RoutedMessage(envelope, this.id);
    this.#keepReport(message);
    this.#forward(message);
  }

  /** A message that goes out on one link only: the caller sends its text. */
  prepare(envelope: Envelope): RoutedMessage {
    return new RoutedMessage(envelope, this.id);
  }

  /** Gives a message to the actors of this process only. */
  deliverLocally(envelope: Envelope): void {
    this.#link.inject(envelope);
  }

  /** The last report of every pin of this process. */
  lastReports(): Iterable<RoutedMessage> {
    return this.#lastReports.values();
  }

  /** True when this process sent the message or passed it on: it has come back. Counts it. */
  isEcho({ sender }: Envelope): boolean {
    if (!sender.includes(this.id)) return false;
    this.stats.echoes++;
    return true;
  }

  /** True when the message was here before, or is one of ours. Counts it. `via`: id of the node that sent it, where its answer must go. */
  isDuplicate({ msg_id }: Envelope, via?: string): boolean {
    if (!this.#isOwn(msg_id) && this.#seen.add(msg_id, via)) return false;
    this.stats.duplicates++;
    return true;
  }

  /**
   * True when this node or a sender on its bus has created the message. Such a message is known without being remembered:
   * a report that nobody sends back costs nothing.
   */
  #isOwn(messageId: string): boolean {
    const creator = messageId.slice(0, messageId.lastIndexOf('.'));
    return creator === this.id || this.#bus.nameOf(creator) !== undefined;
  }

  /** Id of the node from which the question came that a message answers. */
  askerOf({ replyTo }: RoutedMessage): string | undefined {
    return replyTo === undefined ? undefined : this.#seen.origin(replyTo);
  }

  /** Gives a message of a transport to the actors of this process, and passes it on to the other links. */
  deliver(envelope: Envelope, source: object, via: string | undefined): void {
    const message = new RoutedMessage(envelope, this.id, source, via);
    // An answer is delivered even when a newer report of its pin came first: somebody waits for it.
    if (this.#staleReports.isStale(envelope, this.clock.now()) && message.replyTo === undefined) {
      this.stats.overtaken++;
      return;
    }
    if (!this.#link.inject(envelope)) {
      this.stats.malformed++;
      return;
    }
    this.stats.delivered++;
    if (envelope.sender.length < MAX_SENDERS && this.#forward(message) > 0) this.stats.relayed++;
  }

  close(): void {
    this.#link.close();
  }

  #forward(message: RoutedMessage): number {
    let links = 0;
    for (const transport of this.#transports) links += transport.forward(message);
    return links;
  }

  #keepReport(message: RoutedMessage): void {
    const report = ioMessageOf(message.envelope.payload);
    if (!report || !isReport(report)) return;
    if (!this.#lastReports.has(report.pin_name) && this.#lastReports.size >= MAX_PINS) return;
    this.#lastReports.set(report.pin_name, message);
  }
}

function replyToOf({ payload }: Envelope): string | undefined {
  for (const subject in payload) {
    const data = payload[subject];
    const id = isRecord(data) ? data['reply_to'] : undefined;
    if (typeof id === 'string') return id;
  }
  return undefined;
}
