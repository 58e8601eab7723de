import type { Bus, BusLink } from '../bus/bus.ts';
import type { Log } from '../driver/driver.ts';
import { type Envelope, encodeEnvelope, MAX_SENDERS, parseEnvelope } from '../message/envelope.ts';
import { CONTROL, ECHO } from './introductions.ts';
import { SeenIds } from './seen.ts';
import type { SocketPair } from './socket-pair.ts';
import type { MeshStats } from './stats.ts';

/** What the flow needs from the mesh. */
export interface FlowHost {
  readonly id: string;
  readonly stats: MeshStats;
  readonly log: Log;
  /** Links on which our own messages go out. */
  outlets(): Iterable<SocketPair>;
  /** Links on which the messages of others are passed on. `control`: it is one of the mesh's own messages. */
  relays(control: boolean): Iterable<SocketPair>;
  control(envelope: Envelope, from: SocketPair): void;
  /** Something we sent came back: the link works both ways. */
  echo(envelope: Envelope, from: SocketPair): void;
}

/**
 * The way of a message through this process: from local actors to the links, from a link to the local actors and on to
 * the other links, once however often it comes.
 */
export class Flow {
  readonly #host: FlowHost;
  readonly #link: BusLink;
  readonly #seen = new SeenIds();

  constructor(bus: Bus, host: FlowHost) {
    this.#host = host;
    this.#link = bus.link((envelope) => this.send(envelope));
  }

  /** Sends a message of this process to everybody. */
  send(envelope: Envelope): void {
    const { stats, id } = this.#host;
    this.#seen.add(envelope.msg_id);
    stats.sent++;
    this.#publish(envelope, id, this.#host.outlets());
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
      this.#publish(envelope, id, [from]);
      return;
    }
    const control = CONTROL in envelope.payload;
    if (control) this.#host.control(envelope, from);
    else if (!this.#link.inject(envelope)) {
      stats.malformed++;
      return;
    } else stats.delivered++;
    if (envelope.sender.length >= MAX_SENDERS) return;
    stats.relayed++;
    this.#publish(envelope, id, this.#host.relays(control));
  }

  close(): void {
    this.#link.close();
  }

  /** Appends our id and publishes; nothing is encoded where nobody listens. */
  #publish(envelope: Envelope, id: string, links: Iterable<SocketPair>): void {
    let text: string | undefined;
    for (const link of links) {
      if (link.listeners === 0) continue;
      text ??= encodeEnvelope({ ...envelope, sender: [...envelope.sender, id] });
      link.publish(text);
    }
  }
}
