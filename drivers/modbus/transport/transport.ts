import type { DurationMs, MonotonicMs } from '../../../src/clock/clock.ts';
import type { Link, LinkEvents } from '../../../src/driver/kit/link.ts';
import type { BusTransport } from '../../../src/driver/kit/scheduler.ts';
import type { Task, Transact } from '../../../src/driver/kit/task-queue.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import type { ReplyTolerance } from '../protocol/reply.ts';
import { describeRequest, isWrite, type Request } from '../protocol/request.ts';

/** A task that uses a Modbus bus. */
export type ModbusTask<Result> = Task<Result, Request, Buffer>;
/** Sends one request over the bus that a task holds. */
export type ModbusTransact = Transact<Request, Buffer>;

/**
 * Carries Modbus requests. Resolves with the reply's data, see matchReply; rejects with a ModbusException when the device
 * refuses. A write that ends with PORT_DOWN was not sent; a write under way when the link breaks ends with TIMEOUT.
 */
export interface Transport extends BusTransport<Request, Buffer> {
  /** Rejects what is pending with PORT_DOWN and closes the hardware. Idempotent, never rejects. */
  close(): Promise<void>;
}

/** Events of a transport. */
export interface TransportEvents {
  /** The link is lost. Everything pending has been rejected. Called at most once, never after close. */
  down(error: DcsError): void;
  /**
   * A new connection is about to carry requests in place of one that the device closed or that failed. What was learned about
   * the device may not hold any more.
   */
  reconnected?(): void;
  /** `freeAt` of some unit has become earlier. */
  unitReleased(): void;
  count(name: string, by?: number): void;
}

/** Treatment of the requests to one unit. */
export interface UnitSettings {
  readonly timeoutMs: DurationMs;
  /** Silence before each request, beyond the standard's. */
  readonly pauseMs: DurationMs;
  /** Deviations from the standard that its replies may have. */
  readonly tolerates?: ReplyTolerance;
}

/** Needs of the request that a link is prepared for. */
export interface LinkNeed {
  /** The request must not meet the closing of the connection by the device. */
  readonly fresh?: boolean;
  readonly expiresAt?: MonotonicMs;
}

/** A link under a transport. One that can be made anew when its connection ends has `reset`. */
export interface TransportLink extends Link {
  prepare?(unit: number, need?: LinkNeed): Promise<void>;
  /** A request sent on the link is over. `answered`: by the device, or no answer was due. */
  requestEnded?(answered: boolean): void;
  /** Ends the present connection; `prepare` makes a new one. */
  reset?(): void;
}

/** Events of such a link. `opened` and `closed` only come from a link with `reset`. */
export interface TransportLinkEvents extends LinkEvents {
  /** There is a connection. `broken`: the one before was closed by the device, or failed. */
  opened(broken: boolean): void;
  /** The connection has ended: no request under way gets its reply. `prepare` makes a new one. */
  closed(error: DcsError): void;
}

/** Opens the link under a transport. */
export type OpenLink = (events: TransportLinkEvents) => Promise<TransportLink>;

/** The connection has ended before the reply. */
export class ConnectionClosedError extends DcsError {
  constructor(cause: DcsError) {
    super('PORT_DOWN', cause.message, { cause });
  }
}

/**
 * Sends a request, and once more if the device closes the connection in place of an answer: it may have done so before it saw
 * the request. A write ends with TIMEOUT then and is not repeated, because it may have taken effect.
 */
export async function sendAgainAfterClosing(
  request: Request,
  count: (name: string) => void,
  send: () => Promise<Buffer>,
): Promise<Buffer> {
  try {
    return await send();
  } catch (error) {
    if (!(error instanceof ConnectionClosedError)) throw error;
  }
  count('requests_repeated');
  try {
    return await send();
  } catch (error) {
    if (!(error instanceof ConnectionClosedError)) throw error;
    const cure = 'it may need a rest after connecting (connect: { pause: 1s }), or serve another master';
    const message = `${describeRequest(request)}: ${error.message} twice in place of an answer; ${cure}`;
    throw new DcsError('TIMEOUT', message, { cause: error });
  }
}

/** The device has answered, but with nothing that can be taken for the reply; the message says what was wrong with it. */
export class UnmatchedReplyError extends DcsError {
  constructor(message: string) {
    super('TIMEOUT', message);
  }
}

/** A read that had to precede a write got no answer, so the write was not sent. */
export class NotSentError extends DcsError {
  constructor(cause: DcsError) {
    super('TIMEOUT', cause.message, { cause });
  }
}

/** The request expired before the line was ready for it. */
export function expiredError(request: Request): DcsError {
  return new DcsError('EXPIRED', `${describeRequest(request)}: its time was up before it could be sent`);
}

/**
 * Returns the error that ends a request under way when its connection ends. A write ends with TIMEOUT, because it may have
 * taken effect; PORT_DOWN would say that nothing has been done.
 */
export function connectionLostError(request: Request, error: DcsError): DcsError {
  const harmless = !isWrite(request) && request.kind !== 'raw';
  if (error.code !== 'PORT_DOWN' && error.code !== 'BAD_REPLY') return error;
  if (harmless && error.code === 'PORT_DOWN') return error;
  if (harmless) return new DcsError(error.code, `${describeRequest(request)}: ${error.message}`, { cause: error });
  return new DcsError(
    'TIMEOUT',
    `${describeRequest(request)}: the link broke before it was confirmed (${error.message}); whether it took effect is unknown`,
    { cause: error },
  );
}
