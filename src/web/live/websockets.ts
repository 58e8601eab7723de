import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Clock, DurationMs, MonotonicMs, Timer } from '../../clock/clock.ts';
import type { ErrorCode } from '../../errors/errors.ts';
import { type Envelope, isRecord, newId, type Payload, parseEnvelope, splitMessageId } from '../../message/envelope.ts';
import { type IoError, ioMessageOf, isReport } from '../../message/payloads.ts';
import { type Authenticator, HttpError, type Identity } from '../auth/authenticator.ts';
import { type Role, roleIncludes, type WebHost } from '../options.ts';
import type { BridgeListener, BusBridge } from './bus-bridge.ts';

const SUBPROTOCOL = 'dcs-io';
/** A message that is longer than this is no command of anybody. */
const MAX_MESSAGE_BYTES = 64 * 1024;
const MAX_SOCKETS = 100;
/** Who does not answer a ping until the next one is gone. */
const HEARTBEAT_MS: DurationMs = 5000;

/**
 * Answers an upgrade that is refused, and closes. Nobody else watches such a connection any more: left to the other end, it
 * would take up its place among all of them for ever.
 */
export function rejectUpgrade(stream: Duplex, answer: string): void {
  stream.end(answer, () => stream.destroy());
}

/** The WebSockets of browsers and programs; each speaks the bus's envelopes. */
export class WebSocketConnections {
  readonly counters = { opened: 0, refused: 0, dropped: 0, malformed: 0 };
  readonly #bridge: BusBridge;
  readonly #auth: Authenticator;
  readonly #host: WebHost;
  readonly #server: WebSocketServer;
  readonly #connections = new Set<WebSocketConnection>();
  readonly #onHeartbeat: () => void;
  #timer: Timer | undefined;

  /** `beaten` is called every few seconds. */
  constructor(bridge: BusBridge, auth: Authenticator, host: WebHost, beaten: () => void) {
    this.#onHeartbeat = beaten;
    this.#bridge = bridge;
    this.#auth = auth;
    this.#host = host;
    this.#server = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_MESSAGE_BYTES,
      // Small messages on a local network: compressing them costs more than it saves.
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    this.#scheduleHeartbeat();
  }

  get size(): number {
    return this.#connections.size;
  }

  /** An upgrade of a connection at the socket's path. Never throws: what is refused is answered and closed. */
  upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    try {
      this.#auth.checkOrigin(request);
      const identity = this.#auth.identify(request);
      if (!identity) throw new HttpError(401, 'log in first, or give a token');
      if (this.#connections.size >= MAX_SOCKETS)
        throw new HttpError(503, `there are ${MAX_SOCKETS} WebSockets already`, 10);
      this.#server.handleUpgrade(request, stream, head, (socket) => this.#open(identity, socket));
    } catch (error) {
      this.counters.refused++;
      const { status, message } = error instanceof HttpError ? error : { status: 500, message: 'something went wrong' };
      if (!(error instanceof HttpError)) this.#host.log.error({ err: error }, 'web: a WebSocket could not be opened');
      const body = `${message}\n`;
      rejectUpgrade(
        stream,
        `HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    }
  }

  /** Closes the sockets of those whose login has ended. */
  closeExpired(over: (identity: Identity) => boolean): void {
    for (const socket of this.#connections) if (over(socket.identity)) socket.close(4401, 'the login has ended');
  }

  stop(): void {
    this.#timer?.cancel();
    for (const socket of this.#connections) socket.close(1001, 'the agent is stopping');
    this.#server.close();
  }

  #open(identity: Identity, socket: WebSocket): void {
    this.counters.opened++;
    const one = new WebSocketConnection(socket, identity, this.#bridge, this.#host, this.counters, () =>
      this.#touchSession(identity),
    );
    this.#connections.add(one);
    socket.once('close', () => this.#connections.delete(one));
    one.start();
  }

  /** Who commands over a socket uses the login, too. */
  #touchSession({ session }: Identity): void {
    if (session) this.#auth.sessions.touch(session);
  }

  #scheduleHeartbeat(): void {
    this.#timer = this.#host.clock.after(HEARTBEAT_MS, () => {
      this.#onHeartbeat();
      for (const socket of this.#connections) socket.heartbeat();
      this.#scheduleHeartbeat();
    });
  }
}

/** More than this waiting for a slow browser, and messages are left out until it has caught up. */
const MAX_BUFFERED_BYTES = 1 << 20;

/**
 * One browser or program on the bus. It is told the nodes and the last report of every pin, then `WebSession` with the id
 * it has to send under; from then on everything that passes. One that is too slow misses messages, which are counted, and
 * is told the state anew when it has caught up.
 */
export class WebSocketConnection {
  readonly identity: Identity;
  readonly #socket: WebSocket;
  readonly #bridge: BusBridge;
  readonly #host: WebHost;
  readonly #counters: { dropped: number; malformed: number; refused: number };
  readonly #onUse: () => void;
  readonly #rateLimit: ReadRateLimit;
  readonly #id = newId(10);
  readonly #listener: BridgeListener = (_envelope, text) => this.#forward(text);
  #unsubscribe = () => {};
  #missed = 0;
  #pongReceived = true;
  #closed = false;

  constructor(
    socket: WebSocket,
    identity: Identity,
    bridge: BusBridge,
    host: WebHost,
    counters: { dropped: number; malformed: number; refused: number },
    used: () => void,
  ) {
    this.#onUse = used;
    this.#rateLimit = new ReadRateLimit(host.clock, {
      pause: () => socket.pause(),
      resume: () => {
        // Its answer to the last ping may lie behind what waits to be read.
        this.#pongReceived = true;
        socket.resume();
      },
    });
    this.#socket = socket;
    this.identity = identity;
    this.#bridge = bridge;
    this.#host = host;
    this.#counters = counters;
  }

  start(): void {
    const socket = this.#socket;
    socket.on('message', (data, binary) => this.#onMessage(binary ? undefined : String(data)));
    socket.on('pong', () => {
      this.#pongReceived = true;
    });
    const unregister = this.#bridge.registerSender(this.#id, this.identity.name);
    socket.on('close', () => {
      this.#unsubscribe();
      this.#rateLimit.stop();
      unregister();
    });
    // A frame that is too long or broken: the socket closes itself, with the code that says so.
    socket.on('error', (error) => {
      this.#counters.malformed++;
      this.#host.log.warn({ user: this.identity.name, err: error }, `web: a WebSocket failed: ${error.message}`);
    });
    this.#sendSnapshot();
    this.#unsubscribe = this.#bridge.subscribe(this.#listener);
  }

  /** Called every few seconds. */
  heartbeat(): void {
    if (!this.#pongReceived && !this.#rateLimit.paused) {
      this.#socket.terminate();
      return;
    }
    this.#pongReceived = false;
    this.#socket.ping();
    this.#resync();
    // Scripts in a browser see no pings: without this they would take a dead connection for a quiet bus.
    this.#send(this.#bridge.envelope({ WebBeat: {} }));
  }

  close(code: number, reason: string): void {
    this.#closed = true;
    this.#unsubscribe();
    this.#socket.close(code, reason);
  }

  #forward(text: () => string): void {
    if (this.#missed > 0) this.#resync();
    if (this.#missed > 0 || this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.#missed++;
      this.#counters.dropped++;
      return;
    }
    this.#socket.send(text());
  }

  #resync(): void {
    if (this.#missed === 0 || this.#socket.bufferedAmount > 0) return;
    this.#sendSnapshot();
    this.#missed = 0;
  }

  #sendSnapshot(): void {
    for (const envelope of this.#bridge.state.snapshot()) this.#send(envelope);
    const { name: user, role } = this.identity;
    const { name: node } = this.#host.self();
    this.#send(this.#bridge.envelope({ WebSession: { id: this.#id, user, role, node, missed: this.#missed } }));
  }

  #send(envelope: Envelope): void {
    this.#socket.send(JSON.stringify(envelope));
  }

  #onMessage(text: string | undefined): void {
    // The other end may go on sending until it answers the close; its login may be what has ended.
    if (this.#closed) {
      this.#counters.refused++;
      return;
    }
    const parsed = text === undefined ? undefined : parseEnvelope(text);
    if (!parsed?.ok) {
      this.#counters.malformed++;
      this.close(1007, `no envelope: ${parsed?.reason ?? 'binary'}`.slice(0, 120));
      return;
    }
    this.#onUse();
    const envelope = parsed.value;
    this.#rateLimit.spend(costOf(envelope.payload));
    const { sender, msg_id, payload } = envelope;
    if (sender.length !== 1 || sender[0] !== this.#id || splitMessageId(msg_id).creator !== this.#id) {
      this.#counters.refused++;
      this.close(1008, `send as ${this.#id}, which WebSession told you`);
      return;
    }
    const reason = denialReason(this.identity.role, payload);
    if (reason !== undefined) {
      this.#counters.refused++;
      this.#reject(envelope, 'NO_PERMISSION', reason);
    } else if (!this.#bridge.send(envelope, this.#listener)) {
      this.#counters.malformed++;
      this.#reject(envelope, 'BAD_COMMAND', 'an IoMessage needs a pin_name');
    }
  }

  #reject({ msg_id, payload }: Envelope, code: ErrorCode, message: string): void {
    const detail = {
      security: 'refused',
      user: this.identity.name,
      code,
      subjects: Object.keys(payload).join().slice(0, 200),
    };
    this.#host.log.warn(detail, `web: refused ${this.identity.name}: ${message}`);
    const answer: IoError = { ...errorTarget(payload), code, message, reply_to: msg_id };
    this.#send(this.#bridge.envelope({ IoErrorMessage: answer }));
  }
}

/** Messages a browser or program may send a second, and how many at once after a while of silence. */
const MESSAGES_PER_SECOND = 1000;
const BURST = 2000;
/** Every pin answers a question that names none. */
const ALL_PINS_COST = 200;
const RESUME_CHECK_MS: DurationMs = 50;

/** What a message asks of the agent, in messages. */
export function costOf({ UpdateIoMessage: question }: Payload): number {
  const one = isRecord(question) && question['pin_name'] !== undefined;
  return question === undefined || one ? 1 : ALL_PINS_COST;
}

/**
 * Keeps one sender from taking all of the agent's time: whoever sends faster is read more slowly. Nothing is lost: it waits
 * at the sender.
 */
export class ReadRateLimit {
  readonly #clock: Clock;
  readonly #reader: { pause(): void; resume(): void };
  #credit = BURST;
  #refilledAt: MonotonicMs;
  #timer: Timer | undefined;

  constructor(clock: Clock, reader: { pause(): void; resume(): void }) {
    this.#clock = clock;
    this.#reader = reader;
    this.#refilledAt = clock.now();
  }

  /** A message of this cost has been read. */
  spend(cost: number): void {
    this.#refill();
    this.#credit -= cost;
    if (this.#credit > 0 || this.#timer) return;
    this.#reader.pause();
    this.#scheduleResume();
  }

  /** The sender is not read just now. */
  get paused(): boolean {
    return this.#timer !== undefined;
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #scheduleResume(): void {
    this.#timer = this.#clock.after(RESUME_CHECK_MS, () => {
      this.#refill();
      if (this.#credit <= 0) {
        this.#scheduleResume();
        return;
      }
      this.#timer = undefined;
      this.#reader.resume();
    });
  }

  #refill(): void {
    const now = this.#clock.now();
    this.#credit = Math.min(BURST, this.#credit + ((now - this.#refilledAt) / 1000) * MESSAGES_PER_SECOND);
    this.#refilledAt = now;
  }
}

/**
 * Why a message of somebody with this role may not go on the bus; undefined: it may. Whoever operates commands pins;
 * reports, bytes for serial ports and everything else are for admins, since other programs act on them.
 */
export function denialReason(role: Role, payload: Payload): string | undefined {
  for (const subject of Object.keys(payload)) {
    if (subject === 'WebSession' || subject === 'WebBeat') return `${subject} is told by the agent only`;
    if (roleIncludes(role, 'admin') || subject === 'UpdateIoMessage') continue;
    if (subject !== 'IoMessage') return `the role ${role} may not send ${subject}; admin may`;
    if (!roleIncludes(role, 'operate')) return `the role ${role} may not command pins; operate may`;
    const message = ioMessageOf(payload);
    if (message && isReport(message)) return `the role ${role} may not speak for pins (last_change); admin may`;
  }
  return undefined;
}

/** What an error about a message names: its pin or its port. */
export function errorTarget(payload: Payload): { pin_name?: string; port?: string } {
  const pin = ioMessageOf(payload)?.pin_name;
  if (pin !== undefined) return { pin_name: pin };
  const serial = payload['SerialPortMessage'];
  return isRecord(serial) && typeof serial['port'] === 'string' ? { port: serial['port'] } : {};
}
