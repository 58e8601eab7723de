import { DcsError } from '../../../src/errors/errors.ts';
import { describeRequest, isWrite, type Request } from '../protocol/request.ts';

/** A question that had to come before a write got no answer: the write was not sent. */
export class NothingWritten extends DcsError {
  constructor(cause: DcsError) {
    super('TIMEOUT', cause.message, { cause });
  }
}

/** The line became ready for a request too late. */
export function tooLate(request: Request): DcsError {
  return new DcsError('EXPIRED', `${describeRequest(request)}: its time was up before it could be sent`);
}

/**
 * What a request under way ends with when the link breaks. PORT_DOWN would say that nothing has been done; of a write that
 * is on its way nobody knows, and the code for that is TIMEOUT.
 */
export function lostUnderWay(request: Request, error: DcsError): DcsError {
  const harmless = !isWrite(request) && request.kind !== 'raw';
  if (harmless || error.code !== 'PORT_DOWN') return error;
  return new DcsError(
    'TIMEOUT',
    `${describeRequest(request)}: the link broke before it was confirmed (${error.message}); whether it took effect is unknown`,
    { cause: error },
  );
}
