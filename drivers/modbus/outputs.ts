import type { Clock, MonotonicMs } from '../../src/clock/clock.ts';
import type { WriteOptions, WriteResult } from '../../src/driver/contract.ts';
import type { Task, Transact } from '../../src/driver/kit/task-queue.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { Log } from '../../src/log/log.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { PolledChannel } from './polled-channel.ts';
import { isAcknowledge, isDeviceBusy } from './protocol/exception.ts';
import type { Request } from './protocol/request.ts';
import { type CancellableDelays, encodeWrite, readBack, sendWrite, verifyWrite, writeFailure } from './write.ts';

/** A command that has not been sent within this is stale: the world has moved on. */
const WRITE_TTL_MS = 5000;
/** A busy device is asked again after this, then after twice as long, and so on. */
const BUSY_RETRY_MS = 100;

export interface OutputBus {
  readonly clock: Clock;
  readonly log: Log;
  readonly delays: CancellableDelays;
  count(name: string): void;
  run<Result>(task: Task<Result>): Promise<Result>;
  /** The port is closed or down. */
  ended(): boolean;
}

/** A bus's outputs: commands, and the values they are given at the start and when their unit comes back. */
export class Outputs {
  readonly #bus: OutputBus;
  readonly #watches: ReadonlyMap<string, PolledChannel>;
  /** Start values that have not reached the device yet; `busy`: one is on its way. */
  readonly #pendingOpening = new Map<PolledChannel, { readonly value: RawValue; busy: boolean }>();
  /** What is owed to an output all the same if the command that is under way comes to nothing. */
  readonly #fallbacks = new Map<PolledChannel, () => RawValue | undefined>();

  constructor(bus: OutputBus, watches: ReadonlyMap<string, PolledChannel>) {
    this.#bus = bus;
    this.#watches = watches;
  }

  /** See Port.write. */
  async command(watch: PolledChannel, value: RawValue, options: WriteOptions): Promise<WriteResult> {
    const request = encodeWrite(watch, value);
    const owed = this.#pendingOpening.get(watch);
    if (owed) this.#fallbacks.set(watch, () => owed.value);
    this.#pendingOpening.delete(watch);
    watch.pendingCommands++;
    let failed: DcsError | undefined;
    try {
      return await this.#send(watch, value, request, options.expiresAt);
    } catch (thrown) {
      failed = toDcsError(thrown);
      throw thrown;
    } finally {
      watch.pendingCommands--;
      this.#commandEnded(watch, failed);
    }
  }

  /**
   * Gives an output its start value. One that a command overtakes is left alone; one that cannot be had now is tried
   * again whenever the unit answers. Rejects only when the port goes down.
   */
  async start(watch: PolledChannel, value: RawValue): Promise<void> {
    const entry = { value, busy: true };
    this.#pendingOpening.set(watch, entry);
    const pending = () => this.#pendingOpening.get(watch) === entry;
    try {
      await this.#send(watch, value, encodeWrite(watch, value), undefined);
      if (pending()) this.#pendingOpening.delete(watch);
    } catch (thrown) {
      const error = toDcsError(thrown);
      if (this.#bus.ended()) throw error;
      if (!pending()) return;
      entry.busy = false;
      this.#bus.count('starts_failed');
      if (!error.retryable && error.code !== 'EXPIRED') this.#pendingOpening.delete(watch);
      const { key } = watch.channel;
      this.#bus.log.warn(
        { channel: key, err: error },
        `${key}: the start value could not be written: ${error.message}`,
      );
    }
  }

  /** The unit has been away: its power may have been, and its outputs may be anything. What is being commanded stands. */
  unitReturned(unit: number): void {
    for (const watch of this.#watches.values()) {
      if (watch.span.unit !== unit || this.#pendingOpening.has(watch)) continue;
      const again = () => watch.channel.returnValue?.();
      if (watch.pendingCommands > 0) this.#fallbacks.set(watch, again);
      else this.#enqueue(watch, again());
    }
  }

  /** The unit answers: what it has not been given yet is sent. */
  unitAnswered(unit: number): void {
    for (const [watch, { value, busy }] of this.#pendingOpening) {
      if (watch.span.unit !== unit || busy || !watch.located) continue;
      // It rejects only when the port goes down, of which its owner knows.
      this.start(watch, value).catch(() => undefined);
    }
  }

  /** A command is over. One that may have taken effect stands; after one that did nothing the output has what it had. */
  #commandEnded(watch: PolledChannel, failed: DcsError | undefined): void {
    if (!failed || failed.code === 'TIMEOUT') this.#fallbacks.delete(watch);
    const otherwise = this.#fallbacks.get(watch);
    if (!otherwise || !failed || watch.pendingCommands > 0 || this.#bus.ended()) return;
    this.#fallbacks.delete(watch);
    this.#enqueue(watch, otherwise());
    // These were never sent, so that they say nothing about the unit; with anything else it has just answered.
    if (failed.code !== 'EXPIRED' && failed.code !== 'PORT_DOWN') this.unitAnswered(watch.span.unit);
  }

  #enqueue(watch: PolledChannel, value: RawValue | undefined): void {
    if (value !== undefined) this.#pendingOpening.set(watch, { value, busy: false });
  }

  async #send(
    watch: PolledChannel,
    value: RawValue,
    request: Request,
    expiresAt: MonotonicMs | undefined,
  ): Promise<WriteResult> {
    const { clock, delays, count } = this.#bus;
    const until = Math.min(clock.now() + WRITE_TTL_MS, expiresAt ?? Number.POSITIVE_INFINITY);
    const turn = ++watch.lastWrite;
    for (let wait = BUSY_RETRY_MS; ; wait *= 2) {
      try {
        const written = await this.#writeOnce(watch, request, until);
        const { verify } = watch.channel.address;
        if (verify) await verifyWrite(watch, verify, value, delays, (task) => this.#bus.run(task));
        return written;
      } catch (error) {
        if (isAcknowledge(error)) return await this.#awaitCompletion(watch, value, until);
        // 'Busy' says that nothing has been done: it may be asked again.
        if (!isDeviceBusy(error) || clock.now() + wait >= until) throw error;
        await delays.wait(wait);
        if (watch.lastWrite !== turn) throw new DcsError('EXPIRED', 'overtaken by a newer value before it was taken');
        count('writes_repeated');
      }
    }
  }

  #writeOnce(watch: PolledChannel, request: Request, until: MonotonicMs): Promise<WriteResult> {
    return this.#bus.run({
      lane: 'write',
      unit: watch.span.unit,
      key: watch.channel.key,
      ttlMs: until - this.#bus.clock.now(),
      work: async (ask) => {
        // What has to come before it (its line, a question, other words for it) may take until it is stale.
        const inTime: Transact = (one) => ask(one, until);
        await sendWrite(inTime, request).catch((error: unknown) => {
          throw writeFailure(error);
        });
        return readBack(ask, watch, (name) => this.#bus.count(name));
      },
    });
  }

  /** The device has accepted the write and is at work: waits until it shows the value. Rejects with TIMEOUT if it never does. */
  async #awaitCompletion(watch: PolledChannel, value: RawValue, until: MonotonicMs): Promise<WriteResult> {
    const { clock, delays } = this.#bus;
    const wanted = watch.expectedReading(value);
    for (let wait = BUSY_RETRY_MS; wanted !== undefined && clock.now() + wait < until; wait *= 2) {
      await delays.wait(wait);
      const { readBack: found } = await this.#bus.run({
        lane: 'verify',
        unit: watch.span.unit,
        ttlMs: until - clock.now(),
        work: (ask) => readBack(ask, watch, (name) => this.#bus.count(name)),
      });
      if (found === wanted) return { readBack: found };
    }
    throw new DcsError('TIMEOUT', `${watch.channel.key}: the device accepted the value and was still at work`);
  }
}
