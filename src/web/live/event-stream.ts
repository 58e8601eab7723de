import type { ServerResponse } from 'node:http';
import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import { type Envelope, isRecord } from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';
import { securityHeaders } from '../http/respond.ts';
import type { Hub } from './hub.ts';

/** A comment now and then tells proxies and the reader that the line is alive. */
const COMMENT_MS: DurationMs = 15_000;
/** A reader this far behind, beyond the state it is told first, is let go; it comes again by itself and is told it anew. */
const MAX_WAITING_BYTES = 1 << 20;
/** An id of another program may hold anything; a line end in it would begin an event that nobody sent. */
const PLAIN_ID = /^[\w.-]+$/;

/**
 * Server-sent events of the pins that `wants` names: first the last report of each, then everything about them as it
 * passes, as `report`, `command` and `refusal`. `data` is the message's own data, `id` its msg_id.
 */
export class EventStream {
  readonly #hub: Hub;
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #wants: (pin: string) => boolean;
  readonly #ended: (slow: boolean) => void;
  readonly #gone = () => this.end();
  #forget = () => {};
  #timer: Timer | undefined;
  #over = false;
  /** Bytes that may wait. */
  #room = Number.POSITIVE_INFINITY;

  /** `ended` is told once, with whether the reader was too slow. */
  constructor(
    hub: Hub,
    clock: Clock,
    response: ServerResponse,
    wants: (pin: string) => boolean,
    ended: (slow: boolean) => void,
  ) {
    this.#hub = hub;
    this.#response = response;
    this.#clock = clock;
    this.#wants = wants;
    this.#ended = ended;
  }

  begin(): void {
    const response = this.#response;
    // Of the connection, not the response: one that waits behind another on the same connection is never told.
    response.req.socket.once('close', this.#gone);
    response.writeHead(200, {
      ...securityHeaders,
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    response.write('retry: 2000\n\n');
    for (const envelope of this.#hub.book.state()) this.#tell(envelope);
    this.#room = response.writableLength + MAX_WAITING_BYTES;
    this.#forget = this.#hub.listen((envelope) => this.#tell(envelope));
    this.#beat();
  }

  /** Idempotent. `slow`: the reader does not keep up. */
  end(slow = false): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer?.cancel();
    this.#forget();
    this.#response.req.socket.off('close', this.#gone);
    if (slow) this.#response.destroy();
    else this.#response.end();
    this.#ended(slow);
  }

  #tell({ payload, msg_id }: Envelope): void {
    const message = ioMessageOf(payload);
    if (message && this.#wants(message.pin_name))
      this.#write(isReport(message) ? 'report' : 'command', msg_id, message);
    const error = payload['IoErrorMessage'];
    if (!isRecord(error)) return;
    if (typeof error['pin_name'] === 'string' && this.#wants(error['pin_name'])) this.#write('refusal', msg_id, error);
  }

  #write(event: string, id: string, data: object): void {
    if (this.#response.writableLength > this.#room) {
      this.end(true);
      return;
    }
    const marked = PLAIN_ID.test(id) ? `id: ${id}\n` : '';
    this.#response.write(`event: ${event}\n${marked}data: ${JSON.stringify(data)}\n\n`);
  }

  #beat(): void {
    this.#timer = this.#clock.after(COMMENT_MS, () => {
      this.#response.write(':\n\n');
      this.#beat();
    });
  }
}
