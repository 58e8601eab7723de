import type { Clock, DurationMs, Timer } from '../../src/clock/clock.ts';
import type { WriteResult } from '../../src/driver/contract.ts';
import type { Task, Transact } from '../../src/driver/kit/task-queue.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { PolledChannel } from './polled-channel.ts';
import { isPermanent, ModbusException } from './protocol/exception.ts';
import type { Request, Table } from './protocol/request.ts';
import { badValue } from './register-format.ts';
import { NotSentError } from './transport/transport.ts';

const ILLEGAL_FUNCTION = 1;

/** The request that writes a value. Throws BAD_VALUE, OUT_OF_RANGE or READ_ONLY before anything is sent. */
export function encodeWrite({ channel, span, format, located: placed }: PolledChannel, value: RawValue): Request {
  const { unit, table, first } = span;
  if (!placed) throw new DcsError('PORT_DOWN', `${channel.key}: its SunSpec model has not been found yet`);
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
 * Sends the write. A device that does not know the function for one item gets the one for several; one that cannot
 * write bits of a register has the register read and written, which the task that holds the unit makes safe against
 * our own writes (not against those of another master).
 */
export async function sendWrite(ask: Transact, request: Request): Promise<void> {
  try {
    await ask(request);
  } catch (error) {
    // With exception 1 the device says that it has done nothing, so asking again in other words is safe.
    if (!(error instanceof ModbusException) || error.exception !== ILLEGAL_FUNCTION) throw error;
    if (request.kind === 'mask-register') return readModifyWrite(ask, request);
    const other = multipleForm(request);
    if (!other) throw error;
    await ask(other);
  }
}

/**
 * What a failed write is to whoever commanded it. A reply that confirms something else, or arrives damaged, leaves it as
 * unknown as none at all: TIMEOUT. If all that failed was to ask beforehand, nothing was written: PORT_DOWN.
 */
export function writeFailure(thrown: unknown): DcsError {
  const error = toDcsError(thrown);
  if (error instanceof NotSentError)
    return new DcsError('PORT_DOWN', `${error.message}; nothing was written`, { cause: error });
  if (error.code !== 'BAD_REPLY') return error;
  return new DcsError('TIMEOUT', `${error.message}; whether it took effect is unknown`, { cause: error });
}

async function readModifyWrite(ask: Transact, request: Extract<Request, { kind: 'mask-register' }>): Promise<void> {
  const { unit, at, and, or } = request;
  // Never from memory: what was polled may have changed since.
  const question = { kind: 'read', unit, table: 'holding', first: at, count: 1 } as const;
  const present = await ask(question).catch((thrown: unknown) => {
    const error = toDcsError(thrown);
    throw error.code === 'TIMEOUT' || error.code === 'BAD_REPLY' ? new NotSentError(error) : error;
  });
  const word = (present.readUInt16BE(0) & and) | (or & ~and & 0xffff);
  await sendWrite(ask, { kind: 'write-register', unit, at, word });
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
 * Reads back what was just written and tells the channel's listeners. A register that the device does not let be read is
 * not asked for again.
 */
export async function readBack(
  ask: Transact,
  watch: PolledChannel,
  count: (name: string) => void,
): Promise<WriteResult> {
  if (watch.writeOnly) return {};
  try {
    const data = await ask({ kind: 'read', ...watch.span });
    const reading = watch.decode(data, 0);
    watch.report(reading);
    return reading.ok ? { readBack: reading.value } : {};
  } catch (error) {
    // The write itself was acknowledged: that it could not be verified does not make it fail.
    count('writes_unverified');
    if (isPermanent(error)) watch.writeOnly = true;
    return {};
  }
}

/** Where a device shows that a write has had its effect, if that is not the register written. */
export interface Verify {
  readonly table: Table;
  readonly first: number;
  /** How long the device may take to get there. */
  readonly delayMs: DurationMs;
  /** Numbers may differ by this. */
  readonly tolerance: number;
}

const READ_TTL_MS = 5000;

/** Delays that can all be ended at once. */
export class CancellableDelays {
  readonly #clock: Clock;
  readonly #waiting = new Set<(error: DcsError) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wait(delay: DurationMs): Promise<void> {
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const cancelAll = (error?: DcsError) => {
        timer?.cancel();
        this.#waiting.delete(cancelAll);
        if (error) reject(error);
        else resolve();
      };
      this.#waiting.add(cancelAll);
      timer = this.#clock.after(delay, () => cancelAll());
    });
  }

  end(error: DcsError): void {
    for (const end of [...this.#waiting]) end(error);
  }
}

/**
 * Looks, after its delay, whether an acknowledged write has had its effect. Rejects with DEVICE_REFUSED when the device
 * shows something else, and with TIMEOUT when it cannot be asked: then nobody knows.
 */
export async function verifyWrite(
  watch: PolledChannel,
  verify: Verify,
  written: RawValue,
  delays: CancellableDelays,
  run: (task: Task<Buffer>) => Promise<Buffer>,
): Promise<void> {
  const { key } = watch.channel;
  const { unit } = watch.span;
  const count = watch.format?.registers ?? 1;
  let data: Buffer;
  try {
    await delays.wait(verify.delayMs);
    const { table, first } = verify;
    data = await run({
      lane: 'verify',
      unit,
      ttlMs: READ_TTL_MS,
      work: (ask) => ask({ kind: 'read', unit, table, first, count }),
    });
  } catch (thrown) {
    const cause = toDcsError(thrown);
    throw new DcsError('TIMEOUT', `${key}: the device took the value, but it could not be verified: ${cause.message}`, {
      cause,
    });
  }
  const found = watch.decodeExact(data);
  const wanted = watch.expectedReading(written);
  if (found.ok && wanted !== undefined && withinTolerance(found.value, wanted, verify.tolerance)) return;
  throw new DcsError(
    'DEVICE_REFUSED',
    `${key}: the device took ${written}, but ${verify.table} ${verify.first} then showed ${found.ok ? found.value : found.error.message}`,
    { found: found.ok ? found.value : found.error.message, expected: `${written} ± ${verify.tolerance}` },
  );
}

function withinTolerance(found: RawValue, wanted: RawValue, tolerance: number): boolean {
  if (typeof found !== 'number' || typeof wanted !== 'number') return found === wanted;
  return Math.abs(found - wanted) <= tolerance;
}
