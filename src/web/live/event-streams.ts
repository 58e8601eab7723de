import type { ServerResponse } from 'node:http';
import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import { type Envelope, isRecord } from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';
import { HttpError, type Identity } from '../auth/authenticator.ts';
import { securityHeaders } from '../http/response.ts';
import type { BusBridge } from './bus-bridge.ts';

const MAX_STREAMS = 100;

/** The event streams that are open. */
export class EventStreams {
  /** Readers that were too slow and let go. */
  dropped = 0;
  readonly #streams = new Map<EventStream, Identity | undefined>();

  get size(): number {
    return this.#streams.size;
  }

  /** Opens one of the pins that `wants` names. Throws a Refusal (503) when there are too many. */
  open(
    bridge: BusBridge,
    clock: Clock,
    response: ServerResponse,
    wants: (pin: string) => boolean,
    identity: Identity | undefined,
  ): void {
    if (this.#streams.size >= MAX_STREAMS)
      throw new HttpError(503, `there are ${MAX_STREAMS} event streams already`, 10);
    const stream = new EventStream(bridge, clock, response, wants, (slow) => {
      if (slow) this.dropped++;
      this.#streams.delete(stream);
    });
    this.#streams.set(stream, identity);
    stream.start();
  }

  /** Ends the streams of those whose login has ended. */
  closeExpired(over: (identity: Identity) => boolean): void {
    for (const [stream, identity] of this.#streams) if (identity && over(identity)) stream.end();
  }

  stop(): void {
    for (const stream of this.#streams.keys()) stream.end();
  }
}

/** A comment now and then tells proxies and the reader that the line is alive. */
const KEEP_ALIVE_MS: DurationMs = 15_000;
/** A reader this far behind, beyond the state it is told first, is let go; it comes again by itself and is told it anew. */
const MAX_BUFFERED_BYTES = 1 << 20;
/** An id of another program may hold anything; a line end in it would begin an event that nobody sent. */
const PLAIN_ID = /^[\w.-]+$/;

/**
 * Server-sent events of the pins that `wants` names: first the last report of each, then everything about them as it
 * passes, as `report`, `command` and `refusal`. `data` is the message's own data, `id` its msg_id.
 */
export class EventStream {
  readonly #bridge: BusBridge;
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #matches: (pin: string) => boolean;
  readonly #onEnd: (slow: boolean) => void;
  readonly #onDisconnect = () => this.end();
  #unsubscribe = () => {};
  #timer: Timer | undefined;
  #ended = false;
  /** Bytes that may wait. */
  #maxBuffered = Number.POSITIVE_INFINITY;

  /** `ended` is told once, with whether the reader was too slow. */
  constructor(
    bridge: BusBridge,
    clock: Clock,
    response: ServerResponse,
    wants: (pin: string) => boolean,
    ended: (slow: boolean) => void,
  ) {
    this.#bridge = bridge;
    this.#response = response;
    this.#clock = clock;
    this.#matches = wants;
    this.#onEnd = ended;
  }

  start(): void {
    const response = this.#response;
    // Of the connection, not the response: one that waits behind another on the same connection is never told.
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

  /** Idempotent. `slow`: the reader does not keep up. */
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
