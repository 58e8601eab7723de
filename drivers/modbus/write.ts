import type { Clock, DurationMs, Timer } from '../../src/clock/clock.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { Verify } from './address.ts';
import { badValue } from './formats/format.ts';
import type { PolledChannel } from './polled-channel.ts';
import { isPermanent } from './protocol/exception.ts';
import type { TableSpan } from './protocol/request.ts';
import { orNotSent, sendWrite, type WriteStep, type WriteWay } from './send-write.ts';
import { type ModbusTask, type ModbusTransact, NotSentError } from './transport/transport.ts';
import { stepRequests } from './write-steps.ts';

const VERIFY_TTL_MS = 5000;

/** Throws BAD_VALUE, OUT_OF_RANGE or READ_ONLY when a value cannot be written, as far as that is known before anything is sent. */
export function checkWrite(polled: PolledChannel, value: RawValue): void {
  const { channel, address } = polled;
  const { table } = address;
  if (channel.direction === 'in') throw new DcsError('READ_ONLY', `${channel.key} is configured as an input`);
  if (table === 'discrete' || table === 'input')
    throw new DcsError('READ_ONLY', `${channel.key} cannot be written: a ${table} register belongs to the device`);
  // The power of ten may have changed since it was read: only the write knows.
  if (address.scaleOffset === undefined) encodeWrite(polled, value);
  else if (polled.format?.kind === 'analog' && (typeof value !== 'number' || !Number.isFinite(value)))
    throw badValue(value, 'a finite number');
}

/**
 * Returns the requests that write a value, in their order, from within the task that will send them: the place of a SunSpec
 * point and a power of ten in another register are the device's, so they are read right before. Rejects as `checkWrite`
 * throws, and with a NotSentError when they cannot be read.
 */
export async function prepareWrite(
  transact: ModbusTransact,
  polled: PolledChannel,
  value: RawValue,
  confirmPlace?: (transact: ModbusTransact) => Promise<void>,
): Promise<readonly WriteStep[]> {
  await confirmPlace?.(transact);
  const { scaleOffset } = polled.address;
  if (scaleOffset !== undefined) {
    const { unit, table, first } = polled.valueSpan;
    const power = { kind: 'read', unit, table, first: first + scaleOffset, count: 1 } as const;
    polled.notePower(await orNotSent(transact(power)), 0);
  }
  return encodeWrite(polled, value);
}

/** The requests of a write; none when the value is the absence of an order. */
function encodeWrite(polled: PolledChannel, value: RawValue): readonly WriteStep[] {
  if (polled.isNoOrder(value)) return [];
  const { before, after } = polled.address.write ?? {};
  const { unit } = polled.valueSpan;
  return [...stepRequests(unit, before), ...encodeValue(polled, value), ...stepRequests(unit, after)];
}

function encodeValue(polled: PolledChannel, value: RawValue): WriteStep[] {
  const { exactFormat: format, address, valueSpan: span } = polled;
  const { levels, words } = address;
  if (!format) {
    if (typeof value !== 'boolean') throw badValue(value, 'true or false');
    const word = value ? levels?.on : levels?.off;
    return [{ kind: 'write-coil', unit: span.unit, at: span.first, on: value, ...(word !== undefined && { word }) }];
  }
  const image = format.encode(value);
  // Registers that are not neighbours are written in the order in which they make the number.
  const runs = words ? runsOf(words) : [{ from: 0, to: format.registers - 1 }];
  return runs.map((run) => registerWrite(span, format.own, image, run));
}

/** First and last register of a part of a value, counted from its first. */
interface Run {
  readonly from: number;
  readonly to: number;
}

/** The runs of neighbours among the registers of a value. */
function runsOf(words: readonly number[]): Run[] {
  const runs: Run[] = [];
  for (const word of words) {
    const at = runs.findIndex(({ from, to }) => word === to + 1 || word === from - 1);
    const run = runs[at];
    if (run) runs[at] = { from: Math.min(run.from, word), to: Math.max(run.to, word) };
    else runs.push({ from: word, to: word });
  }
  return runs;
}

/** Returns the write of a run of registers: in one request, also where only bits of them, or not all, belong to the value. */
function registerWrite({ unit, first, registerBytes }: TableSpan, own: Buffer, image: Buffer, run: Run): WriteStep {
  const isOwn = (register: number) => own.readUInt16BE(2 * register) !== 0;
  let { from, to } = run;
  while (from < to && !isOwn(from)) from++;
  while (to > from && !isOwn(to)) to--;
  const part = (bytes: Buffer) => Buffer.from(bytes.subarray(2 * from, 2 * to + 2));
  const [mask, data] = [part(own), part(image)];
  const start = first + from;
  if (mask.every((byte) => byte === 0xff)) {
    return data.length === 2
      ? { kind: 'write-register', unit, at: start, word: data.readUInt16BE(0) }
      : { kind: 'write-registers', unit, first: start, data, ...(registerBytes && { registerBytes }) };
  }
  const and = Buffer.from(mask.map((byte) => ~byte));
  if (from < to) return { kind: 'modify-registers', unit, first: start, and, or: data };
  return { kind: 'mask-register', unit, at: start, and: and.readUInt16BE(0), or: data.readUInt16BE(0) };
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
  if (polled.writeOnly || !polled.readable) return undefined;
  try {
    return polled.decode(await transact(polled.readRequest), 0);
  } catch (error) {
    count('writes_unverified');
    if (isPermanent(error)) polled.writeOnly = true;
    return undefined;
  }
}

/**
 * A write got no proper answer. Resolves with the value that the device has when it is the one written: only the answer was
 * lost. Else the device may ignore the function: it is written in another `way`, if there is one. Rejects with `doubt` when
 * the value cannot be read, because nobody knows then whether a second request does harm; with a NotSentError when the read
 * was lost.
 */
export async function settleWrite(
  transact: ModbusTransact,
  polled: PolledChannel,
  value: RawValue,
  way: WriteWay | undefined,
  doubt: DcsError,
  count: (name: string) => void,
): Promise<Reading | undefined> {
  if (polled.writeOnly || !polled.readable) throw doubt;
  const reading = polled.decode(await orNotSent(transact(polled.readRequest)), 0);
  if (reading.ok && reading.value === polled.shownValue(value)) {
    count('write_replies_lost');
    return reading;
  }
  if (!way || (!reading.ok && polled.doubted)) throw doubt;
  try {
    await sendWrite(transact, encodeWrite(polled, value), way);
  } catch (thrown) {
    const cause = toDcsError(thrown);
    throw new DcsError('TIMEOUT', `${doubt.message}; written in another way: ${cause.message}`, { cause });
  }
  return readBack(transact, polled, count);
}

/** Returns the error that ends a write which `settleWrite` could not settle: whatever failed then, the first request may have worked. */
export function settledError(thrown: unknown, doubt: DcsError): DcsError {
  const error = toDcsError(thrown);
  return error.code === 'TIMEOUT' && !(error instanceof NotSentError) ? error : doubt;
}

/**
 * Checks, after its delay, whether an acknowledged write has taken effect. Rejects with NOT_TAKEN when the device shows
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
  const { table, tolerance } = verify;
  const { place } = polled;
  const first = (place?.at ?? 0) + verify.first;
  const request = { kind: 'read', ...polled.valueSpan, table, first } as const;
  let data: Buffer;
  try {
    await delays.wait(verify.delayMs);
    data = await run({
      lane: 'verify',
      unit,
      ttlMs: VERIFY_TTL_MS,
      work: (transact) => transact(request),
    });
    if (place && (polled.doubted || polled.place?.at !== place.at))
      throw new DcsError('BAD_REPLY', "the place of the device's SunSpec models is in doubt");
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
  throw new DcsError('NOT_TAKEN', `${key}: the device took ${written}, but ${table} ${first} then showed ${shown}`, {
    found: shown,
    expected: `${written} ± ${tolerance}`,
  });
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
