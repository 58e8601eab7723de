import type { Clock, DurationMs, MonotonicMs, Timer } from '../../../src/clock/clock.ts';
import type { Link, LinkEvents } from '../../../src/driver/kit/link.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { ModbusException } from '../protocol/exception.ts';
import { encodeMbap, type MbapFrame, MbapReader } from '../protocol/mbap.ts';
import { matchReply } from '../protocol/reply.ts';
import { describeRequest, encodePdu, type Request } from '../protocol/request.ts';
import { connectionLostError, expiredError, type Transport, type TransportEvents } from './transport.ts';

/** Shortest time for which a late reply is expected; its transaction id is not reused before. */
const MIN_QUARANTINE_MS = 60_000;
/** With more late replies than this, a new connection is the better cure. */
const MAX_LATE_IDS = 4096;

interface Pending {
  readonly request: Request;
  readonly timer: Timer;
  readonly resolve: (data: Buffer) => void;
  readonly reject: (error: DcsError) => void;
}

export interface MbapTransportOptions {
  readonly clock: Clock;
  /** Longest response time of a unit. */
  timeout(unit: number): DurationMs;
  readonly concurrency: number;
  /** Datagrams (UDP): each carries one whole frame, and a corrupt one does not affect the next. */
  readonly datagrams: boolean;
}

/** Transactions of Modbus TCP. A reply finds its request by a 16-bit id and must then match it in every field. */
export class MbapTransport implements Transport {
  readonly concurrency: number;
  readonly #options: MbapTransportOptions;
  readonly #events: TransportEvents;
  readonly #pending = new Map<number, Pending>();
  /** Ids of requests that timed out, and the time until which a late reply is expected. Oldest first. */
  readonly #lateIds = new Map<number, MonotonicMs>();
  #reader = new MbapReader();
  #link: Link | undefined;
  #lastId = 0;
  #ended = false;

  constructor(settings: MbapTransportOptions, events: TransportEvents) {
    this.#options = settings;
    this.#events = events;
    this.concurrency = settings.concurrency;
  }

  /** Opens the link with the events of this transport. */
  async start(open: (events: LinkEvents) => Promise<Link>): Promise<void> {
    this.#link = await open({ data: (bytes) => this.#receive(bytes), down: (error) => this.#down(error) });
  }

  freeAt(): MonotonicMs {
    return 0;
  }

  transact(request: Request, expiresAt = Number.POSITIVE_INFINITY): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#ended || !this.#link) {
        reject(new DcsError('PORT_DOWN', `${describeRequest(request)}: the port is closed`));
        return;
      }
      if (this.#options.clock.now() >= expiresAt) {
        reject(expiredError(request));
        return;
      }
      const id = this.#nextId();
      const timeoutMs = this.#options.timeout(request.unit);
      const timer = this.#options.clock.after(timeoutMs, () => this.#expire(id, timeoutMs));
      this.#pending.set(id, { request, timer, resolve, reject });
      this.#link.send(encodeMbap(id, request.unit, encodePdu(request)));
    });
  }

  async close(): Promise<void> {
    this.#ended = true;
    this.#rejectAll(new DcsError('PORT_DOWN', 'the port was closed'));
    await this.#link?.close();
  }

  #nextId(): number {
    const now = this.#options.clock.now();
    for (const [id, until] of this.#lateIds) {
      if (until > now) break;
      this.#lateIds.delete(id);
    }
    do this.#lastId = (this.#lastId + 1) & 0xffff;
    while (this.#pending.has(this.#lastId) || this.#lateIds.has(this.#lastId));
    return this.#lastId;
  }

  #receive(bytes: Buffer): void {
    if (this.#options.datagrams) this.#reader = new MbapReader();
    const broken = this.#reader.push(bytes, (frame) => this.#accept(frame));
    if (this.#options.datagrams) {
      if (broken !== undefined || this.#reader.partial) this.#events.count('frames_corrupt');
    } else if (broken !== undefined) {
      this.#events.count('frames_corrupt');
      this.#down(new DcsError('BAD_REPLY', `the device sent ${broken}; the connection cannot be trusted any more`));
    }
  }

  #accept({ id, unit, pdu }: MbapFrame): void {
    const pending = this.#pending.get(id);
    if (!pending) {
      this.#events.count(this.#lateIds.delete(id) ? 'replies_late' : 'replies_unknown');
      return;
    }
    this.#pending.delete(id);
    pending.timer.cancel();
    const { request } = pending;
    const match = unit === request.unit ? matchReply(request, pdu) : undefined;
    if (match?.kind === 'data') {
      pending.resolve(match.data);
    } else if (match?.kind === 'exception') {
      this.#events.count(`exception_${match.exception}`);
      pending.reject(new ModbusException(request, match.exception));
    } else {
      this.#events.count('replies_mismatched');
      const why = match?.why ?? `unit ${unit}`;
      pending.reject(new DcsError('BAD_REPLY', `${describeRequest(request)}: the reply has ${why}`));
    }
  }

  #expire(id: number, timeoutMs: DurationMs): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    this.#lateIds.set(id, this.#options.clock.now() + Math.max(MIN_QUARANTINE_MS, 10 * timeoutMs));
    this.#events.count('timeouts');
    pending.reject(new DcsError('TIMEOUT', `${describeRequest(pending.request)}: no answer within ${timeoutMs} ms`));
    // An incomplete frame would swallow the beginning of the next one.
    if (this.#reader.partial) this.#down(new DcsError('BAD_REPLY', 'the device stopped in the middle of a reply'));
    else if (this.#lateIds.size > MAX_LATE_IDS)
      this.#down(new DcsError('TIMEOUT', `${MAX_LATE_IDS} requests were not answered`));
  }

  #down(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#rejectAll(new DcsError('PORT_DOWN', error.message, { cause: error }));
    void this.#link?.close();
    this.#events.down(error);
  }

  #rejectAll(error: DcsError): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { request, timer, reject } of pending) {
      timer.cancel();
      reject(connectionLostError(request, error));
    }
  }
}
