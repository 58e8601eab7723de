import type { Clock, MonotonicMs, Timer } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { ModbusException } from '../protocol/exception.ts';
import { encodeMbap, type MbapFrame, MbapReader } from '../protocol/mbap.ts';
import { matchReply } from '../protocol/reply.ts';
import { describeRequest, encodePdu, type Request } from '../protocol/request.ts';
import { SendTiming } from './send-timing.ts';
import {
  ConnectionClosedError,
  connectionLostError,
  type OpenLink,
  sendAgainAfterClosing,
  type Transport,
  type TransportEvents,
  type TransportLink,
  type UnitSettings,
  UnmatchedReplyError,
} from './transport.ts';

/** Shortest time for which a late reply is expected; its transaction id is not reused before. */
const MIN_QUARANTINE_MS = 60_000;
/** With more late replies than this, a new connection is the better cure. */
const MAX_LATE_IDS = 4096;

interface Pending {
  readonly request: Request;
  readonly settings: UnitSettings;
  readonly timer: Timer;
  /** The last reply with another transaction id that came meanwhile. */
  foreignId: number | undefined;
  readonly resolve: (data: Buffer) => void;
  readonly reject: (error: DcsError) => void;
}

export interface MbapTransportOptions {
  readonly clock: Clock;
  unit(unit: number): UnitSettings;
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
  readonly #timing: SendTiming;
  #reader = new MbapReader();
  #link: TransportLink | undefined;
  #lastId = 0;
  /** Number of replies in a row with an id that no request has. */
  #foreignIds = 0;
  #ended = false;

  constructor(settings: MbapTransportOptions, events: TransportEvents) {
    this.#options = settings;
    this.#events = events;
    this.#timing = new SendTiming(settings.clock);
    this.concurrency = settings.concurrency;
  }

  /** Opens the link with the events of this transport. */
  async start(open: OpenLink): Promise<void> {
    this.#timing.noteActivity();
    this.#link = await open({
      data: (bytes) => this.#receive(bytes),
      down: (error) => this.#down(error),
      opened: (broken) => {
        this.#timing.noteActivity();
        // What this side's own closing has cut off is no part of the first reply.
        this.#reader = new MbapReader();
        if (broken) this.#events.reconnected?.();
      },
      closed: (error) => this.#connectionClosed(new ConnectionClosedError(error)),
    });
  }

  freeAt(): MonotonicMs {
    return 0;
  }

  transact(request: Request, expiresAt = Number.POSITIVE_INFINITY): Promise<Buffer> {
    const count = (name: string) => this.#events.count(name);
    return sendAgainAfterClosing(request, count, () => this.#send(request, expiresAt));
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', 'the port was closed'));
    await this.#link?.close();
  }

  async #send(request: Request, expiresAt: MonotonicMs): Promise<Buffer> {
    const link = this.#link;
    if (this.#ended || !link) throw new DcsError('PORT_DOWN', `${describeRequest(request)}: the port is closed`);
    const settings = this.#options.unit(request.unit);
    const exposed = settings.tolerates?.anyTransactionId === true;
    const needs = { silenceMs: settings.pauseMs, expiresAt, exposed };
    // A late reply, whatever its id, could be taken for the one to this request; it cannot come over a new connection.
    if (exposed && this.#lateIds.size > 0 && link.reset)
      this.#abandon(new DcsError('TIMEOUT', 'a request to another unit was not answered'));
    if (!this.#timing.mayBeSent(link, request, needs)) await this.#timing.wait(link, request, needs);
    return new Promise((resolve, reject) => {
      const id = this.#nextId();
      const timer = this.#options.clock.after(settings.timeoutMs, () => this.#expire(id));
      this.#pending.set(id, { request, settings, timer, foreignId: undefined, resolve, reject });
      this.#timing.noteActivity();
      link.send(encodeMbap(id, request.unit, encodePdu(request)));
    });
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
    this.#timing.noteActivity();
    if (this.#options.datagrams) this.#reader = new MbapReader();
    const broken = this.#reader.push(bytes, (frame) => this.#accept(frame));
    if (this.#options.datagrams) {
      if (broken !== undefined || this.#reader.partial) this.#events.count('frames_corrupt');
    } else if (broken !== undefined) {
      this.#events.count('frames_corrupt');
      this.#abandon(new DcsError('BAD_REPLY', `the device sent ${broken}; the connection cannot be trusted any more`));
    }
  }

  #accept({ id, unit, pdu }: MbapFrame): void {
    const pending = this.#pending.get(id) ?? (this.#lateIds.has(id) ? undefined : this.#pendingForAnyId());
    if (!pending) {
      this.#countForeign(id, pdu);
      return;
    }
    this.#foreignIds = 0;
    const { request, settings } = pending;
    this.#settled(pending, true);
    const { anyUnit } = settings.tolerates ?? {};
    const match = unit === request.unit || anyUnit ? matchReply(request, pdu, settings.tolerates) : undefined;
    if (match?.kind === 'data') {
      pending.resolve(match.data);
    } else if (match?.kind === 'exception') {
      this.#events.count(`exception_${match.exception}`);
      pending.reject(new ModbusException(request, match.exception));
    } else {
      this.#events.count('replies_mismatched');
      const why = match?.why ?? `unit ${unit} in place of ${request.unit}; quirks: { unit_id: any } accepts that`;
      const error = new DcsError('BAD_REPLY', `${describeRequest(request)}: the reply has ${why}`);
      pending.reject(error);
      // The true reply may still come, and could be taken for the next one.
      if (settings.tolerates?.anyTransactionId) this.#abandon(error);
    }
  }

  /** The request under way, if its reply may have an id that is not its own. */
  #pendingForAnyId(): Pending | undefined {
    const [only] = this.#pending.values();
    return this.#pending.size === 1 && only?.settings.tolerates?.anyTransactionId ? only : undefined;
  }

  /** Counts a reply with an id that no request under way has. */
  #countForeign(id: number, pdu: Buffer): void {
    const [only] = this.#pending.values();
    if (only && matchReply(only.request, pdu).kind !== 'mismatch') {
      this.#foreignIds++;
      only.foreignId = id;
    }
    this.#events.count(this.#lateIds.delete(id) ? 'replies_late' : 'replies_unknown');
  }

  #settled(pending: Pending, answered: boolean): void {
    pending.timer.cancel();
    for (const [id, one] of this.#pending) if (one === pending) this.#pending.delete(id);
    this.#timing.noteActivity();
    this.#link?.requestEnded?.(answered);
  }

  #expire(id: number): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    const { timeoutMs, tolerates } = pending.settings;
    this.#lateIds.set(id, this.#options.clock.now() + Math.max(MIN_QUARANTINE_MS, 10 * timeoutMs));
    this.#events.count('timeouts');
    const error = this.#noAnswerError(id, pending);
    const incomplete = this.#reader.partial;
    this.#settled(pending, false);
    pending.reject(error);
    // An incomplete frame would swallow the beginning of the next one.
    if (incomplete) this.#abandon(new DcsError('BAD_REPLY', 'the device stopped in the middle of a reply'));
    else if (this.#lateIds.size > MAX_LATE_IDS)
      this.#abandon(new DcsError('TIMEOUT', `${MAX_LATE_IDS} requests were not answered`));
    // The late reply could be taken for the next one; it cannot come over a new connection.
    else if (tolerates?.anyTransactionId) this.#abandon(error);
  }

  #noAnswerError(id: number, { request, settings, foreignId }: Pending): DcsError {
    const what = `${describeRequest(request)}: no answer within ${settings.timeoutMs} ms`;
    if (this.#reader.partial) {
      return new UnmatchedReplyError(`${what}: the reply is incomplete, ${this.#reader.partialText}`);
    }
    if (foreignId === undefined) return new DcsError('TIMEOUT', what);
    const times = this.#foreignIds === 1 ? 'once' : `${this.#foreignIds} times`;
    return new UnmatchedReplyError(
      `${what}: the device answered ${times} with another transaction id (${foreignId} in place of ${id}); quirks: { transaction_id: any } accepts that`,
    );
  }

  /** The connection cannot be trusted any more: what is under way fails, and the next request uses a new connection. */
  #abandon(error: DcsError): void {
    if (!this.#link?.reset) {
      this.#down(error);
      return;
    }
    this.#connectionClosed(error);
    this.#lateIds.clear();
    this.#link.reset();
  }

  #connectionClosed(error: DcsError): void {
    this.#reader = new MbapReader();
    this.#rejectAll(error);
  }

  #down(error: DcsError): void {
    if (this.#ended) return;
    this.#end(new DcsError('PORT_DOWN', error.message, { cause: error }));
    void this.#link?.close();
    this.#events.down(error);
  }

  #end(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timing.end(error);
    this.#rejectAll(error);
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
