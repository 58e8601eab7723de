import type { Clock, DurationMs, Timer } from '../../src/clock/clock.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { PolledChannel } from './polled-channel.ts';
import { isPermanent, ModbusException } from './protocol/exception.ts';
import type { Request, Table } from './protocol/request.ts';
import { badValue } from './register-format.ts';
import { type ModbusTask, type ModbusTransact, NotSentError } from './transport/transport.ts';

const ILLEGAL_FUNCTION = 1;
const VERIFY_TTL_MS = 5000;

/** Another register or bit that shows whether a write has taken effect. */
export interface Verify {
  readonly table: Table;
  readonly first: number;
  /** Time that the device may take. */
  readonly delayMs: DurationMs;
  /** Numbers may differ by this. */
  readonly tolerance: number;
}

/** Returns the request that writes a value. Throws BAD_VALUE, OUT_OF_RANGE or READ_ONLY before anything is sent. */
export function encodeWrite({ channel, span, format, located }: PolledChannel, value: RawValue): Request {
  const { unit, table, first } = span;
  if (!located) throw new DcsError('PORT_DOWN', `${channel.key}: its SunSpec model has not been found yet`);
  if (channel.direction === 'in') throw new DcsError('READ_ONLY', `${channel.key} is configured as an input`);
  if (table === 'discrete' || table === 'input')
    throw new DcsError('READ_ONLY', `${channel.key} cannot be written: a ${table} register belongs to the device`);
  if (!format) {
    if (typeof value !== 'boolean') throw badValue(value, 'true or false');
    return { kind: 'write-coil', unit, at: first, on: value };
  }
  const data = format.encode(value);
  if (format.mask !== undefined) {
    const { mask } = format;
    return { kind: 'mask-register', unit, at: first, and: ~mask & 0xffff, or: data.readUInt16BE(0) & mask };
  }
  return data.length === 2
    ? { kind: 'write-register', unit, at: first, word: data.readUInt16BE(0) }
    : { kind: 'write-registers', unit, first, data };
}

/**
 * Sends the write. A device without the function for one item gets the function for several. A device without the mask
 * write has its register read and written: the task holds the unit, so no other write of ours comes in between, but
 * another master's may.
 */
export async function sendWrite(transact: ModbusTransact, request: Request): Promise<void> {
  try {
    await transact(request);
  } catch (error) {
    // Exception 1 says that the device has done nothing, so another request for the same effect is safe.
    if (!(error instanceof ModbusException) || error.exception !== ILLEGAL_FUNCTION) throw error;
    if (request.kind === 'mask-register') return readModifyWrite(transact, request);
    const other = multipleForm(request);
    if (!other) throw error;
    await transact(other);
  }
}

/**
 * Returns the error that ends a command whose write failed with `thrown`. A damaged reply, or one that confirms something
 * else, leaves the effect unknown: TIMEOUT. When only a preceding read failed, nothing was written: PORT_DOWN.
 */
export function writeFailure(thrown: unknown): DcsError {
  const error = toDcsError(thrown);
  if (error instanceof NotSentError)
    return new DcsError('PORT_DOWN', `${error.message}; nothing was written`, { cause: error });
  if (error.code !== 'BAD_REPLY') return error;
  return new DcsError('TIMEOUT', `${error.message}; whether it took effect is unknown`, { cause: error });
}

async function readModifyWrite(
  transact: ModbusTransact,
  request: Extract<Request, { kind: 'mask-register' }>,
): Promise<void> {
  const { unit, at, and, or } = request;
  // Read it now: the polled value may be out of date.
  const read = { kind: 'read', unit, table: 'holding', first: at, count: 1 } as const;
  const present = await transact(read).catch((thrown: unknown) => {
    const error = toDcsError(thrown);
    throw error.code === 'TIMEOUT' || error.code === 'BAD_REPLY' ? new NotSentError(error) : error;
  });
  const word = (present.readUInt16BE(0) & and) | (or & ~and & 0xffff);
  await sendWrite(transact, { kind: 'write-register', unit, at, word });
}

function multipleForm(request: Request): Request | undefined {
  const { unit } = request;
  if (request.kind === 'write-coil') return { kind: 'write-coils', unit, first: request.at, bits: [request.on] };
  if (request.kind !== 'write-register') return undefined;
  const data = Buffer.allocUnsafe(2);
  data.writeUInt16BE(request.word, 0);
  return { kind: 'write-registers', unit, first: request.at, data };
}

/**
 * Reads back a value just written. `undefined` when it could not be read, which does not make an acknowledged write fail. A
 * register that the device never lets be read is not asked for again.
 */
export async function readBack(
  transact: ModbusTransact,
  polled: PolledChannel,
  count: (name: string) => void,
): Promise<Reading | undefined> {
  if (polled.writeOnly) return undefined;
  try {
    return polled.decode(await transact({ kind: 'read', ...polled.span }), 0);
  } catch (error) {
    count('writes_unverified');
    if (isPermanent(error)) polled.writeOnly = true;
    return undefined;
  }
}

/**
 * Checks, after its delay, whether an acknowledged write has taken effect. Rejects with DEVICE_REFUSED when the device shows
 * something else, and with TIMEOUT when it cannot be asked, because the effect is unknown then.
 */
export async function verifyWrite(
  polled: PolledChannel,
  verify: Verify,
  written: RawValue,
  delays: CancellableDelays,
  run: (task: ModbusTask<Buffer>) => Promise<Buffer>,
): Promise<void> {
  const { key } = polled.channel;
  const { unit } = polled.span;
  const { table, first, tolerance } = verify;
  const count = polled.format?.registers ?? 1;
  let data: Buffer;
  try {
    await delays.wait(verify.delayMs);
    data = await run({
      lane: 'verify',
      unit,
      ttlMs: VERIFY_TTL_MS,
      work: (transact) => transact({ kind: 'read', unit, table, first, count }),
    });
  } catch (thrown) {
    const cause = toDcsError(thrown);
    throw new DcsError('TIMEOUT', `${key}: the device took the value, but it could not be verified: ${cause.message}`, {
      cause,
    });
  }
  const found = polled.decodeExact(data);
  const expected = polled.shownValue(written);
  if (found.ok && expected !== undefined && withinTolerance(found.value, expected, tolerance)) return;
  const shown = found.ok ? found.value : found.error.message;
  throw new DcsError(
    'DEVICE_REFUSED',
    `${key}: the device took ${written}, but ${table} ${first} then showed ${shown}`,
    { found: shown, expected: `${written} ± ${tolerance}` },
  );
}

function withinTolerance(found: RawValue, expected: RawValue, tolerance: number): boolean {
  if (typeof found !== 'number' || typeof expected !== 'number') return found === expected;
  return Math.abs(found - expected) <= tolerance;
}

/** Delays that can all be cancelled at once. */
export class CancellableDelays {
  readonly #clock: Clock;
  readonly #waiting = new Set<(error: DcsError) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wait(delay: DurationMs): Promise<void> {
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const end = (error?: DcsError) => {
        timer?.cancel();
        this.#waiting.delete(end);
        if (error) reject(error);
        else resolve();
      };
      this.#waiting.add(end);
      timer = this.#clock.after(delay, () => end());
    });
  }

  cancelAll(error: DcsError): void {
    for (const end of [...this.#waiting]) end(error);
  }
}
