/**
 * All error codes. The code travels on the bus in IoErrorMessage, and programs branch on it. The message is for the person
 * on site.
 *
 * `retryable`: the same request may succeed later without a change.
 */
export const errorCodes = {
  BAD_CONFIG: { retryable: false, means: 'the configuration is wrong' },
  BAD_COMMAND: { retryable: false, means: 'the command has a wrong shape' },
  BAD_VALUE: { retryable: false, means: 'the value does not fit the pin' },
  OUT_OF_RANGE: { retryable: false, means: 'the value is outside the declared range' },
  READ_ONLY: { retryable: false, means: 'the pin is an input' },
  NOT_SUPPORTED: { retryable: false, means: 'this pin or port cannot do that' },
  EXPIRED: { retryable: false, means: 'the command was older than its ttl when its turn came' },
  NO_SUCH_PIN: { retryable: false, means: 'nobody on the bus has a pin of that name' },
  NO_SUCH_CHANNEL: { retryable: false, means: 'the hardware has no such line, register or channel' },
  BUSY: { retryable: true, means: 'somebody else holds the hardware' },
  NO_PERMISSION: { retryable: true, means: 'the process may not open the hardware' },
  PORT_DOWN: { retryable: true, means: 'the port is closed, unplugged or out of reach' },
  PORT_SKIPPED: { retryable: false, means: 'the hardware does not exist on this machine' },
  NO_DEVICE: { retryable: true, means: 'no device answers at that address' },
  TIMEOUT: { retryable: true, means: 'no answer came in time' },
  DEVICE_REFUSED: { retryable: false, means: 'the device answered with an exception' },
  NOT_TAKEN: { retryable: false, means: 'the hardware accepted the value, but then showed another one' },
  BAD_REPLY: { retryable: true, means: 'the device answered with something that cannot be trusted' },
  BAD_SOURCE: { retryable: true, means: 'a pin from which the value is computed is bad, or has no value yet' },
  RULE: { retryable: true, means: 'a rule of the pin forbids it now; `rule` names it' },
  OVERRIDDEN: { retryable: true, means: 'a person has overridden the output' },
  SAFE_STATE: { retryable: true, means: 'the output is kept in its safe state' },
  FAILED: { retryable: false, means: 'the pin kept failing and was given up; the agent has to be restarted' },
  STOPPED: { retryable: false, means: 'the agent is stopping' },
  INTERNAL: { retryable: false, means: 'a defect in dcs-io or in a user actor' },
} as const satisfies Record<string, { retryable: boolean; means: string }>;

/** Code of a DcsError; `errorCodes` explains each. */
export type ErrorCode = keyof typeof errorCodes;

/** Details of a DcsError beside its code and message. */
export interface ErrorDetail {
  /** The value found, as a person would recognise it. */
  found?: unknown;
  /** The right value or way. */
  expected?: string;
  /** The rule of the configuration that was broken: `requires`, `interlock`, `range`. */
  rule?: string;
  cause?: unknown;
}

/** The error class of the project: a code, the value found, what would be right, and the cause. */
export class DcsError extends Error {
  override readonly name = 'DcsError';
  readonly code: ErrorCode;
  readonly found: unknown;
  readonly expected: string | undefined;
  readonly rule: string | undefined;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.found = detail.found;
    this.expected = detail.expected;
    this.rule = detail.rule;
  }

  /** True when the same request may succeed later without a change. */
  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }
}

/** Converts anything thrown to a DcsError. Returns a DcsError unchanged. */
export function toDcsError(thrown: unknown, code: ErrorCode = 'INTERNAL', prefix = ''): DcsError {
  if (thrown instanceof DcsError) return thrown;
  return new DcsError(code, prefix + messageOf(thrown), { cause: thrown });
}

/** Returns the error of a write that was carried out and could not be read back: TIMEOUT, because its effect is unknown. */
export function unconfirmedWrite(key: string, cause: DcsError): DcsError {
  const message = `${key} was written and cannot be read back: ${cause.message}; whether it took effect is unknown`;
  return new DcsError('TIMEOUT', message, { cause });
}

/** Returns the message of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Returns the `code` of a system error of Node.js: `ENOENT`, `EBUSY`, …. `undefined` for other errors. */
export function systemCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}
