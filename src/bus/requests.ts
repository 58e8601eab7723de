import type { Clock, DurationMs } from '../clock/clock.ts';
import { DcsError, type ErrorCode, errorCodes } from '../errors/errors.ts';
import { type Envelope, isRecord } from '../message/envelope.ts';

interface Waiting {
  resolve(envelope: Envelope): void;
  reject(error: DcsError): void;
}

/** The requests that wait for their one answer: the first message that names their msg_id in `reply_to`. */
export class Requests {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Settles with the answer, with the error it states, or with TIMEOUT. `send` is called once the wait is set up. */
  wait(id: string, timeoutMs: DurationMs, send: () => void): Promise<Envelope> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(timeoutMs, () => {
        this.#waiting.delete(id);
        reject(new DcsError('TIMEOUT', `no answer to ${id} within ${timeoutMs} ms`));
      });
      const settle = <Outcome>(then: (outcome: Outcome) => void) => {
        return (outcome: Outcome): void => {
          this.#waiting.delete(id);
          timer.cancel();
          then(outcome);
        };
      };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      send();
    });
  }

  /** Looks whether a message answers a request that waits. */
  notice(subject: string, data: unknown, envelope: Envelope): void {
    if (this.#waiting.size === 0 || !isRecord(data)) return;
    const replyTo = data['reply_to'];
    if (typeof replyTo !== 'string') return;
    const waiting = this.#waiting.get(replyTo);
    if (subject === 'IoErrorMessage') waiting?.reject(remoteError(data));
    else waiting?.resolve(envelope);
  }

  /** Rejects all that wait. */
  close(): void {
    for (const { reject } of [...this.#waiting.values()]) {
      reject(new DcsError('STOPPED', 'the bus was closed before the answer came'));
    }
  }
}

/** The error another pin, perhaps of another program, answered with. */
function remoteError(data: Record<string, unknown>): DcsError {
  const { code, message } = data;
  return new DcsError(isErrorCode(code) ? code : 'DEVICE_REFUSED', typeof message === 'string' ? message : 'refused', {
    found: data,
  });
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorCodes, code);
}
