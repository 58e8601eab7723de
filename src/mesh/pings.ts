import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Log } from '../driver/driver.ts';
import { messageOf } from '../errors/errors.ts';
import { isRecord } from '../message/envelope.ts';
import { isPort } from './endpoint.ts';
import type { MeshStats } from './stats.ts';

/** Bytes of a line's name, which is public, and of its key, which only the two ends of a session know. */
const NAME = 8;
const KEY = 16;
/** name, kind, flags, serial, seal. */
const SEAL_AT = NAME + 1 + 1 + 8;
const SEAL = 8;
const ASK = 1;
const ANSWER = 2;
const GIVE_UP = 3;
const DEAF = 1;

/** How the other end of a session takes datagrams. */
export interface PingOffer {
  readonly port: number;
  /** Name and key of the line, base64url. */
  readonly line: string;
}

export interface PingHooks {
  /** An ask was answered. */
  answered(serial: bigint): void;
  /** The peer asked us. `deaf`: it hears nothing of us on the connection. */
  asked(deaf: boolean): void;
  /** The peer takes us for lost. */
  givenUp(): void;
}

/**
 * Asks and answers in datagrams, beside the connections: a datagram that is lost holds up none behind it, so they tell a
 * peer that is gone from a network that loses packets. They carry nothing else. Each session has a line of its own, with
 * a key the two ends told each other over the session; what is not sealed with it, or is repeated, is counted and dropped.
 */
export class Pings {
  readonly #stats: MeshStats;
  readonly #log: Log;
  readonly #lines = new Map<string, PingLine>();
  #socket: Socket | undefined;
  #port = 0;

  constructor(stats: MeshStats, log: Log) {
    this.#stats = stats;
    this.#log = log;
  }

  /** Binds to this port, or any if it is taken. Without datagrams the mesh works too: only less patient with bad networks. */
  async bind(host: string, port: number): Promise<void> {
    for (const wanted of [port, 0]) {
      const socket = createSocket('udp4');
      try {
        socket.bind(wanted, host);
        await once(socket, 'listening');
      } catch (error) {
        socket.close();
        this.#log.debug({ err: error, host, port: wanted }, `no datagrams at this port: ${messageOf(error)}`);
        continue;
      }
      socket.on('message', (packet, from) => this.#receive(packet, from));
      socket.on('error', () => this.#stats.socketErrors++);
      this.#socket = socket;
      this.#port = socket.address().port;
      return;
    }
  }

  /** A line for a session; undefined without datagrams. `host`: the peer's address, unless it is for the peer to find us. */
  open(host: string | undefined, hooks: PingHooks): PingLine | undefined {
    const socket = this.#socket;
    if (!socket) return undefined;
    const own = randomBytes(NAME + KEY);
    const name = own.toString('latin1', 0, NAME);
    const line = new PingLine(socket, { port: this.#port, line: own.toString('base64url') }, own, host, hooks, () =>
      this.#lines.delete(name),
    );
    this.#lines.set(name, line);
    return line;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#lines.clear();
  }

  #receive(packet: Buffer, from: RemoteInfo): void {
    const line = packet.length === SEAL_AT + SEAL ? this.#lines.get(packet.toString('latin1', 0, NAME)) : undefined;
    if (!line?.receive(packet, from)) this.#stats.malformed++;
  }
}

/** The datagrams of one session. */
export class PingLine {
  /** What the peer must know to send us something. */
  readonly offer: PingOffer;
  readonly #socket: Socket;
  readonly #own: Buffer;
  readonly #hooks: PingHooks;
  readonly #closed: () => void;
  #host: string | undefined;
  #port: number | undefined;
  #theirs: Buffer | undefined;
  #serial = 0n;
  #lastAsked = 0n;

  constructor(
    socket: Socket,
    offer: PingOffer,
    own: Buffer,
    host: string | undefined,
    hooks: PingHooks,
    closed: () => void,
  ) {
    this.#socket = socket;
    this.offer = offer;
    this.#own = own;
    this.#host = host;
    this.#hooks = hooks;
    this.#closed = closed;
  }

  /** The peer says where it takes datagrams. False: that makes no sense. */
  met(found: unknown): boolean {
    if (!isRecord(found) || !isPort(found['port']) || typeof found['line'] !== 'string') return false;
    const theirs = Buffer.from(found['line'], 'base64url');
    if (theirs.length !== NAME + KEY) return false;
    this.#theirs = theirs;
    this.#port ??= found['port'];
    return true;
  }

  /** Whether the peer can be asked: we know where it is. */
  get usable(): boolean {
    return this.#theirs !== undefined && this.#host !== undefined && this.#port !== undefined;
  }

  /** Asks; `deaf`: nothing is heard of the peer on the connection. Returns the serial its answer will have. */
  ask(deaf: boolean): bigint {
    this.#send(ASK, deaf ? DEAF : 0, ++this.#serial);
    return this.#serial;
  }

  /** Tells the peer that it is taken for lost; more than once, since datagrams get lost. */
  giveUp(): void {
    for (let times = 0; times < 3; times++) this.#send(GIVE_UP, 0, ++this.#serial);
  }

  /** A packet with our name. False: it is not the peer's, or not new. */
  receive(packet: Buffer, from: RemoteInfo): boolean {
    if (!timingSafeEqual(packet.subarray(SEAL_AT), seal(this.#own, packet))) return false;
    const kind = packet[NAME];
    const flags = packet[NAME + 1] ?? 0;
    const serial = packet.readBigUInt64BE(NAME + 2);
    if (kind === ANSWER) {
      this.#hooks.answered(serial);
      return true;
    }
    if ((kind !== ASK && kind !== GIVE_UP) || serial <= this.#lastAsked) return false;
    this.#lastAsked = serial;
    if (kind === GIVE_UP) {
      this.#hooks.givenUp();
      return true;
    }
    // Who is behind an address translation is where its packets come from.
    this.#host = from.address;
    this.#port = from.port;
    this.#send(ANSWER, 0, serial);
    this.#hooks.asked((flags & DEAF) !== 0);
    return true;
  }

  close(): void {
    this.#closed();
  }

  #send(kind: number, flags: number, serial: bigint): void {
    if (!this.#theirs || this.#host === undefined || this.#port === undefined) return;
    const packet = Buffer.alloc(SEAL_AT + SEAL);
    this.#theirs.copy(packet, 0, 0, NAME);
    packet[NAME] = kind;
    packet[NAME + 1] = flags;
    packet.writeBigUInt64BE(serial, NAME + 2);
    seal(this.#theirs, packet).copy(packet, SEAL_AT);
    this.#socket.send(packet, this.#port, this.#host, () => {
      // One that cannot be sent is one that is lost: its answer does not come, which is what is measured here.
    });
  }
}

function seal(line: Buffer, packet: Buffer): Buffer {
  return createHmac('sha256', line.subarray(NAME)).update(packet.subarray(0, SEAL_AT)).digest().subarray(0, SEAL);
}
