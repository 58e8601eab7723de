import type { Clock, DurationMs, MonotonicMs } from '../clock/clock.ts';
import type { Envelope, Payload } from '../message/envelope.ts';
import { newId } from '../message/id.ts';
import { ioMessageOf, type NodeAbout, type NodeMessage } from '../message/payloads.ts';
import type { Contact } from './contacts.ts';
import { type NodeInfo, placesOf } from './node-info.ts';
import { type MeshOptions, openListen } from './options.ts';
import type { Ports } from './socket-pair.ts';

/** How long our own addresses are taken as they were (ms); a machine may get another one while it runs. */
const ADDRESSES_MS: DurationMs = 1000;

/** Who this process is, on the wire and to other dcs-io nodes. */
export class Self {
  readonly id: string = newId();
  readonly boot: string = newId(12);
  /** Ports of the server link and of the door, once they are bound. */
  ports: Ports = { rx: 1, tx: 1 };
  doorPort = 1;
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
  bound(ports: Ports, doorPort: number): void {
    this.ports = ports;
    this.doorPort = doorPort;
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
      port: this.doorPort,
      server: this.ports,
      ...(this.#key !== undefined && { key: this.#key }),
    };
    return this.#info;
  }

  /** What v1 is told of us; undefined when no other machine could reach us there. */
  contact(): Contact | undefined {
    const { addresses } = placesOf(openListen(this.#options));
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
