import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import { isPermanent, ModbusException } from './protocol/exception.ts';
import type { Request } from './protocol/request.ts';
import { type ModbusTransact, NotSentError } from './transport/transport.ts';
import {
  type FunctionNotes,
  functionName,
  type RejectedFunction,
  type WriteAttempt,
  type WriteFunction,
  type WriteTarget,
} from './write-functions.ts';

const ILLEGAL_FUNCTION = 1;

/**
 * Changes some bits of several registers: each bit becomes that of `or` where `and` is 0. It is no request of its own: the
 * registers are read and written in one go.
 */
export interface ModifyRegisters {
  readonly kind: 'modify-registers';
  readonly unit: number;
  readonly first: number;
  readonly and: Buffer;
  readonly or: Buffer;
}

/** A part of a write. */
export type WriteStep = Request | ModifyRegisters;

/** The functions to write with, and what is learned meanwhile. */
export type WriteWay = Pick<WriteAttempt, 'choice'> & Partial<FunctionNotes>;

/** Sends the requests of one write in their order. A failure after the first leaves half a value: TIMEOUT. */
export async function sendWrite(
  transact: ModbusTransact,
  requests: readonly WriteStep[],
  way: WriteWay,
): Promise<void> {
  for (const [index, request] of requests.entries()) {
    try {
      await sendOne(transact, request, way);
    } catch (thrown) {
      throw index === 0 ? thrown : halfWritten(thrown, index, requests.length);
    }
  }
}

/**
 * Sends a request with the first function that the device takes. A refusal says that the device has done nothing, so another
 * function for the same effect is safe.
 */
async function sendOne(transact: ModbusTransact, request: WriteStep, way: WriteWay): Promise<void> {
  if (request.kind === 'modify-registers') return modifyRegisters(transact, request, way);
  const target = targetOf(request);
  if (target === undefined) {
    await transact(request);
    return;
  }
  const { functions, proven } = way.choice[target];
  let refusal: ModbusException | undefined;
  let rejected: RejectedFunction | undefined;
  for (const fn of functions) {
    way.sending?.(target, fn);
    try {
      await sendAs(transact, request, fn, way);
      way.worked?.(target, fn, rejected);
      return;
    } catch (error) {
      if (!(error instanceof ModbusException) || !isFunctionRefusal(error, proven)) throw error;
      const { exception } = error;
      const everywhere = exception === ILLEGAL_FUNCTION;
      rejected ??= { fn, evidence: `refuses ${functionName(fn)} (exception ${exception})`, everywhere };
      // An address or value that is refused says more than a function that is not known.
      if (refusal === undefined || refusal.exception === ILLEGAL_FUNCTION) refusal = error;
    }
  }
  throw refusal ?? new DcsError('INTERNAL', 'no function to write with');
}

function isFunctionRefusal(error: ModbusException, proven: boolean): boolean {
  return error.exception === ILLEGAL_FUNCTION || (!proven && isPermanent(error));
}

/** What a request writes. `undefined` when only its own function does it. */
function targetOf(request: Request): WriteTarget | undefined {
  switch (request.kind) {
    case 'write-coil':
      return request.word === undefined ? 'coil' : undefined;
    case 'write-register':
      return 'register';
    case 'write-registers':
      return request.registerBytes === undefined ? 'registers' : undefined;
    case 'mask-register':
      return 'bits';
    default:
      return undefined;
  }
}

async function sendAs(transact: ModbusTransact, request: Request, fn: WriteFunction, way: WriteWay): Promise<void> {
  if (request.kind === 'mask-register' && fn === 'read-modify-write') return readModifyWrite(transact, request, way);
  const { unit } = request;
  if (request.kind === 'write-coil' && fn === 15)
    await transact({ kind: 'write-coils', unit, first: request.at, bits: [request.on] });
  else if (request.kind === 'write-register' && fn === 16)
    await transact({ kind: 'write-registers', unit, first: request.at, data: wordBytes(request.word) });
  else if (request.kind === 'write-registers' && fn === 6) await writeOneByOne(transact, request);
  else await transact(request);
}

/** Writes the registers one after the other, the lowest address first. */
async function writeOneByOne(
  transact: ModbusTransact,
  { unit, first, data }: Extract<Request, { kind: 'write-registers' }>,
): Promise<void> {
  for (let at = 0; at < data.length; at += 2) {
    try {
      await transact({ kind: 'write-register', unit, at: first + at / 2, word: data.readUInt16BE(at) });
    } catch (thrown) {
      throw at === 0 ? thrown : halfWritten(thrown, at / 2, data.length / 2);
    }
  }
}

/**
 * Reads the register and writes it: the task holds the unit, so no other write of ours comes in between, but another
 * master's may.
 */
async function readModifyWrite(
  transact: ModbusTransact,
  request: Extract<Request, { kind: 'mask-register' }>,
  way: WriteWay,
): Promise<void> {
  const { unit, at, and, or } = request;
  const present = await readBefore(transact, unit, at, 1);
  const word = (present.readUInt16BE(0) & and) | (or & ~and & 0xffff);
  await sendOne(transact, { kind: 'write-register', unit, at, word }, way);
}

async function modifyRegisters(
  transact: ModbusTransact,
  { unit, first, and, or }: ModifyRegisters,
  way: WriteWay,
): Promise<void> {
  const present = await readBefore(transact, unit, first, and.length / 2);
  const data = Buffer.from(present.map((byte, at) => (byte & (and[at] ?? 0)) | ((or[at] ?? 0) & ~(and[at] ?? 0))));
  await sendOne(transact, { kind: 'write-registers', unit, first, data }, way);
}

/** Reads what a write is about to change: the polled value may be out of date. Nothing is written when it fails. */
async function readBefore(transact: ModbusTransact, unit: number, first: number, count: number): Promise<Buffer> {
  return await orNotSent(transact({ kind: 'read', unit, table: 'holding', first, count }));
}

/** Awaits what must precede a write: without it nothing is written. */
export async function orNotSent<Result>(preceding: Promise<Result>): Promise<Result> {
  try {
    return await preceding;
  } catch (thrown) {
    const error = toDcsError(thrown);
    throw error.code === 'TIMEOUT' || error.code === 'BAD_REPLY' ? new NotSentError(error) : error;
  }
}

function wordBytes(word: number): Buffer {
  const data = Buffer.allocUnsafe(2);
  data.writeUInt16BE(word, 0);
  return data;
}

function halfWritten(thrown: unknown, done: number, all: number): DcsError {
  const cause = toDcsError(thrown);
  return new DcsError('TIMEOUT', `${cause.message}; only ${done} of ${all} parts of the value were written`, { cause });
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

/** Returns whether a write was sent whole and got no answer at all: a lost link and half a value have a cause. */
export function isUnanswered(error: DcsError): boolean {
  return error.code === 'TIMEOUT' && error.cause === undefined;
}
