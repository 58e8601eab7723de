import type { ServerResponse } from 'node:http';
import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import { type Envelope, isRecord } from '../../message/envelope.ts';
import { ioMessageOf, isReport } from '../../message/payloads.ts';
import { securityHeaders } from '../http/respond.ts';
import type { Hub } from './hub.ts';

/** A comment now and then tells proxies and the reader that the line is alive. */
const COMMENT_MS: DurationMs = 15_000;
/** A reader this far behind is let go; it comes again by itself and is told the state. */
const MAX_WAITING_BYTES = 1 << 20;

/**
 * Server-sent events of the pins that `wants` names: first the last report of each, then everything about them as it
 * passes, as `report`, `command` and `refusal`. `data` is the message's own data, `id` its msg_id.
 */
export class EventStream {
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  readonly #wants: (pin: string) => boolean;
  readonly #ended: () => void;
  readonly #forget: () => void;
  #timer: Timer | undefined;

  constructor(hub: Hub, clock: Clock, response: ServerResponse, wants: (pin: string) => boolean, ended: () => void) {
    this.#response = response;
    this.#clock = clock;
    this.#wants = wants;
    this.#ended = ended;
    response.writeHead(200, {
      ...securityHeaders,
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    response.write('retry: 2000\n\n');
    for (const envelope of hub.book.state()) this.#tell(envelope);
    this.#forget = hub.listen((envelope) => this.#tell(envelope));
    response.once('close', () => this.end());
    this.#beat();
  }

  /** Idempotent. */
  end(): void {
    this.#timer?.cancel();
    this.#forget();
    this.#response.end();
    this.#ended();
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
    if (this.#response.writableLength > MAX_WAITING_BYTES) {
      this.#response.destroy();
      return;
    }
    this.#response.write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  #beat(): void {
    this.#timer = this.#clock.after(COMMENT_MS, () => {
      this.#response.write(':\n\n');
      this.#beat();
    });
  }
}
