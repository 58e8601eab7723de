import { DcsError, type ErrorCode } from '../../../src/errors/errors.ts';
import { describeRequest, isWrite, type Request } from './request.ts';

/** Exception codes of the Modbus application protocol 1.1b3, section 7, and their error codes. */
const EXCEPTIONS: Readonly<Record<number, { readonly code: ErrorCode; readonly text: string }>> = {
  1: { code: 'DEVICE_REFUSED', text: 'the device does not know this function' },
  2: { code: 'NO_SUCH_CHANNEL', text: 'the device has no such address' },
  3: { code: 'DEVICE_REFUSED', text: 'the device does not take this value or length' },
  4: { code: 'DEVICE_REFUSED', text: 'the device failed while carrying it out' },
  5: { code: 'BUSY', text: 'the device has accepted it and is still at work' },
  6: { code: 'BUSY', text: 'the device is busy' },
  7: { code: 'DEVICE_REFUSED', text: 'the device cannot do this now (negative acknowledge)' },
  8: { code: 'DEVICE_REFUSED', text: 'the device found its memory corrupt' },
  10: { code: 'NO_DEVICE', text: 'the gateway has no path to the unit' },
  // The gateway has sent the request and got no answer: the effect of a write is unknown, as after any timeout.
  11: { code: 'TIMEOUT', text: 'the unit behind the gateway does not answer' },
};

const ACKNOWLEDGE = 5;
const DEVICE_BUSY = 6;

/** Returns whether the device has accepted a write and is still processing it (exception 5). */
export function isAcknowledge(error: unknown): boolean {
  return error instanceof ModbusException && error.exception === ACKNOWLEDGE && isWrite(error.request);
}

/** Returns whether the device is busy and has done nothing: exception 6, or 5 in place of what was to be read. */
export function isDeviceBusy(error: unknown): boolean {
  if (!(error instanceof ModbusException)) return false;
  return error.exception === DEVICE_BUSY || (error.exception === ACKNOWLEDGE && !isWrite(error.request));
}

/** Returns whether the device lacks the function or the address, or refuses the length: an immediate repetition is useless. */
export function isPermanent(error: unknown): boolean {
  return error instanceof ModbusException && error.exception >= 1 && error.exception <= 3;
}

/** Returns whether a read that was refused may be accepted in parts: an address in it is missing, or it is too long. */
export function isDivisible(error: unknown): boolean {
  return error instanceof ModbusException && (error.exception === 2 || error.exception === 3);
}

/** Refusal of a request by the device. `exception` is the code on the wire. */
export class ModbusException extends DcsError {
  readonly exception: number;
  readonly request: Request;

  constructor(request: Request, exception: number) {
    const known = EXCEPTIONS[exception];
    const text = known?.text ?? 'an exception the standard does not know';
    super(known?.code ?? 'DEVICE_REFUSED', `${describeRequest(request)}: ${text} (exception ${exception})`, {
      found: { exception },
    });
    this.exception = exception;
    this.request = request;
  }
}
