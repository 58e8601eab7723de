import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Clock, DurationMs, MonotonicMs } from '../../clock/clock.ts';
import { messageOf } from '../../errors/errors.ts';
import type { Log } from '../../log/log.ts';
import { isRecord } from '../../message/envelope.ts';
import type { MeshStats } from '../stats.ts';
import { isPort } from '../transport/addresses.ts';
import type { PingEvidence } from './failure-detector.ts';

/** Bytes of a line's name, which is public, and of its key, which only the two ends of a session know. */
const NAME = 8;
const KEY = 16;
/** A datagram is: name, kind, flags, serial, authentication tag. */
const TAG_AT = NAME + 1 + 1 + 8;
const TAG = 8;
const PING = 1;
const PONG = 2;
const GIVE_UP = 3;
const NOT_RECEIVING = 1;

/** The line on which the other end of a session may be pinged. */
export interface PingOffer {
  readonly port: number;
  /** Name and key of the line, base64url. */
  readonly line: string;
}

export interface PingReceiver {
  /** A ping was answered. */
  onPong(serial: bigint): void;
  /** The peer pinged us. `notReceiving`: it gets nothing of us on the connection. */
  onPing(notReceiving: boolean): void;
  /** The peer declares us lost. */
  onGiveUp(): void;
}

/**
 * The UDP socket for pings beside the connections. A lost datagram delays none behind it, so pings tell a dead peer from a
 * network that loses packets. They carry nothing else. Each session has a line of its own, with a key that the two ends told
 * each other over the session. A datagram without a valid tag, or a repeated one, is counted and dropped.
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

  /** Binds to this port, or to any when it is taken. Without pings the mesh works, with less tolerance for bad networks. */
  async bind(host: string, port: number): Promise<void> {
    for (const wanted of [port, 0]) {
      const socket = createSocket('udp4');
      try {
        socket.bind(wanted, host);
        await once(socket, 'listening');
      } catch (error) {
        socket.close();
        this.#log.debug({ err: error, host, port: wanted }, `cannot bind the UDP port for pings: ${messageOf(error)}`);
        continue;
      }
      socket.on('message', (packet, from) => this.#receive(packet, from));
      socket.on('error', () => this.#stats.socketErrors++);
      this.#socket = socket;
      this.#port = socket.address().port;
      return;
    }
  }

  /** Opens a channel for a session; `undefined` without a socket. `host`: the peer's address; when not known, its first ping tells. */
  open(host: string | undefined, receiver: PingReceiver): PingChannel | undefined {
    const socket = this.#socket;
    if (!socket) return undefined;
    const line = randomBytes(NAME + KEY);
    const name = line.toString('latin1', 0, NAME);
    const channel = new PingChannel(socket, { port: this.#port, line }, host, receiver, () =>
      this.#channels.delete(name),
    );
    this.#channels.set(name, channel);
    return channel;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#channels.clear();
  }

  #receive(packet: Buffer, from: RemoteInfo): void {
    const known = packet.length === TAG_AT + TAG ? this.#channels.get(packet.toString('latin1', 0, NAME)) : undefined;
    if (!known?.receive(packet, from)) this.#stats.malformed++;
  }
}

/** The pings of one session. */
export class PingChannel {
  /** The offer that the peer needs to ping us. */
  readonly offer: PingOffer;
  readonly #socket: Socket;
  readonly #ownLine: Buffer;
  readonly #receiver: PingReceiver;
  readonly #onClose: () => void;
  #host: string | undefined;
  #port: number | undefined;
  #peerLine: Buffer | undefined;
  #serial = 0n;
  #lastPeerSerial = 0n;

  constructor(
    socket: Socket,
    own: { readonly port: number; readonly line: Buffer },
    host: string | undefined,
    receiver: PingReceiver,
    onClose: () => void,
  ) {
    this.#socket = socket;
    this.offer = { port: own.port, line: own.line.toString('base64url') };
    this.#ownLine = own.line;
    this.#host = host;
    this.#receiver = receiver;
    this.#onClose = onClose;
  }

  /** Takes the peer's offer. Returns false when it is malformed. */
  acceptOffer(found: unknown): boolean {
    if (!isRecord(found) || !isPort(found['port']) || typeof found['line'] !== 'string') return false;
    const line = Buffer.from(found['line'], 'base64url');
    if (line.length !== NAME + KEY) return false;
    this.#peerLine = line;
    this.#port ??= found['port'];
    return true;
  }

  /** True when the peer's address is known, so that it can be pinged. */
  get usable(): boolean {
    return this.#peerLine !== undefined && this.#host !== undefined && this.#port !== undefined;
  }

  /** Sends a ping. `notReceiving`: nothing comes from the peer on the connection. Returns the serial of its answer. */
  ping(notReceiving: boolean): bigint {
    this.#send(PING, notReceiving ? NOT_RECEIVING : 0, ++this.#serial);
    return this.#serial;
  }

  /** Tells the peer that we declare it lost: three times, because datagrams get lost. */
  giveUp(): void {
    for (let times = 0; times < 3; times++) this.#send(GIVE_UP, 0, ++this.#serial);
  }

  /** Handles a datagram with our name. Returns false when it is not from the peer, or not new. */
  receive(packet: Buffer, from: RemoteInfo): boolean {
    if (!timingSafeEqual(packet.subarray(TAG_AT), authTag(this.#ownLine, packet))) return false;
    const kind = packet[NAME];
    const flags = packet[NAME + 1] ?? 0;
    const serial = packet.readBigUInt64BE(NAME + 2);
    if (kind === PONG) {
      this.#receiver.onPong(serial);
      return true;
    }
    if ((kind !== PING && kind !== GIVE_UP) || serial <= this.#lastPeerSerial) return false;
    this.#lastPeerSerial = serial;
    if (kind === GIVE_UP) {
      this.#receiver.onGiveUp();
      return true;
    }
    // A peer behind an address translation is where its packets come from.
    this.#host = from.address;
    this.#port = from.port;
    this.#send(PONG, 0, serial);
    this.#receiver.onPing((flags & NOT_RECEIVING) !== 0);
    return true;
  }

  close(): void {
    this.#onClose();
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
      // A datagram that cannot be sent counts as lost: its answer is missing, and that is what the monitor measures.
    });
  }
}

/** The first 8 bytes of an HMAC-SHA256 over all that comes before the tag. */
function authTag(line: Buffer, packet: Buffer): Buffer {
  return createHmac('sha256', line.subarray(NAME)).update(packet.subarray(0, TAG_AT)).digest().subarray(0, TAG);
}

/** An answer that takes longer than this counts as lost (ms). */
const PONG_TIMEOUT_MS = 300;
/** Time for which a loss is remembered (ms). */
const LOSS_MEMORY_MS = 20_000;
/**
 * A peer whose last answer is younger than this lives (ms). When a quarter of all packets is lost each way, 16 pings fail
 * together once in 500,000 times.
 */
const ALIVE_MS = 1200;
/** A second ping follows the first one of a tick after this (ms). */
const SECOND_PING_MS = 75;
/** Interval of pings on a healthy channel (ms): address translations forget it after 30 s. */
const KEEPALIVE_MS = 10_000;
/** Number of pings on a channel that never worked. */
const MAX_TRIES = 40;

export interface PingedPeer {
  /** The peer gets nothing of us on the connection. */
  onPeerNotReceiving(): void;
  /** The peer declares us lost. */
  onPeerGaveUp(): void;
}

/** Pings one peer while its connection is silent: tells whether it lives, and whether the network loses packets. */
export class PingMonitor implements PingEvidence, PingReceiver {
  readonly #clock: Clock;
  readonly #peer: PingedPeer;
  readonly #channel: PingChannel | undefined;
  readonly #unanswered = new Map<bigint, MonotonicMs>();
  #answeredAt = Number.NEGATIVE_INFINITY;
  #lostAt = Number.NEGATIVE_INFINITY;
  #roundTripMs: DurationMs | undefined;
  #pingedAt = Number.NEGATIVE_INFINITY;
  #tries = 0;
  #confirmed = false;
  #closed = false;

  /** `host`: the peer's address; `undefined` when it dialled us: its first ping tells. */
  constructor(socket: PingSocket, clock: Clock, host: string | undefined, peer: PingedPeer) {
    this.#clock = clock;
    this.#peer = peer;
    this.#channel = socket.open(host, this);
  }

  /** `undefined` when this process has no UDP socket: then nothing is known of any peer. */
  get offer(): PingOffer | undefined {
    return this.#channel?.offer;
  }

  /** Datagrams of this peer reach us, or did. */
  get confirmed(): boolean {
    return this.#confirmed;
  }

  /** Takes the peer's offer. Returns false when it is malformed. */
  acceptOffer(found: unknown): boolean {
    const accepted = this.#channel?.acceptOffer(found) ?? true;
    if (accepted) this.tick(this.#clock.now(), false, false);
    return accepted;
  }

  /** Call it several times a second. `silent`: the connection is silent; `notReceiving`: for so long that the peer is told. */
  tick(now: MonotonicMs, silent: boolean, notReceiving: boolean): void {
    if (!this.#channel?.usable) return;
    if (!silent && (this.#confirmed ? now - this.#pingedAt < KEEPALIVE_MS : this.#tries >= MAX_TRIES)) return;
    this.#tries++;
    this.#ping(now, notReceiving);
    if (silent) this.#clock.after(SECOND_PING_MS, () => !this.#closed && this.#ping(this.#clock.now(), notReceiving));
  }

  /** Round trip of the last answered ping; `undefined` when none was answered. */
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

  onPong(serial: bigint): void {
    const pingedAt = this.#unanswered.get(serial);
    if (pingedAt === undefined) return;
    this.#unanswered.delete(serial);
    this.#confirm();
    this.#answeredAt = this.#clock.now();
    this.#roundTripMs = this.#answeredAt - pingedAt;
  }

  onPing(notReceiving: boolean): void {
    // The peer can send to us. Only an answer shows that we can send to it.
    this.#confirm();
    if (notReceiving) this.#peer.onPeerNotReceiving();
  }

  onGiveUp(): void {
    this.#peer.onPeerGaveUp();
  }

  /** Tells the peer that we declare it lost: it may get this although we get nothing of it. */
  giveUp(): void {
    this.#channel?.giveUp();
  }

  close(): void {
    this.#closed = true;
    this.#channel?.close();
  }

  #confirm(): void {
    // Pings sent before the peer could answer were not lost by the network.
    if (!this.#confirmed) this.#unanswered.clear();
    this.#confirmed = true;
  }

  #ping(now: MonotonicMs, notReceiving: boolean): void {
    this.#expireUnanswered(now);
    this.#pingedAt = now;
    if (this.#channel) this.#unanswered.set(this.#channel.ping(notReceiving), now);
  }

  #expireUnanswered(now: MonotonicMs): void {
    for (const [serial, at] of this.#unanswered) {
      if (now - at <= PONG_TIMEOUT_MS) return;
      this.#unanswered.delete(serial);
      if (this.#confirmed) this.#lostAt = now;
    }
  }
}
