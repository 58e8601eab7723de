import type { Envelope, Payload } from '../../message/envelope.ts';

/** The part of the WebSocket interface that is used. Browsers, Node.js 22 or later and the package `ws` have it. */
export interface SocketLike {
  send(text: string): void;
  close(): void;
  addEventListener(type: string, listener: (event: { type?: string; data?: unknown; reason?: string }) => void): void;
}
/** Constructor of a WebSocket. */
export type SocketClass = new (url: string, protocols: string[]) => SocketLike;

/** Options of a WebClient. */
export interface ClientOptions {
  /** Token of a user in web.users. A browser that has logged in needs none. */
  readonly token?: string;
  /** Default: the global WebSocket. Node.js 20 has none: pass the one of the package `ws`. */
  readonly WebSocket?: SocketClass;
}

/** The agent's description of this connection, sent after the snapshot of the state. */
export interface WebSession {
  readonly id: string;
  readonly user: string;
  readonly role: 'view' | 'operate' | 'admin';
  readonly node: string;
  /** Messages that the agent dropped because this client was too slow; a new snapshot followed. */
  readonly missed: number;
}

/** A command that failed. `code` is that of the IoErrorMessage, TIMEOUT or OFFLINE. */
export class CommandError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Data of a message: `payload[subject]`. */
export type MessageData = Readonly<Record<string, unknown>>;
/** Receives the messages of a WebClient. */
export type MessageListener = (subject: string, data: MessageData, envelope: Envelope) => void;
interface PendingRequest {
  resolve(data: MessageData): void;
  reject(error: CommandError): void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** The agent sends WebBeat every 5 s: a connection without a message for this long is dead. */
const SILENCE_TIMEOUT_MS = 15_000;
const SILENCE_CHECK_MS = 2000;
const STALE_REASON = 'the agent has no report of it since the connection was lost';

/**
 * Client of an agent's bus for browsers and programs: `const client = new WebClient('http://pi:8080')`, then
 * `client.on((subject, data) => …)` and `await client.set('lamp', true)`. It reconnects by itself and gets a new snapshot.
 * A command is sent at once or rejected: the client queues nothing.
 */
export class WebClient {
  /** The last report of every pin. After a reconnect, pins that the agent does not know are of quality bad. */
  readonly pins = new Map<string, MessageData>();
  /** `undefined` while not connected. */
  session: WebSession | undefined;
  readonly #url: string;
  readonly #options: ClientOptions;
  readonly #listeners = new Set<MessageListener>();
  readonly #pending = new Map<string, PendingRequest>();
  #socket: SocketLike | undefined;
  #serial = 0;
  #backoffMs = 500;
  #closed = false;
  /** Pins reported over this connection; `undefined` once the snapshot is complete. */
  #reportedPins: Set<unknown> | undefined;
  #lastMessageAt = 0;
  /** Silence checks since the last message. */
  #checksSinceMessage = 0;
  #silenceTimer: ReturnType<typeof setInterval> | undefined;
  #reconnectTimer: ReturnType<typeof setTimeout> | undefined;

  /** `url`: address of the agent's web page. */
  constructor(url: string, options: ClientOptions = {}) {
    this.#url = new URL('/api/socket', url).href.replace(/^http/, 'ws');
    this.#options = options;
    this.#connect();
  }

  /** Listens to every message, the snapshot included. WebSession means connected, WebClosed disconnected. */
  on(listener: MessageListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves once connected and after the snapshot; rejects with TIMEOUT. */
  ready(timeoutMs = 10_000): Promise<WebSession> {
    if (this.session) return Promise.resolve(this.session);
    return new Promise((resolve, reject) => {
      const settle = (end: () => void) => {
        clearTimeout(timer);
        unsubscribe();
        end();
      };
      const late = new CommandError('TIMEOUT', `no connection to ${this.#url} within ${timeoutMs} ms`);
      const timer = setTimeout(() => settle(() => reject(late)), timeoutMs);
      const unsubscribe = this.on(() => this.session && settle(() => this.session && resolve(this.session)));
    });
  }

  /** Broadcasts a message. Throws OFFLINE without a connection. */
  send(payload: Payload): Envelope {
    if (!this.session || !this.#socket) throw new CommandError('OFFLINE', 'there is no connection to the agent');
    const { id } = this.session;
    const envelope = { sender: [id], timestamp: Date.now() / 1000, msg_id: `${id}.${this.#serial++}`, payload };
    this.#socket.send(JSON.stringify(envelope));
    return envelope;
  }

  /** Sends a message. Resolves with the data of its answer; rejects with a CommandError. */
  request(payload: Payload, timeoutMs = 5000): Promise<MessageData> {
    return new Promise((resolve, reject) => {
      const { msg_id } = this.send(payload);
      const late = `no answer within ${timeoutMs} ms; whether it took effect is unknown`;
      const timer = setTimeout(() => this.#takePending(msg_id)?.reject(new CommandError('TIMEOUT', late)), timeoutMs);
      this.#pending.set(msg_id, { resolve, reject, timer });
    });
  }

  /** Sets a pin. Resolves with its report. `extra`: pulse, hold, blink or ttl, in seconds. */
  set(pin: string, val: boolean | number | string, extra: MessageData = {}, timeoutMs = 5000): Promise<MessageData> {
    return this.request({ IoMessage: { pin_name: pin, val, ttl: timeoutMs / 1000, ...extra } }, timeoutMs);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#reconnectTimer);
    this.#socket?.close();
    clearInterval(this.#silenceTimer);
  }

  #connect(): void {
    const found: unknown = this.#options.WebSocket ?? Reflect.get(globalThis, 'WebSocket');
    if (!isSocketClass(found)) throw new CommandError('OFFLINE', 'this program has no WebSocket: pass that of `ws`');
    const { token } = this.#options;
    const socket = new found(this.#url, token === undefined ? ['dcs-io'] : ['dcs-io', `dcs-io.token.${token}`]);
    this.#socket = socket;
    this.#reportedPins = new Set();
    socket.addEventListener('message', ({ data }) => {
      if (socket === this.#socket) this.#onMessage(JSON.parse(String(data)));
    });
    // Browsers do not tell scripts the reason; `close` follows.
    socket.addEventListener('error', () => {});
    socket.addEventListener('close', ({ reason = '' }) => socket === this.#socket && this.#onClose(reason));
    this.#lastMessageAt = Date.now();
    this.#checksSinceMessage = 0;
    this.#silenceTimer = setInterval(() => this.#checkSilence(socket), SILENCE_CHECK_MS);
  }

  /** Detects a dead connection: after a suspend, or without a network, there is no close event. */
  #checkSilence(socket: SocketLike): void {
    // The clock shows a suspend at once. But it may be set back: then the number of checks shows the silence.
    this.#checksSinceMessage++;
    if (
      Date.now() - this.#lastMessageAt <= SILENCE_TIMEOUT_MS &&
      this.#checksSinceMessage * SILENCE_CHECK_MS <= SILENCE_TIMEOUT_MS
    )
      return;
    this.#onClose('no message from the agent');
    socket.close();
  }

  #onClose(reason: string): void {
    clearInterval(this.#silenceTimer);
    this.#socket = undefined;
    this.session = undefined;
    const lost = new CommandError('OFFLINE', 'the connection was lost; whether it took effect is unknown');
    for (const id of [...this.#pending.keys()]) this.#takePending(id)?.reject(lost);
    this.#emit('WebClosed', { reason }, { sender: [], timestamp: Date.now() / 1000, msg_id: '', payload: {} });
    if (this.#closed) return;
    this.#reconnectTimer = setTimeout(() => this.#connect(), this.#backoffMs);
    this.#backoffMs = Math.min(this.#backoffMs * 2, 8000);
  }

  #onMessage(envelope: Envelope): void {
    this.#lastMessageAt = Date.now();
    this.#checksSinceMessage = 0;
    for (const [subject, data] of Object.entries(envelope.payload)) {
      if (!isData(data)) continue;
      const { pin_name: pin, reply_to: replyTo, code, message } = data;
      if (subject === 'IoMessage' && data['last_change'] !== undefined) {
        this.pins.set(String(pin), data);
        this.#reportedPins?.add(String(pin));
      }
      if (subject === 'WebSession' && isSession(data)) {
        this.#markUnreportedBad(envelope);
        this.session = data;
        this.#backoffMs = 500;
      }
      this.#emit(subject, data, envelope);
      const pending = typeof replyTo === 'string' ? this.#takePending(replyTo) : undefined;
      if (subject === 'IoErrorMessage') pending?.reject(new CommandError(String(code), String(message)));
      else pending?.resolve(data);
    }
  }

  /** Marks the pins bad that were known before and are missing in the snapshot. */
  #markUnreportedBad(envelope: Envelope): void {
    const reported = this.#reportedPins;
    this.#reportedPins = undefined;
    if (!reported) return;
    for (const [pin, { reply_to: _answers, ...last }] of this.pins) {
      if (reported.has(pin) || last['reason'] === STALE_REASON) continue;
      const report = { ...last, quality: 'bad', reason: STALE_REASON, quality_since: Number(envelope.timestamp) };
      this.pins.set(pin, report);
      this.#emit('IoMessage', report, envelope);
    }
  }

  /** Removes and returns the pending request of a message. */
  #takePending(id: string): PendingRequest | undefined {
    const pending = this.#pending.get(id);
    clearTimeout(pending?.timer);
    this.#pending.delete(id);
    return pending;
  }

  #emit(subject: string, data: MessageData, envelope: Envelope): void {
    for (const listener of this.#listeners) listener(subject, data, envelope);
  }
}

function isSocketClass(found: unknown): found is SocketClass {
  return typeof found === 'function';
}

function isData(found: unknown): found is MessageData {
  return typeof found === 'object' && found !== null && !Array.isArray(found);
}

function isSession(data: MessageData): data is MessageData & WebSession {
  return typeof data['id'] === 'string' && typeof data['role'] === 'string';
}
