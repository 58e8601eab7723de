import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import { type Envelope, freezeDeep, isRecord, newId, type Payload } from '../message/envelope.ts';
import { ioMessageOf, type NodeAbout, type NodeMessage } from '../message/payloads.ts';
import { type MeshOptions, v1Listen } from './options.ts';
import { type NodeInfo, placesOf } from './peer/node-info.ts';
import type { Session } from './peer/session.ts';
import type { Contact } from './v1/introductions.ts';
import type { Ports } from './v1/socket-pair.ts';

/** How long our own addresses are taken as they were (ms); a machine may get another one while it runs. */
const ADDRESSES_MS: DurationMs = 1000;

/** Who this process is, on the wire and to other dcs-io nodes. */
export class LocalNode {
  readonly id: string = newId();
  readonly boot: string = newId(12);
  /** Ports of the server link and of the door, once they are bound. */
  ports: Ports = { rx: 1, tx: 1 };
  acceptorPort = 1;
  readonly #clock: Clock;
  readonly #options: MeshOptions;
  readonly #key: string | undefined;
  #info: NodeInfo | undefined;
  #asOf: MonotonicMs = 0;
  #serial = 0;

  /** `key`: this node's public key, when its sessions are encrypted. */
  constructor(clock: Clock, options: MeshOptions, key: string | undefined) {
    this.#clock = clock;
    this.#options = options;
    this.#key = key;
  }

  /** The ports have been bound. */
  setPorts(ports: Ports, doorPort: number): void {
    this.ports = ports;
    this.acceptorPort = doorPort;
    this.#info = undefined;
  }

  /** What other nodes are told of us. */
  info(): NodeInfo {
    const now = this.#clock.now();
    if (this.#info && now - this.#asOf < ADDRESSES_MS) return this.#info;
    this.#asOf = now;
    this.#info = {
      id: this.id,
      name: this.#options.name ?? this.id,
      boot: this.boot,
      ...placesOf(this.#options.listen),
      port: this.acceptorPort,
      server: this.ports,
      ...(this.#key !== undefined && { key: this.#key }),
    };
    return this.#info;
  }

  /** What v1 is told of us; undefined when no other machine could reach us there. */
  contact(): Contact | undefined {
    const { addresses } = placesOf(v1Listen(this.#options));
    return addresses.length > 0 ? { addresses, ports: this.ports } : undefined;
  }

  /** What the bus is told of us. */
  describe(event: NodeMessage['event'], about: NodeAbout): NodeMessage {
    return { event, node: this.id, name: this.#options.name ?? this.id, boot: this.boot, ...about };
  }

  /** The one answer to a command that is not carried out. */
  refusal(command: Envelope, code: string, message: string): Envelope {
    const pin = ioMessageOf(command.payload);
    const about = pin ? { pin_name: pin.pin_name } : {};
    return this.envelope({ IoErrorMessage: { ...about, code, message, reply_to: command.msg_id } });
  }

  /** A message of the mesh itself. */
  envelope(payload: Payload): Envelope {
    const msg_id = `${this.id}.${this.#serial++}`;
    return Object.freeze({ sender: Object.freeze([this.id]), timestamp: this.#clock.unix(), msg_id, payload });
  }
}

/** How often a node says on the bus that it lives (ms); sessions notice a death much sooner. */
export const HEARTBEAT_MS: DurationMs = 5000;

export interface PresenceHost {
  describe(event: NodeMessage['event']): NodeMessage;
  send(payload: Payload): void;
  /** Gives a message to the actors of this process only; `from`: id of the node it is about. */
  deliverLocally(payload: Payload, from: string): void;
}

/** Birth, heartbeat and leave of this node as messages on the bus, for programs that show or count nodes. */
export class Presence {
  readonly #clock: Clock;
  readonly #host: PresenceHost;
  #timer: Timer | undefined;

  constructor(clock: Clock, host: PresenceHost) {
    this.#clock = clock;
    this.#host = host;
  }

  start(): void {
    this.#host.send({ NodeMessage: this.#host.describe('birth') });
    this.#beat();
  }

  stop(): void {
    if (!this.#timer) return;
    this.#timer.cancel();
    this.#timer = undefined;
    this.#host.send({ NodeMessage: this.#host.describe('leave') });
  }

  /** Says at once what else the next heartbeat would: somebody has just come and asks. */
  announce(): void {
    this.#host.send({ NodeMessage: this.#host.describe('heartbeat') });
  }

  /** Tells a newcomer of us. */
  sendBirth(session: Session): void {
    session.sendControl({ birth: this.#host.describe('birth') });
  }

  /** A peer has told us of itself. */
  onBirth({ peer }: Session, found: unknown): void {
    if (isRecord(found) && found['node'] === peer.id && freezeDeep(found))
      this.#host.deliverLocally({ NodeMessage: found }, peer.id);
  }

  /** Tells the actors of this process that a peer is gone: a dead one cannot say so. */
  announceLeave({ id, name, boot }: NodeInfo): void {
    const leave: NodeMessage = { event: 'leave', node: id, name, boot, pins: [] };
    this.#host.deliverLocally({ NodeMessage: leave }, id);
  }

  #beat(): void {
    this.#timer = this.#clock.after(HEARTBEAT_MS, () => {
      this.announce();
      this.#beat();
    });
  }
}
