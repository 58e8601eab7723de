import type { WriteResult } from '../../src/driver/contract.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { isLasting, ModbusException } from './protocol/exception.ts';
import type { Request } from './protocol/request.ts';
import type { Ask } from './schedule/task.ts';
import { NothingWritten } from './transport/lost.ts';
import { badValue } from './value/refusal.ts';
import type { Watch } from './watch.ts';

const ILLEGAL_FUNCTION = 1;

/** The request that writes a value. Throws BAD_VALUE, OUT_OF_RANGE or READ_ONLY before anything is sent. */
export function encodeWrite({ channel, span, format, placed }: Watch, value: RawValue): Request {
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
export async function sendWrite(ask: Ask, request: Request): Promise<void> {
  try {
    await ask(request);
  } catch (error) {
    // With exception 1 the device says that it has done nothing, so asking again in other words is safe.
    if (!(error instanceof ModbusException) || error.exception !== ILLEGAL_FUNCTION) throw error;
    if (request.kind === 'mask-register') return readModifyWrite(ask, request);
    const other = plural(request);
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
  if (error instanceof NothingWritten)
    return new DcsError('PORT_DOWN', `${error.message}; nothing was written`, { cause: error });
  if (error.code !== 'BAD_REPLY') return error;
  return new DcsError('TIMEOUT', `${error.message}; whether it took effect is unknown`, { cause: error });
}

async function readModifyWrite(ask: Ask, request: Extract<Request, { kind: 'mask-register' }>): Promise<void> {
  const { unit, at, and, or } = request;
  // Never from memory: what was polled may have changed since.
  const question = { kind: 'read', unit, table: 'holding', first: at, count: 1 } as const;
  const present = await ask(question).catch((thrown: unknown) => {
    const error = toDcsError(thrown);
    throw error.code === 'TIMEOUT' || error.code === 'BAD_REPLY' ? new NothingWritten(error) : error;
  });
  const word = (present.readUInt16BE(0) & and) | (or & ~and & 0xffff);
  await sendWrite(ask, { kind: 'write-register', unit, at, word });
}

function plural(request: Request): Request | undefined {
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
export async function readBack(ask: Ask, watch: Watch, count: (name: string) => void): Promise<WriteResult> {
  if (watch.writeOnly) return {};
  try {
    const data = await ask({ kind: 'read', ...watch.span });
    const reading = watch.decode(data, 0);
    watch.tell(reading);
    return reading.ok ? { readBack: reading.value } : {};
  } catch (error) {
    // The write itself was acknowledged: that it could not be verified does not make it fail.
    count('writes_unverified');
    if (isLasting(error)) watch.writeOnly = true;
    return {};
  }
}
