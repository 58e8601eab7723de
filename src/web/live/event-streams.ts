import type { ServerResponse } from 'node:http';
import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import { type Envelope, isRecord } from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';
import { HttpError, type Identity } from '../auth/authenticator.ts';
import { securityHeaders } from '../http/response.ts';
import type { BusBridge } from './bus-bridge.ts';

const MAX_STREAMS = 100;

/** The open streams of server-sent events. */
export class EventStreams {
  /** Number of clients disconnected because they were too slow. */
  dropped = 0;
  readonly #bridge: BusBridge;
  readonly #clock: Clock;
  readonly #streams = new Map<EventStream, Identity | undefined>();

  constructor(bridge: BusBridge, clock: Clock) {
    this.#bridge = bridge;
    this.#clock = clock;
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Opens a stream of the pins that `matches` selects. Throws HttpError 503 at the limit. */
  open(response: ServerResponse, matches: (pin: string) => boolean, identity: Identity | undefined): void {
    if (this.#streams.size >= MAX_STREAMS) {
      throw new HttpError(503, `there are ${MAX_STREAMS} event streams already`, 10);
    }
    const stream = new EventStream(this.#bridge, this.#clock, response, matches, (slow) => {
      if (slow) this.dropped++;
      this.#streams.delete(stream);
    });
    this.#streams.set(stream, identity);
    stream.start();
  }

  /** Ends the streams whose login has ended. */
  closeExpired(isExpired: (identity: Identity) => boolean): void {
    for (const [stream, identity] of this.#streams) if (identity && isExpired(identity)) stream.end();
  }

  stop(): void {
    for (const stream of this.#streams.keys()) stream.end();
  }
}

/** A comment at this interval shows proxies and the client that the connection is alive. */
const KEEP_ALIVE_MS: DurationMs = 15_000;
/** Send buffer of a slow client, beyond the snapshot. Above this it is disconnected; EventSource reconnects by itself. */
const MAX_BUFFERED_BYTES = 1 << 20;
/** A msg_id of another program may contain anything: a line end would inject an event. */
const PLAIN_ID = /^[\w.-]+$/;

/**
 * Server-sent events of the pins that `matches` selects: the last report of each first, then every message about them as
 * `report`, `command` or `refusal`. `data` is the data of the message, `id` its msg_id.
 */
class EventStream {
  readonly #bridge: BusBridge;
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #matches: (pin: string) => boolean;
  readonly #onEnd: (slow: boolean) => void;
  readonly #onDisconnect = () => this.end();
  #unsubscribe = () => {};
  #timer: Timer | undefined;
  #ended = false;
  /** Limit of the send buffer (bytes). */
  #maxBuffered = Number.POSITIVE_INFINITY;

  /** `onEnd` is called once; `slow` says whether the client was too slow. */
  constructor(
    bridge: BusBridge,
    clock: Clock,
    response: ServerResponse,
    matches: (pin: string) => boolean,
    onEnd: (slow: boolean) => void,
  ) {
    this.#bridge = bridge;
    this.#response = response;
    this.#clock = clock;
    this.#matches = matches;
    this.#onEnd = onEnd;
  }

  start(): void {
    const response = this.#response;
    // 'close' of the connection, not of the response: a response pipelined behind another one gets no event.
    response.req.socket.once('close', this.#onDisconnect);
    response.writeHead(200, {
      ...securityHeaders,
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    response.write('retry: 2000\n\n');
    for (const envelope of this.#bridge.state.snapshot()) this.#onMessage(envelope);
    this.#maxBuffered = response.writableLength + MAX_BUFFERED_BYTES;
    this.#unsubscribe = this.#bridge.subscribe((envelope) => this.#onMessage(envelope));
    this.#scheduleKeepAlive();
  }

  /** Ends the stream. Idempotent. `slow`: the client does not keep up, so its buffer is discarded. */
  end(slow = false): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#unsubscribe();
    this.#response.req.socket.off('close', this.#onDisconnect);
    if (slow) this.#response.destroy();
    else this.#response.end();
    this.#onEnd(slow);
  }

  #onMessage({ payload, msg_id }: Envelope): void {
    const message = ioMessageOf(payload);
    if (message && this.#matches(message.pin_name))
      this.#write(isReport(message) ? 'report' : 'command', msg_id, message);
    const error = payload['IoErrorMessage'];
    if (!isRecord(error)) return;
    if (typeof error['pin_name'] === 'string' && this.#matches(error['pin_name']))
      this.#write('refusal', msg_id, error);
  }

  #write(event: string, id: string, data: object): void {
    if (this.#response.writableLength > this.#maxBuffered) {
      this.end(true);
      return;
    }
    const marked = PLAIN_ID.test(id) ? `id: ${id}\n` : '';
    this.#response.write(`event: ${event}\n${marked}data: ${JSON.stringify(data)}\n\n`);
  }

  #scheduleKeepAlive(): void {
    this.#timer = this.#clock.after(KEEP_ALIVE_MS, () => {
      this.#response.write(':\n\n');
      this.#scheduleKeepAlive();
    });
  }
}
