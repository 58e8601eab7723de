import type { Envelope, Payload } from '../../message/envelope.ts';

/** The little that is needed of a WebSocket: the browser's, Node's (22 and later) and that of `ws` all have it. */
export interface SocketLike {
  send(text: string): void;
  close(): void;
  addEventListener(type: string, listener: (event: { type?: string; data?: unknown; reason?: string }) => void): void;
}
export type SocketClass = new (url: string, protocols: string[]) => SocketLike;

export interface ClientOptions {
  /** Of a user in web.users; a browser that has logged in needs none. */
  readonly token?: string;
  /** Default: the global one. Node 20 has none: pass that of the package `ws`. */
  readonly WebSocket?: SocketClass;
}

/** What the agent says of this connection, once all of the state has been told. */
export interface WebSession {
  readonly id: string;
  readonly user: string;
  readonly role: 'view' | 'operate' | 'admin';
  readonly node: string;
  /** Messages left out because this side was too slow; the state was told anew. */
  readonly missed: number;
}

/** Why a command was not carried out; `code` as in IoErrorMessage, TIMEOUT or OFFLINE. */
export class CommandError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

type Data = Readonly<Record<string, unknown>>;
export type MessageListener = (subject: string, data: Data, envelope: Envelope) => void;
interface PendingRequest {
  resolve(data: Data): void;
  reject(error: CommandError): void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** The agent says something every 5 s; a connection that is silent for so long is dead, whatever the browser thinks. */
const SILENCE_TIMEOUT_MS = 15_000;
const SILENCE_CHECK_MS = 2000;
const STALE_REASON = 'the agent has not heard of it since the connection was lost';

/**
 * A browser's or program's place on the bus of an agent: `const client = new WebClient('http://pi:8080')`, then
 * `client.on((subject, data) => …)` and `await client.set('lamp', true)`. It connects again by itself, and is then told
 * the state anew; a command is sent at once or not at all, never later.
 */
export class WebClient {
  /** The last report of every pin; bad once the agent is back and has none of it. */
  readonly pins = new Map<string, Data>();
  /** Undefined: not connected. */
  session: WebSession | undefined;
  readonly #url: string;
  readonly #options: ClientOptions;
  readonly #listeners = new Set<MessageListener>();
  readonly #pending = new Map<string, PendingRequest>();
  #socket: SocketLike | undefined;
  #serial = 0;
  #backoffMs = 500;
  #closed = false;
  /** Pins that this connection has told of, until it has told all of them. */
  #reportedPins: Set<unknown> | undefined;
  #lastMessageAt = 0;
  /** How often was looked since. */
  #checksSinceMessage = 0;
  #silenceTimer: ReturnType<typeof setInterval> | undefined;
  #reconnectTimer: ReturnType<typeof setTimeout> | undefined;

  /** `url`: of the agent's page. */
  constructor(url: string, options: ClientOptions = {}) {
    this.#url = new URL('/api/socket', url).href.replace(/^http/, 'ws');
    this.#options = options;
    this.#connect();
  }

  /** Hears every message, the state included. WebSession says that it is connected, WebClosed that it is not. */
  on(listener: MessageListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves once connected and told the state; rejects with TIMEOUT. */
  ready(timeoutMs = 10_000): Promise<WebSession> {
    if (this.session) return Promise.resolve(this.session);
    return new Promise((resolve, reject) => {
      const settle = (end: () => void) => {
        clearTimeout(timer);
        forget();
        end();
      };
      const late = new CommandError('TIMEOUT', `${this.#url} let nobody in within ${timeoutMs} ms`);
      const timer = setTimeout(() => settle(() => reject(late)), timeoutMs);
      const forget = this.on(() => this.session && settle(() => this.session && resolve(this.session)));
    });
  }

  /** Broadcasts a message. Throws OFFLINE when there is no connection. */
  send(payload: Payload): Envelope {
    if (!this.session || !this.#socket) throw new CommandError('OFFLINE', 'there is no connection to the agent');
    const { id } = this.session;
    const envelope = { sender: [id], timestamp: Date.now() / 1000, msg_id: `${id}.${this.#serial++}`, payload };
    this.#socket.send(JSON.stringify(envelope));
    return envelope;
  }

  /** Sends a message and resolves with the data of its one answer; rejects with a CommandError. */
  request(payload: Payload, timeoutMs = 5000): Promise<Data> {
    return new Promise((resolve, reject) => {
      const { msg_id } = this.send(payload);
      const late = `no answer within ${timeoutMs} ms; whether it took effect is unknown`;
      const timer = setTimeout(() => this.#takePending(msg_id)?.reject(new CommandError('TIMEOUT', late)), timeoutMs);
      this.#pending.set(msg_id, { resolve, reject, timer });
    });
  }

  /** Asks a pin for a value; resolves with what it then reported. `extra`: pulse, hold, blink or ttl, in seconds. */
  set(pin: string, val: boolean | number | string, extra: Data = {}, timeoutMs = 5000): Promise<Data> {
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
    // What went wrong is not told to scripts; `close` follows.
    socket.addEventListener('error', () => {});
    socket.addEventListener('close', ({ reason = '' }) => socket === this.#socket && this.#onClose(reason));
    this.#lastMessageAt = Date.now();
    this.#checksSinceMessage = 0;
    this.#silenceTimer = setInterval(() => this.#checkSilence(socket), SILENCE_CHECK_MS);
  }

  /** After a sleep of the device, or out of reach of the network, no close comes. */
  #checkSilence(socket: SocketLike): void {
    // The clock tells of a sleep at once; but it may be set back, and then the looks tell of the silence.
    this.#checksSinceMessage++;
    if (
      Date.now() - this.#lastMessageAt <= SILENCE_TIMEOUT_MS &&
      this.#checksSinceMessage * SILENCE_CHECK_MS <= SILENCE_TIMEOUT_MS
    )
      return;
    this.#onClose('nothing was heard of the agent');
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
      const waiting = typeof replyTo === 'string' ? this.#takePending(replyTo) : undefined;
      if (subject === 'IoErrorMessage') waiting?.reject(new CommandError(String(code), String(message)));
      else waiting?.resolve(data);
    }
  }

  /** What was known of a pin before, and is not told again, is no longer what it is. */
  #markUnreportedBad(envelope: Envelope): void {
    const told = this.#reportedPins;
    this.#reportedPins = undefined;
    if (!told) return;
    for (const [pin, { reply_to: _answers, ...last }] of this.pins) {
      if (told.has(pin) || last['reason'] === STALE_REASON) continue;
      const report = { ...last, quality: 'bad', reason: STALE_REASON, quality_since: Number(envelope.timestamp) };
      this.pins.set(pin, report);
      this.#emit('IoMessage', report, envelope);
    }
  }

  /** Whoever waits for the answer to a message waits no more. */
  #takePending(id: string): PendingRequest | undefined {
    const waiting = this.#pending.get(id);
    clearTimeout(waiting?.timer);
    this.#pending.delete(id);
    return waiting;
  }

  #emit(subject: string, data: Data, envelope: Envelope): void {
    for (const listener of this.#listeners) listener(subject, data, envelope);
  }
}

function isSocketClass(found: unknown): found is SocketClass {
  return typeof found === 'function';
}

function isData(found: unknown): found is Data {
  return typeof found === 'object' && found !== null && !Array.isArray(found);
}

function isSession(data: Data): data is Data & WebSession {
  return typeof data['id'] === 'string' && typeof data['role'] === 'string';
}
