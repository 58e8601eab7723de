import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Clock, DurationMs, MonotonicMs } from '../../clock/clock.ts';
import { messageOf } from '../../errors/errors.ts';
import type { Log } from '../../log/log.ts';
import { isRecord } from '../../message/envelope.ts';
import type { MeshStats } from '../stats.ts';
import { isPort } from '../transport/addresses.ts';

/** Bytes of a line's name, which is public, and of its key, which only the two ends of a session know. */
const NAME = 8;
const KEY = 16;
/** name, kind, flags, serial, seal. */
const TAG_AT = NAME + 1 + 1 + 8;
const TAG = 8;
const PING = 1;
const PONG = 2;
const GIVE_UP = 3;
const NOT_RECEIVING = 1;

/** How the other end of a session takes datagrams. */
export interface PingOffer {
  readonly port: number;
  /** Name and key of the line, base64url. */
  readonly line: string;
}

export interface PingHooks {
  /** An ask was answered. */
  onPong(serial: bigint): void;
  /** The peer asked us. `deaf`: it hears nothing of us on the connection. */
  onPing(deaf: boolean): void;
  /** The peer takes us for lost. */
  onGiveUp(): void;
}

/**
 * Asks and answers in datagrams, beside the connections: a datagram that is lost holds up none behind it, so they tell a
 * peer that is gone from a network that loses packets. They carry nothing else. Each session has a line of its own, with
 * a key the two ends told each other over the session; what is not sealed with it, or is repeated, is counted and dropped.
 */
export class PingSocket {
  readonly #stats: MeshStats;
  readonly #log: Log;
  readonly #channels = new Map<string, PingChannel>();
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
  open(host: string | undefined, hooks: PingHooks): PingChannel | undefined {
    const socket = this.#socket;
    if (!socket) return undefined;
    const own = randomBytes(NAME + KEY);
    const name = own.toString('latin1', 0, NAME);
    const line = new PingChannel(socket, { port: this.#port, line: own.toString('base64url') }, own, host, hooks, () =>
      this.#channels.delete(name),
    );
    this.#channels.set(name, line);
    return line;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#channels.clear();
  }

  #receive(packet: Buffer, from: RemoteInfo): void {
    const line = packet.length === TAG_AT + TAG ? this.#channels.get(packet.toString('latin1', 0, NAME)) : undefined;
    if (!line?.receive(packet, from)) this.#stats.malformed++;
  }
}

/** The datagrams of one session. */
export class PingChannel {
  /** What the peer must know to send us something. */
  readonly offer: PingOffer;
  readonly #socket: Socket;
  readonly #ownLine: Buffer;
  readonly #hooks: PingHooks;
  readonly #closed: () => void;
  #host: string | undefined;
  #port: number | undefined;
  #peerLine: Buffer | undefined;
  #serial = 0n;
  #lastPeerSerial = 0n;

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
    this.#ownLine = own;
    this.#host = host;
    this.#hooks = hooks;
    this.#closed = closed;
  }

  /** The peer says where it takes datagrams. False: that makes no sense. */
  acceptOffer(found: unknown): boolean {
    if (!isRecord(found) || !isPort(found['port']) || typeof found['line'] !== 'string') return false;
    const theirs = Buffer.from(found['line'], 'base64url');
    if (theirs.length !== NAME + KEY) return false;
    this.#peerLine = theirs;
    this.#port ??= found['port'];
    return true;
  }

  /** Whether the peer can be asked: we know where it is. */
  get usable(): boolean {
    return this.#peerLine !== undefined && this.#host !== undefined && this.#port !== undefined;
  }

  /** Asks; `deaf`: nothing is heard of the peer on the connection. Returns the serial its answer will have. */
  ping(deaf: boolean): bigint {
    this.#send(PING, deaf ? NOT_RECEIVING : 0, ++this.#serial);
    return this.#serial;
  }

  /** Tells the peer that it is taken for lost; more than once, since datagrams get lost. */
  giveUp(): void {
    for (let times = 0; times < 3; times++) this.#send(GIVE_UP, 0, ++this.#serial);
  }

  /** A packet with our name. False: it is not the peer's, or not new. */
  receive(packet: Buffer, from: RemoteInfo): boolean {
    if (!timingSafeEqual(packet.subarray(TAG_AT), authTag(this.#ownLine, packet))) return false;
    const kind = packet[NAME];
    const flags = packet[NAME + 1] ?? 0;
    const serial = packet.readBigUInt64BE(NAME + 2);
    if (kind === PONG) {
      this.#hooks.onPong(serial);
      return true;
    }
    if ((kind !== PING && kind !== GIVE_UP) || serial <= this.#lastPeerSerial) return false;
    this.#lastPeerSerial = serial;
    if (kind === GIVE_UP) {
      this.#hooks.onGiveUp();
      return true;
    }
    // Who is behind an address translation is where its packets come from.
    this.#host = from.address;
    this.#port = from.port;
    this.#send(PONG, 0, serial);
    this.#hooks.onPing((flags & NOT_RECEIVING) !== 0);
    return true;
  }

  close(): void {
    this.#closed();
  }

  #send(kind: number, flags: number, serial: bigint): void {
    if (!this.#peerLine || this.#host === undefined || this.#port === undefined) return;
    const packet = Buffer.alloc(TAG_AT + TAG);
    this.#peerLine.copy(packet, 0, 0, NAME);
    packet[NAME] = kind;
    packet[NAME + 1] = flags;
    packet.writeBigUInt64BE(serial, NAME + 2);
    authTag(this.#peerLine, packet).copy(packet, TAG_AT);
    this.#socket.send(packet, this.#port, this.#host, () => {
      // One that cannot be sent is one that is lost: its answer does not come, which is what is measured here.
    });
  }
}

function authTag(line: Buffer, packet: Buffer): Buffer {
  return createHmac('sha256', line.subarray(NAME)).update(packet.subarray(0, TAG_AT)).digest().subarray(0, TAG);
}

/** An answer that takes longer than this counts as lost (ms). */
const PONG_TIMEOUT_MS = 300;
/** How long a loss is remembered (ms). */
const LOSS_MEMORY_MS = 20_000;
/** A peer that answered so lately is there (ms). A quarter of all packets lost each way: 16 asks fail together once in 500,000. */
const ALIVE_MS = 1200;
/** A second ask follows the first of a tick after this (ms). */
const AGAIN_MS = 75;
/** How often a line is used although nothing is wrong (ms): address translations forget after 30 s. */
const KEEPALIVE_MS = 10_000;
/** How often a line is tried that never worked, before it is left alone. */
const TRIES = 40;

export interface PingMonitorHooks {
  /** The peer hears nothing of us on the connection. */
  peerNotReceiving(): void;
  /** The peer takes us for lost. */
  peerGaveUp(): void;
}

/** What datagrams say of one peer while its connection is silent: whether it lives, and whether the network loses packets. */
export class PingMonitor {
  readonly #clock: Clock;
  readonly #channel: PingChannel;
  readonly #unanswered = new Map<bigint, MonotonicMs>();
  #answeredAt = Number.NEGATIVE_INFINITY;
  #lostAt = Number.NEGATIVE_INFINITY;
  #roundTripMs: DurationMs | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  #tries = 0;
  #confirmed = false;
  #closed = false;

  /** Undefined where there are no datagrams. */
  static open(
    pings: PingSocket,
    clock: Clock,
    host: string | undefined,
    hooks: PingMonitorHooks,
  ): PingMonitor | undefined {
    let reach: PingMonitor | undefined;
    const line = pings.open(host, {
      onPong: (serial) => reach?.answered(serial),
      onPing: (isDeaf) => {
        reach?.asked();
        if (isDeaf) hooks.peerNotReceiving();
      },
      onGiveUp: () => hooks.peerGaveUp(),
    });
    reach = line && new PingMonitor(clock, line);
    return reach;
  }

  constructor(clock: Clock, line: PingChannel) {
    this.#clock = clock;
    this.#channel = line;
  }

  get offer(): PingOffer {
    return this.#channel.offer;
  }

  /** Datagrams of this peer get through to us, or did. */
  get confirmed(): boolean {
    return this.#confirmed;
  }

  /** The peer says where it takes datagrams. False: that makes no sense. */
  acceptOffer(found: unknown): boolean {
    const met = this.#channel.acceptOffer(found);
    if (met) this.tick(this.#clock.now(), false, false);
    return met;
  }

  /** Called several times a second. `silent`: the connection is, suspiciously; `deaf`: so long that the peer should know. */
  tick(now: MonotonicMs, silent: boolean, deaf: boolean): void {
    if (!this.#channel.usable) return;
    if (!silent && (this.confirmed ? now - this.#askedAt < KEEPALIVE_MS : this.#tries >= TRIES)) return;
    this.#tries++;
    this.#ping(now, deaf);
    if (silent) this.#clock.after(AGAIN_MS, () => !this.#closed && this.#ping(this.#clock.now(), deaf));
  }

  /** How long the last answer took; undefined: there was none. */
  get roundTripMs(): DurationMs | undefined {
    return this.#roundTripMs;
  }

  alive(now: MonotonicMs): boolean {
    return now - this.#answeredAt < ALIVE_MS;
  }

  lossy(now: MonotonicMs): boolean {
    this.#expireUnanswered(now);
    return now - this.#lostAt < LOSS_MEMORY_MS;
  }

  answered(serial: bigint): void {
    const askedAt = this.#unanswered.get(serial);
    if (askedAt === undefined) return;
    this.#unanswered.delete(serial);
    this.asked();
    this.#answeredAt = this.#clock.now();
    this.#roundTripMs = this.#answeredAt - askedAt;
  }

  /** The peer asked: it can send to us. Whether we can to it only an answer tells. */
  asked(): void {
    // What was asked before the peer could answer was not lost by the network.
    if (!this.#confirmed) this.#unanswered.clear();
    this.#confirmed = true;
  }

  /** Tells the peer that we have given it up: it may hear us, although we do not hear it. */
  giveUp(): void {
    this.#channel.giveUp();
  }

  close(): void {
    this.#closed = true;
    this.#channel.close();
  }

  #ping(now: MonotonicMs, deaf: boolean): void {
    this.#expireUnanswered(now);
    this.#askedAt = now;
    this.#unanswered.set(this.#channel.ping(deaf), now);
  }

  #expireUnanswered(now: MonotonicMs): void {
    for (const [serial, at] of this.#unanswered) {
      if (now - at <= PONG_TIMEOUT_MS) return;
      this.#unanswered.delete(serial);
      if (this.confirmed) this.#lostAt = now;
    }
  }
}
