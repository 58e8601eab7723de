import type { BusTransport } from '../../../src/driver/kit/scheduler.ts';
import type { Task, Transact } from '../../../src/driver/kit/task-queue.ts';
import { DcsError } from '../../../src/errors/errors.ts';
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
  /** `freeAt` of some unit has become earlier. */
  unitReleased(): void;
  count(name: string, by?: number): void;
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
 * Returns the error that ends a request under way when the link breaks. A write ends with TIMEOUT, because it may have taken
 * effect; PORT_DOWN would say that nothing has been done.
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
