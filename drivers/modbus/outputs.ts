import type { Clock, DurationMs, MonotonicMs } from '../../src/clock/clock.ts';
import type { Reading, WriteOptions, WriteResult } from '../../src/driver/contract.ts';
import { DcsError, messageOf, toDcsError } from '../../src/errors/errors.ts';
import type { Log } from '../../src/log/log.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { PolledChannel } from './polled-channel.ts';
import { isAcknowledge, isDeviceBusy } from './protocol/exception.ts';
import { isUnanswered, sendWrite, writeFailure } from './send-write.ts';
import { type ModbusTask, type ModbusTransact, NotSentError } from './transport/transport.ts';
import {
  type CancellableDelays,
  checkWrite,
  prepareWrite,
  readBack,
  settledError,
  settleWrite,
  verifyWrite,
} from './write.ts';
import type { WriteAttempt, WriteFunctions } from './write-functions.ts';

/** How often a read that belongs to a write is repeated when it is lost. */
const LOST_READS = 2;
/**
 * A refused opening value is tried again after this time, then after twice as long, and so on. One that gets no answer is
 * tried once more at once, and then so.
 */
const FIRST_OPENING_WAIT_MS: DurationMs = 1000;
const MAX_OPENING_WAIT_MS: DurationMs = 60_000;
/** A command that has not been sent within this time has expired. */
const WRITE_TTL_MS = 5000;
/** So many connections a write may need: a step before it, its read, the write, a step after it. */
const CONNECTIONS = 4;
/** A busy device is asked again after this time, then after twice as long, and so on. */
const BUSY_RETRY_MS = 100;

/** The bus that outputs are written on. */
export interface OutputBus {
  readonly clock: Clock;
  /** Rest after connecting, before the first request. */
  readonly connectPauseMs: DurationMs;
  readonly log: Log;
  readonly delays: CancellableDelays;
  readonly functions: WriteFunctions;
  /** The unit counts as lost. */
  isOffline(unit: number): boolean;
  count(name: string): void;
  /** Confirms the place of a SunSpec point in the task that is about to write it. `undefined` for other channels. */
  confirmPlace(polled: PolledChannel): ((transact: ModbusTransact) => Promise<void>) | undefined;
  run<Result>(task: ModbusTask<Result>): Promise<Result>;
  /** Whether the port is closed or down. */
  ended(): boolean;
}

/** An opening value that has not reached the device yet, or a value for a device that was away. */
interface PendingOpening {
  /** Asked when it is sent, because another may be in force by then. `undefined`: the output stays as it is. */
  value: () => RawValue | undefined;
  /** It is on its way. */
  busy: boolean;
  /** It is not tried again before this time. */
  notBefore: MonotonicMs;
  /** How often the unit has refused it, or left it without an answer. */
  tries: number;
}

/** The outputs of a bus: commands, opening values, and the values given when a unit comes back. */
export class Outputs {
  readonly #bus: OutputBus;
  readonly #channels: ReadonlyMap<string, PolledChannel>;
  /** Opening values that have not reached the device yet; `busy`: one is on its way. */
  readonly #pendingOpening = new Map<PolledChannel, PendingOpening>();
  /** Why the opening value of an output could last not be written, which is logged once. */
  readonly #openingFailures = new Map<PolledChannel, string>();
  /** Value that an output still needs if the command under way does nothing. */
  readonly #fallbacks = new Map<PolledChannel, () => RawValue | undefined>();
  /** Units that have answered. */
  readonly #heard = new Set<number>();
  /** Outputs whose device confirms writes in a way of its own, which is logged once. */
  readonly #oddReplies = new Set<PolledChannel>();

  constructor(bus: OutputBus, channels: ReadonlyMap<string, PolledChannel>) {
    this.#bus = bus;
    this.#channels = channels;
  }

  /** See Port.write. */
  async command(polled: PolledChannel, value: RawValue, options: WriteOptions): Promise<WriteResult> {
    // Throws when the value does not fit: nothing changes then.
    checkWrite(polled, value);
    if (options.repetition) this.#refuseWhileAway(polled);
    const opening = this.#pendingOpening.get(polled);
    if (opening) this.#fallbacks.set(polled, opening.value);
    this.#pendingOpening.delete(polled);
    polled.pendingCommands++;
    let failed: DcsError | undefined;
    try {
      const reading = (await this.#send(polled, value, options)) ?? forgottenOrder(polled, value);
      polled.noteWritten(reading);
      if (reading && !reading.ok) this.#reportAfterAnswer(polled, reading);
      return reading?.ok ? { readBack: reading.value } : {};
    } catch (thrown) {
      failed = toDcsError(thrown);
      // The next reading settles whether it took effect, also when it shows the value from before.
      if (mayHaveTakenEffect(failed)) polled.forgetLast();
      throw thrown;
    } finally {
      polled.pendingCommands--;
      this.#commandEnded(polled, failed, options);
    }
  }

  /**
   * Writes the opening value of an output, unless a command comes first. A value that cannot be written now is tried again
   * when the unit answers, ever more rarely: devices refuse much while they start, and some ignore it. Rejects only when the
   * port goes down.
   */
  async open(polled: PolledChannel, value: RawValue): Promise<void> {
    await this.#open(polled, () => value, 0);
  }

  async #open(polled: PolledChannel, from: () => RawValue | undefined, tries: number): Promise<void> {
    const value = from();
    if (value === undefined) {
      this.#pendingOpening.delete(polled);
      return;
    }
    // A return value is asked for once: asking again would tell that the unit was lost again. A later try writes what is in
    // force then.
    const inForce = () => polled.channel.valueInForce?.() ?? value;
    const entry: PendingOpening = { value: inForce, busy: true, notBefore: 0, tries };
    this.#pendingOpening.set(polled, entry);
    const pending = () => this.#pendingOpening.get(polled) === entry;
    try {
      const reading = await this.#send(polled, value);
      if (reading) polled.report(reading);
      this.#openingFailures.delete(polled);
      if (pending()) this.#pendingOpening.delete(polled);
    } catch (thrown) {
      const error = toDcsError(thrown);
      if (this.#bus.ended()) throw error;
      if (!pending()) return;
      entry.busy = false;
      if (error.code !== 'EXPIRED' && error.code !== 'PORT_DOWN') this.#postpone(polled, entry, error);
      this.#openingFailed(polled, error);
    }
  }

  /** An opening value that was sent has not been taken: it waits, unless it can never be. */
  #postpone(polled: PolledChannel, entry: PendingOpening, error: DcsError): void {
    const refused = isRefusal(error);
    if (!refused && !error.retryable) this.#pendingOpening.delete(polled);
    entry.notBefore = this.#bus.clock.now() + openingWait(refused ? entry.tries + 1 : entry.tries);
    entry.tries++;
  }

  #openingFailed(polled: PolledChannel, error: DcsError): void {
    this.#bus.count('starts_failed');
    const { key } = polled.channel;
    const message = `${key}: the start value could not be written: ${error.message}`;
    // To a unit that is known to be away it was not even sent.
    const known = error.code === 'PORT_DOWN' || this.#openingFailures.get(polled) === message;
    if (error.code !== 'PORT_DOWN') this.#openingFailures.set(polled, message);
    this.#bus.log[known ? 'debug' : 'warn']({ channel: key, err: error }, message);
  }

  /**
   * A unit that was off line answers: its outputs get their return values, unless a command is under way; at its first answer
   * their opening values.
   */
  unitReturned(unit: number): void {
    this.#bus.functions.forget(unit);
    const heard = this.#heard.has(unit);
    for (const polled of this.#channels.values()) {
      if (polled.span.unit !== unit) continue;
      const pending = this.#pendingOpening.get(polled);
      if (pending) {
        const { returnValue } = polled.channel;
        const { value } = pending;
        if (heard && returnValue && !pending.busy) pending.value = () => returnValue() ?? value();
        // It may have started anew.
        pending.notBefore = 0;
        pending.tries = 0;
        continue;
      }
      const { returnValue } = polled.channel;
      if (!returnValue) continue;
      if (polled.pendingCommands > 0) this.#fallbacks.set(polled, returnValue);
      else this.#enqueue(polled, returnValue);
    }
  }

  /**
   * Throws PORT_DOWN while the unit of an output is off line: it gets its return value when it is back, not one from before.
   * Of a unit that is never read only a write shows whether it is back, so that value is tried.
   */
  #refuseWhileAway(polled: PolledChannel): void {
    const { unit } = polled.span;
    if (!this.#bus.isOffline(unit)) return;
    const readable = [...this.#channels.values()].some((one) => one.span.unit === unit && one.readable);
    const { returnValue } = polled.channel;
    if (!readable && returnValue && !this.#pendingOpening.has(polled)) this.#enqueue(polled, returnValue);
    if (!readable) this.unitAnswered(unit);
    throw new DcsError('PORT_DOWN', `unit ${unit} does not answer`);
  }

  /** A unit answers: sends it the values that it has not got yet. */
  unitAnswered(unit: number): void {
    this.#heard.add(unit);
    for (const [polled, { value, busy, notBefore, tries }] of this.#pendingOpening) {
      if (polled.span.unit !== unit || busy || this.#bus.clock.now() < notBefore) continue;
      this.#open(polled, value, tries).catch((error: unknown) => {
        // That the port went down is known to its owner.
        if (!this.#bus.ended()) this.#bus.log.error({ channel: polled.channel.key, err: error }, messageOf(error));
      });
    }
  }

  /**
   * A command that may have taken effect stands. After one that did nothing, and after a repetition that met a device which
   * was away, the output gets its fallback.
   */
  #commandEnded(polled: PolledChannel, failed: DcsError | undefined, { repetition }: WriteOptions): void {
    // A fallback of a command that was taken is from after the write.
    const stands = !repetition && (!failed || failed.code === 'TIMEOUT');
    if (stands) this.#fallbacks.delete(polled);
    const fallback = this.#fallbacks.get(polled);
    if (!fallback || polled.pendingCommands > 0 || this.#bus.ended()) return;
    this.#fallbacks.delete(polled);
    this.#enqueue(polled, fallback);
    // EXPIRED and PORT_DOWN were never sent and say nothing about the unit; any other error is an answer of it.
    if (failed?.code !== 'EXPIRED' && failed?.code !== 'PORT_DOWN') this.unitAnswered(polled.span.unit);
  }

  /** Tells after the answer to a command that the registers hold no value, unless a newer reading has been told by then. */
  #reportAfterAnswer(polled: PolledChannel, reading: Reading): void {
    this.#bus.clock.after(0, () => {
      if (!polled.last) polled.report(reading);
    });
  }

  #enqueue(polled: PolledChannel, value: () => RawValue | undefined): void {
    this.#pendingOpening.set(polled, { value, busy: false, notBefore: 0, tries: 0 });
    // The pin takes its state for unknown until it is told.
    polled.forgetLast();
  }

  /** Writes, reads back and verifies. Resolves with the latest reading since the write; `undefined` when there is none. */
  async #send(
    polled: PolledChannel,
    value: RawValue,
    { expiresAt = Number.POSITIVE_INFINITY, repetition }: WriteOptions = {},
  ): Promise<Reading | undefined> {
    const until = Math.min(this.#bus.clock.now() + WRITE_TTL_MS + CONNECTIONS * this.#bus.connectPauseMs, expiresAt);
    try {
      const reading = await this.#writeUntilTaken(polled, value, until);
      // The device has taken it: no older value follows, also when the check fails.
      if (!repetition) this.#fallbacks.delete(polled);
      return polled.channel.address.verify ? await this.#verify(polled, value, reading) : reading;
    } catch (error) {
      if (isAcknowledge(error) && !hasDoneNothing(polled, error))
        return await this.#awaitCompletion(polled, value, until);
      throw error;
    }
  }

  /**
   * Repeats the write while the device is busy, because nothing of the value has been done then, and a few times when the read
   * that must precede it got no answer.
   */
  async #writeUntilTaken(polled: PolledChannel, value: RawValue, until: MonotonicMs): Promise<Reading | undefined> {
    const { clock, delays, count } = this.#bus;
    const write = ++polled.lastWrite;
    let unsent = 0;
    for (let wait = BUSY_RETRY_MS; ; wait *= 2) {
      try {
        const reading = await this.#writeOnce(polled, value, until);
        return polled.readDelayMs > 0 ? await this.#readLater(polled) : reading;
      } catch (error) {
        const again = hasDoneNothing(polled, error) || (wasNotSent(error) && unsent++ < LOST_READS);
        if (!again || clock.now() + wait >= until) throw error;
        await delays.wait(wait);
        if (polled.lastWrite !== write) throw new DcsError('EXPIRED', 'overtaken by a newer value before it was taken');
        count('writes_repeated');
      }
    }
  }

  /** Reads an acknowledged write back once the device has had its time to show it. */
  async #readLater(polled: PolledChannel): Promise<Reading | undefined> {
    const { delays, count } = this.#bus;
    try {
      await delays.wait(polled.readDelayMs);
      return await this.#bus.run({
        lane: 'verify',
        unit: polled.span.unit,
        ttlMs: WRITE_TTL_MS,
        work: (transact) => readBack(transact, polled, (name) => count(name)),
      });
    } catch (error) {
      this.#bus.log.debug({ channel: polled.channel.key, err: error }, `${polled.channel.key}: not read back`);
      return undefined;
    }
  }

  /** Resolves with the latest reading: polls during the check tell newer ones than `reading`, the read-back of the write. */
  async #verify(polled: PolledChannel, value: RawValue, reading: Reading | undefined): Promise<Reading | undefined> {
    const { verify } = polled.channel.address;
    // The register has the value from now on, also when the check fails.
    if (reading) polled.report(reading);
    else polled.forgetLast();
    if (verify) await verifyWrite(polled, verify, value, this.#bus.delays, (task) => this.#bus.run(task));
    const { last } = polled;
    return reading || last?.ok ? last : undefined;
  }

  async #writeOnce(polled: PolledChannel, value: RawValue, until: MonotonicMs): Promise<Reading | undefined> {
    const { count, functions, confirmPlace } = this.#bus;
    const write = polled.lastWrite;
    let parts = 0;
    let attempt: WriteAttempt | undefined;
    let doubt: DcsError | undefined;
    let unanswered = false;
    try {
      return await this.#runWrite(polled, until, async (inTime, transact) => {
        const requests = await prepareWrite(inTime, polled, value, confirmPlace(polled)).catch((error: unknown) => {
          throw writeFailure(error);
        });
        parts = requests.length;
        // Only now: writes before this one may have shown which function is right.
        attempt = functions.attempt(polled.written);
        await sendWrite(inTime, requests, attempt).catch((thrown: unknown) => {
          const error = writeFailure(thrown);
          if (error.code === 'TIMEOUT') doubt = error;
          unanswered = isUnanswered(error);
          throw error;
        });
        const reading = polled.readDelayMs > 0 ? undefined : await readBack(transact, polled, count);
        if (!reading || reading.ok || !polled.doubted) return reading;
        const { message } = reading.error;
        throw new DcsError('TIMEOUT', `${polled.channel.key}: ${message}; whether it took effect is unknown`);
      });
    } catch (error) {
      const latest = polled.lastWrite === write && parts === 1;
      if (!doubt || !latest || !polled.repeatable) throw error;
      return await this.#settle(polled, value, until, unanswered ? attempt?.afterSilence() : undefined, doubt);
    }
  }

  /** See settleWrite. Tasks of their own: they wait until the late answer can no longer come. */
  async #settle(
    polled: PolledChannel,
    value: RawValue,
    until: MonotonicMs,
    attempt: WriteAttempt | undefined,
    doubt: DcsError,
  ): Promise<Reading | undefined> {
    const { count, clock } = this.#bus;
    const write = polled.lastWrite;
    for (let tries = 0; ; tries++) {
      try {
        const reading = await this.#runWrite(polled, until, (inTime) =>
          settleWrite(inTime, polled, value, attempt, doubt, count),
        );
        this.#logOddReply(polled, doubt);
        return reading;
      } catch (thrown) {
        const lost = thrown instanceof NotSentError && tries < LOST_READS && clock.now() < until;
        // It must not take the place of a newer value that waits.
        if (!lost || polled.lastWrite !== write) throw settledError(thrown, doubt);
      }
    }
  }

  /** Says once for each output that its device confirms writes in a way of its own, although the value is there. */
  #logOddReply(polled: PolledChannel, { cause, message }: DcsError): void {
    if (!(cause instanceof DcsError) || cause.code !== 'BAD_REPLY' || this.#oddReplies.has(polled)) return;
    this.#oddReplies.add(polled);
    this.#bus.log.warn({ channel: polled.channel.key }, `${message}; it was read back`);
  }

  /** `inTime`: line changes, preceding reads and other forms of the write may take until it expires. */
  #runWrite(
    polled: PolledChannel,
    until: MonotonicMs,
    work: (inTime: ModbusTransact, transact: ModbusTransact) => Promise<Reading | undefined>,
  ): Promise<Reading | undefined> {
    return this.#bus.run({
      lane: 'write',
      unit: polled.span.unit,
      key: polled.channel.key,
      ttlMs: until - this.#bus.clock.now(),
      work: (transact) => work((one) => transact(one, until), transact),
    });
  }

  /** The device has accepted the write (exception 5): waits until it shows the value. Rejects with TIMEOUT if that is not seen. */
  async #awaitCompletion(polled: PolledChannel, value: RawValue, until: MonotonicMs): Promise<Reading | undefined> {
    const { clock, delays } = this.#bus;
    // An order leaves nothing to wait for.
    if (polled.address.selfClearing) return undefined;
    const expected = polled.shownValue(value);
    const accepted = `${polled.channel.key}: the device accepted the value`;
    try {
      for (let wait = BUSY_RETRY_MS; expected !== undefined && clock.now() + wait < until; wait *= 2) {
        await delays.wait(wait);
        const reading = await this.#bus.run({
          lane: 'verify',
          unit: polled.span.unit,
          ttlMs: until - clock.now(),
          work: (transact) => readBack(transact, polled, (name) => this.#bus.count(name)),
        });
        if (reading?.ok && reading.value === expected) return reading;
        if (reading) polled.report(reading);
      }
    } catch (thrown) {
      // Whatever keeps it from being read now: the write was taken.
      const cause = toDcsError(thrown);
      throw new DcsError('TIMEOUT', `${accepted}, and could not be read since: ${cause.message}`, { cause });
    }
    throw new DcsError('TIMEOUT', `${accepted} and was still at work`);
  }
}

/** The device is busy, or still at work on the step before the value (exception 5 to the first of several requests). */
function hasDoneNothing({ address }: PolledChannel, error: unknown): boolean {
  return isDeviceBusy(error) || (isAcknowledge(error) && (address.write?.before ?? []).length > 0);
}

/** The output may have the value although its write ended with an error. */
function mayHaveTakenEffect({ code }: DcsError): boolean {
  return code === 'TIMEOUT' || code === 'NOT_TAKEN';
}

/** How long an opening value waits after it has failed so often. */
function openingWait(tries: number): DurationMs {
  return tries === 0 ? 0 : Math.min(FIRST_OPENING_WAIT_MS * 2 ** (tries - 1), MAX_OPENING_WAIT_MS);
}

/** The device refuses now, and may not later. */
function isRefusal({ code }: DcsError): boolean {
  return code === 'NO_SUCH_CHANNEL' || code === 'DEVICE_REFUSED';
}

/** The read that had to precede a write got no answer. */
function wasNotSent(error: unknown): boolean {
  return error instanceof DcsError && error.cause instanceof NotSentError;
}

/** The reading after an order that cannot be read back: the device has forgotten it. `undefined` for all other writes. */
function forgottenOrder({ address }: PolledChannel, value: RawValue): Reading | undefined {
  return address.selfClearing && typeof value === 'boolean' ? { ok: true, value: false } : undefined;
}
