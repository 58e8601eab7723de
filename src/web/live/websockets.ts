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
/** Longest accepted message. */
const MAX_MESSAGE_BYTES = 64 * 1024;
const MAX_SOCKETS = 100;
/** A client that does not answer a ping before the next one is disconnected. */
const HEARTBEAT_MS: DurationMs = 5000;

/**
 * Sends the response to a rejected upgrade and destroys the connection. Node.js no longer watches it: a client that keeps
 * it open would take one of the connections for ever.
 */
export function rejectUpgrade(stream: Duplex, response: string): void {
  stream.end(response, () => stream.destroy());
}

/** The open WebSockets of browsers and programs. Each carries envelopes of the bus. */
export class WebSocketConnections {
  readonly counters = { opened: 0, refused: 0, dropped: 0, malformed: 0 };
  readonly #bridge: BusBridge;
  readonly #auth: Authenticator;
  readonly #host: WebHost;
  readonly #server: WebSocketServer;
  readonly #connections = new Set<WebSocketConnection>();
  readonly #onHeartbeat: () => void;
  #timer: Timer | undefined;

  /** `onHeartbeat` is called every 5 s. */
  constructor(bridge: BusBridge, auth: Authenticator, host: WebHost, onHeartbeat: () => void) {
    this.#onHeartbeat = onHeartbeat;
    this.#bridge = bridge;
    this.#auth = auth;
    this.#host = host;
    this.#server = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_MESSAGE_BYTES,
      // Messages are small and the network is local: compression costs more than it saves.
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    this.#scheduleHeartbeat();
  }

  get size(): number {
    return this.#connections.size;
  }

  /** Upgrades a connection to a WebSocket, or sends the error response and closes it. Never throws. */
  upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    try {
      this.#auth.checkOrigin(request);
      const identity = this.#auth.identify(request);
      if (!identity) throw new HttpError(401, 'log in first, or give a token');
      if (this.#connections.size >= MAX_SOCKETS) {
        throw new HttpError(503, `there are ${MAX_SOCKETS} WebSockets already`, 10);
      }
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

  /** Closes the WebSockets whose login has ended. */
  closeExpired(isExpired: (identity: Identity) => boolean): void {
    for (const connection of this.#connections) {
      if (isExpired(connection.identity)) connection.close(4401, 'the login has ended');
    }
  }

  stop(): void {
    this.#timer?.cancel();
    for (const connection of this.#connections) connection.close(1001, 'the agent is stopping');
    this.#server.close();
  }

  #open(identity: Identity, socket: WebSocket): void {
    this.counters.opened++;
    const connection = new WebSocketConnection(socket, identity, this.#bridge, this.#host, this.counters, () =>
      this.#touchSession(identity),
    );
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
    connection.start();
  }

  /** A message over the WebSocket counts as use of the login session. */
  #touchSession({ session }: Identity): void {
    if (session) this.#auth.sessions.touch(session);
  }

  #scheduleHeartbeat(): void {
    this.#timer = this.#host.clock.after(HEARTBEAT_MS, () => {
      this.#onHeartbeat();
      for (const connection of this.#connections) connection.heartbeat();
      this.#scheduleHeartbeat();
    });
  }
}

/** Send buffer of a slow client. Above this, messages are dropped until the buffer is empty. */
const MAX_BUFFERED_BYTES = 1 << 20;

/**
 * The WebSocket of one browser or program. It gets a snapshot first: the nodes, the last report of every pin, then
 * `WebSession` with the id that it must send under. From then on it gets every message of the bus. Messages to a slow client
 * are dropped and counted; it gets a new snapshot once its send buffer is empty.
 */
class WebSocketConnection {
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
    onUse: () => void,
  ) {
    this.#onUse = onUse;
    this.#rateLimit = new ReadRateLimit(host.clock, {
      pause: () => socket.pause(),
      resume: () => {
        // The pong may be behind the messages that were not read meanwhile.
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
    // After a too long or malformed frame, `ws` closes the connection with the code for it.
    socket.on('error', (error) => {
      this.#counters.malformed++;
      this.#host.log.warn({ user: this.identity.name, err: error }, `web: WebSocket error: ${error.message}`);
    });
    this.#sendSnapshot();
    this.#unsubscribe = this.#bridge.subscribe(this.#listener);
  }

  /** Disconnects a dead client, or sends the next ping. Called every 5 s. */
  heartbeat(): void {
    if (!this.#pongReceived && !this.#rateLimit.paused) {
      this.#socket.terminate();
      return;
    }
    this.#pongReceived = false;
    this.#socket.ping();
    this.#resync();
    // A script in a browser does not see pings: without WebBeat it could not tell a dead connection from a quiet bus.
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
    // The client may go on sending until it answers the close frame, although its login has ended.
    if (this.#closed) {
      this.#counters.refused++;
      return;
    }
    const parsed = text === undefined ? undefined : parseEnvelope(text);
    if (!parsed?.ok) {
      this.#counters.malformed++;
      this.close(1007, `not an envelope: ${parsed?.reason ?? 'binary'}`.slice(0, 120));
      return;
    }
    this.#onUse();
    const envelope = parsed.value;
    this.#rateLimit.spend(costOf(envelope.payload));
    const { sender, msg_id, payload } = envelope;
    if (sender.length !== 1 || sender[0] !== this.#id || splitMessageId(msg_id).creator !== this.#id) {
      this.#counters.refused++;
      this.close(1008, `wrong sender: use ${this.#id}, the id of WebSession`);
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

/** Token bucket of a client: messages per second, and messages at once after a pause. */
const MESSAGES_PER_SECOND = 1000;
const BURST = 2000;
/** A query that names no pin makes every pin report. */
const ALL_PINS_COST = 200;
const RESUME_CHECK_MS: DurationMs = 50;

/** Returns the cost of a message for the rate limit, in messages. */
export function costOf({ UpdateIoMessage: query }: Payload): number {
  const ofOnePin = isRecord(query) && query['pin_name'] !== undefined;
  return query === undefined || ofOnePin ? 1 : ALL_PINS_COST;
}

/**
 * Token bucket that pauses reading from a client that sends too fast. Nothing is lost: TCP flow control holds the messages
 * back at the client.
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

  /** Takes the cost of a received message from the bucket. */
  spend(cost: number): void {
    this.#refill();
    this.#credit -= cost;
    if (this.#credit > 0 || this.#timer) return;
    this.#reader.pause();
    this.#scheduleResume();
  }

  /** Whether reading is paused. */
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
 * Returns why this role may not send a message on the bus; `undefined` when it may. `operate` may command pins. Reports,
 * bytes for serial ports and all other subjects need `admin`, because other programs act on them.
 */
export function denialReason(role: Role, payload: Payload): string | undefined {
  for (const subject of Object.keys(payload)) {
    if (subject === 'WebSession' || subject === 'WebBeat') return `only the agent sends ${subject}`;
    if (roleIncludes(role, 'admin') || subject === 'UpdateIoMessage') continue;
    if (subject !== 'IoMessage') return `the role ${role} may not send ${subject}; admin may`;
    if (!roleIncludes(role, 'operate')) return `the role ${role} may not command pins; operate may`;
    const message = ioMessageOf(payload);
    if (message && isReport(message)) return `the role ${role} may not send reports (last_change); admin may`;
  }
  return undefined;
}

/** Returns the pin or port that an error about a message names. */
function errorTarget(payload: Payload): { pin_name?: string; port?: string } {
  const pin = ioMessageOf(payload)?.pin_name;
  if (pin !== undefined) return { pin_name: pin };
  const serial = payload['SerialPortMessage'];
  return isRecord(serial) && typeof serial['port'] === 'string' ? { port: serial['port'] } : {};
}
