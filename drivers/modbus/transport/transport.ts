import type { MonotonicMs } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { describeRequest, isWrite, type Request } from '../protocol/request.ts';

/**
 * Carries one request to its one reply, or to the reason why there is none. A reply that is late, foreign or corrupt
 * never becomes the result: it is counted and dropped.
 */
export interface Transport {
  /** How many requests may be under way at once. */
  readonly concurrency: number;
  /**
   * Resolves with the reply's data (see matchReply). Rejects with TIMEOUT, BAD_REPLY, PORT_DOWN or a ModbusException.
   * A write that ends with PORT_DOWN was not sent; one that the link left under way ends with TIMEOUT.
   * With `expiresAt` it is not sent after that, however long the line took to be ready for it: EXPIRED.
   * The caller keeps to `concurrency` and `freeAt`.
   */
  transact(request: Request, expiresAt?: MonotonicMs): Promise<Buffer>;
  /** When `unit` may be asked next. Later than now while a late reply of it could be taken for the answer to another. */
  freeAt(unit: number): MonotonicMs;
  /** Whether the line is set up for this unit. Absent: it always is. */
  ready?(unit: number): boolean;
  /** Rejects what is pending with PORT_DOWN and gives the hardware back. Idempotent, never rejects. */
  close(): Promise<void>;
}

/** What a transport tells its owner. */
export interface TransportEvents {
  /** The link is lost. Everything pending has been rejected. Called at most once, never after close. */
  down(error: DcsError): void;
  /** `freeAt` of some unit has become earlier. */
  unitReleased(): void;
  count(name: string, by?: number): void;
}

/** A question that had to come before a write got no answer: the write was not sent. */
export class NotSentError extends DcsError {
  constructor(cause: DcsError) {
    super('TIMEOUT', cause.message, { cause });
  }
}

/** The line became ready for a request too late. */
export function expiredError(request: Request): DcsError {
  return new DcsError('EXPIRED', `${describeRequest(request)}: its time was up before it could be sent`);
}

/**
 * What a request under way ends with when the link breaks. PORT_DOWN would say that nothing has been done; of a write that
 * is on its way nobody knows, and the code for that is TIMEOUT.
 */
export function connectionLostError(request: Request, error: DcsError): DcsError {
  const harmless = !isWrite(request) && request.kind !== 'raw';
  if (harmless || error.code !== 'PORT_DOWN') return error;
  return new DcsError(
    'TIMEOUT',
    `${describeRequest(request)}: the link broke before it was confirmed (${error.message}); whether it took effect is unknown`,
    { cause: error },
  );
}
