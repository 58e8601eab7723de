import type { DurationMs, Timer } from '../../src/clock/clock.ts';
import type { Channel, PortContext, Reading, WriteOptions } from '../../src/driver/contract.ts';
import { SequentialQueue } from '../../src/driver/kit/sequential-queue.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { I2cAddress } from './address.ts';
import { type BusOwner, type ChipAccess, chipAccess } from './bus.ts';
import type { Chip } from './chips/chip.ts';
import { chips } from './chips/chips.ts';
import { OutputLatch, RegisterReader, setRegisters, writeLocation } from './registers.ts';

/** Limits for failures: a single one may be noise on the wires. */
export interface ChipLimits {
  /** Repetitions of a transfer that failed, made at once. */
  readonly retries: number;
  /** Failures in a row after which a value is bad, or the whole chip lost. */
  readonly misses: number;
}

export const DEFAULT_LIMITS: ChipLimits = { retries: 2, misses: 3 };

/** Values that could not be read are read again after this time while the chip is not lost. */
const RETRY_MS = 500;
/** Longest pause (ms) between two tries of a chip that fails: each try costs the other chips bus time. */
const MAX_BACKOFF_MS = 5000;

export interface ChipChannel {
  readonly channel: Channel<I2cAddress>;
  /** The value last told, or read back by a write. `undefined` after a write without read-back: the next reading is told. */
  last: Reading | undefined;
  /** Failures in a row to read it. */
  failures: number;
}

/** The port of a chip; `down` when the adapter is gone. */
export type ChipContext = Pick<PortContext, 'clock' | 'count' | 'changed' | 'down'>;

/**
 * One chip on the bus and its pins. It fails and recovers by itself. Its reads and writes run one after the other, each to its
 * end: changing one bit takes a read and a write, and nothing may come between them.
 */
export class BusChip {
  readonly channels: readonly ChipChannel[];
  readonly #access: ChipAccess;
  readonly #chip: Chip | undefined;
  readonly #outputLatch: OutputLatch;
  readonly #context: ChipContext;
  readonly #limits: ChipLimits;
  /** Values that the outputs got, or may have got: a chip that lost its power gets them again. */
  readonly #commanded = new Map<Channel<I2cAddress>, RawValue>();
  readonly #timers: Timer[] = [];
  readonly #unread = new Set<ChipChannel>();
  #retryTimer: Timer | undefined;
  readonly #queue = new SequentialQueue();
  #ready = false;
  /** The chip has been set up before. */
  #wasReady = false;
  /** Failures in a row of the whole chip: none of its values could be read or written meanwhile. */
  #failures = 0;
  /** Times that the chip was back after a loss. */
  #returns = 0;
  /** The chip has taken bytes, or may have taken them, since the present write began. */
  #taken = false;
  #ended = false;
  #backoff: DurationMs = 0;
  #retryAt = 0;
  /** A read that has not begun: further reads join it. */
  #pendingRead:
    | { readonly members: Set<ChipChannel>; readonly done: Promise<ReadonlyMap<ChipChannel, Reading>> }
    | undefined;

  constructor(
    owner: BusOwner,
    channels: readonly Channel<I2cAddress>[],
    context: ChipContext,
    limits: ChipLimits = DEFAULT_LIMITS,
  ) {
    const [first] = channels;
    this.#context = context;
    this.#limits = limits;
    this.channels = channels.map((channel) => ({ channel, last: undefined, failures: 0 }));
    this.#access = chipAccess(
      owner,
      first?.address ?? { address: 0 },
      context.clock,
      () => (this.#isLost ? 0 : limits.retries),
      () => {
        this.#taken = true;
      },
    );
    const name = channels.find(({ address }) => address.chip)?.address.chip?.name;
    this.#chip = name && chips[name].make(this.#access);
    this.#outputLatch = new OutputLatch(
      channels.reduce((bits, { direction, address: { location } }) => {
        return direction === 'in' && location?.bit !== undefined ? bits | (1 << location.bit) : bits;
      }, 0),
    );
  }

  /** Sets the chip up and drives the opening values. Rejects when it cannot; the next poll tries again. */
  async begin(): Promise<void> {
    for (const { channel } of this.channels) {
      if (channel.direction === 'out' && channel.openingValue !== undefined)
        this.#commanded.set(channel, channel.openingValue);
    }
    await this.#queue.run(() => this.#setUp());
  }

  /** Polls every channel at its own rate. */
  startPolling(): void {
    const rates = new Map<DurationMs, ChipChannel[]>();
    for (const one of this.channels) {
      const { poll } = one.channel.address;
      rates.set(poll, [...(rates.get(poll) ?? []), one]);
    }
    for (const [rate, members] of rates) this.#poll(rate, members);
  }

  close(): void {
    this.#ended = true;
    for (const timer of this.#timers) timer.cancel();
    this.#retryTimer?.cancel();
  }

  /** Reads channels now, together with those of waiting reads, and tells what has changed. A failure is a reading. */
  async read(members: readonly ChipChannel[]): Promise<Reading[]> {
    const asked = this.#pendingRead?.members ?? new Set();
    for (const member of members) asked.add(member);
    this.#pendingRead ??= {
      members: asked,
      done: this.#queue.run(async () => {
        this.#pendingRead = undefined;
        const readings = await this.#readNow([...asked]);
        // Before the next write: a reading from before a write must not be told after it.
        for (const [member, reading] of readings) this.#tellChange(member, reading);
        return readings;
      }),
    };
    const readings = await this.#pendingRead.done;
    return members.map((member) => readings.get(member) ?? noValue(member));
  }

  /** See Port.resolution: registers hold whole numbers. */
  resolutionOf({ address: { location } }: Channel<I2cAddress>): number | undefined {
    return location && location.bit === undefined ? 1 : this.#chip?.resolution;
  }

  /**
   * Resolves with the value that the chip then shows; `undefined` when the chip cannot be asked. Rejects with TIMEOUT when the
   * chip may have taken the value; after any other error it has not.
   */
  write(member: ChipChannel, value: RawValue, options: WriteOptions = {}): Promise<RawValue | undefined> {
    const returns = this.#returns;
    return this.#queue.run(async () => {
      const { channel } = member;
      if (options.repetition) this.#refuseWhileAway(member, returns);
      if (!this.#ready) await this.#setUpOrFail();
      // After the set-up, which takes its time too.
      if (options.expiresAt !== undefined && this.#context.clock.now() > options.expiresAt) {
        throw new DcsError('EXPIRED', `${channel.key}: the command waited too long in the queue`);
      }
      // The value from before is uncertain from now on, whether or not the write succeeds.
      member.last = undefined;
      const readBack = await this.#driveAsCommanded(channel, value);
      this.#failures = 0;
      if (readBack !== undefined) member.last = { ok: true, value: readBack };
      return readBack;
    });
  }

  /** A repetition must not bring back a chip: the set-up gives its outputs their return values, which stay. */
  #refuseWhileAway(member: ChipChannel, returns: number): void {
    if (this.#wasReady && !this.#isLost && returns === this.#returns) return;
    this.#readAgain([member]);
    throw new DcsError(
      'PORT_DOWN',
      `${member.channel.key}: the chip was away; its outputs have their values after a loss`,
    );
  }

  /** Drives a value and remembers it, unless the chip has certainly not taken it. */
  async #driveAsCommanded(channel: Channel<I2cAddress>, value: RawValue): Promise<RawValue | undefined> {
    const before = this.#commanded.get(channel);
    this.#commanded.set(channel, value);
    this.#taken = false;
    try {
      return (await this.#drive(channel, value)) ?? (await this.#readBack(channel));
    } catch (thrown) {
      const taken = this.#taken;
      const error = await this.#countFailure(thrown, []);
      if (taken) {
        const message = `${channel.key}: ${error.message}; whether the value took effect is unknown`;
        throw new DcsError('TIMEOUT', message, { cause: error });
      }
      if (before === undefined) this.#commanded.delete(channel);
      else this.#commanded.set(channel, before);
      throw error;
    }
  }

  /** Writes a value. Resolves with what the chip then shows, where its code asks for it. */
  async #drive(channel: Channel<I2cAddress>, value: RawValue): Promise<RawValue | undefined> {
    const { location, chip } = channel.address;
    if (chip) {
      if (!this.#chip?.write) throw new DcsError('READ_ONLY', `${channel.key} cannot be written`);
      return await this.#chip.write(chip.value, value);
    }
    if (!location) throw new DcsError('READ_ONLY', `${channel.key} cannot be written`);
    await writeLocation(this.#access, location, value, this.#outputLatch);
    return undefined;
  }

  async #readBack({ address: { location } }: Channel<I2cAddress>): Promise<RawValue | undefined> {
    if (location?.writeRegister === undefined) return undefined;
    return await new RegisterReader(this.#access).read({ ...location, register: location.writeRegister });
  }

  async #setUpOrFail(): Promise<void> {
    try {
      await this.#setUp();
    } catch (thrown) {
      throw this.#countChipFailure(toDcsError(thrown));
    }
  }

  /** Writes the values before `init` makes outputs of registers. A chip with code is set up first. */
  async #setUp(): Promise<void> {
    await this.#chip?.setUp();
    const lost = this.#wasReady && this.#isLost;
    for (const { channel } of this.channels) {
      // After a loss the safe value wins: the value from before may be one that must not come back.
      const returnValue = lost ? channel.returnValue?.() : undefined;
      if (returnValue !== undefined) this.#commanded.set(channel, returnValue);
      const value = this.#commanded.get(channel);
      if (value !== undefined) await this.#drive(channel, value);
    }
    await setRegisters(
      this.#access,
      this.channels.flatMap(({ channel: { address, direction } }) =>
        address.init.filter((one) => one.direction === undefined || one.direction === direction),
      ),
    );
    if (lost) this.#returns++;
    this.#ready = true;
    this.#wasReady = true;
  }

  get #isLost(): boolean {
    return this.#failures >= this.#limits.misses;
  }

  /** A value that cannot be read stays what it was until it has failed as often as `misses`, or the chip is lost. */
  async #readNow(members: readonly ChipChannel[]): Promise<ReadonlyMap<ChipChannel, Reading>> {
    const readings = await this.#tryToRead(members);
    const unread: ChipChannel[] = [];
    const told = new Map<ChipChannel, Reading>();
    for (const [member, read] of readings) {
      const bad = !(read instanceof DcsError) || this.#isLost || member.failures >= this.#limits.misses;
      if (!bad) unread.push(member);
      const reading: Reading = read instanceof DcsError ? { ok: false, error: read } : read;
      told.set(member, !bad && member.last?.ok ? member.last : reading);
    }
    if (unread.length > 0) this.#readAgain(unread);
    return told;
  }

  /** Values that could not be read are read again soon, also those that are polled rarely: the chip may be lost. */
  #readAgain(members: readonly ChipChannel[]): void {
    if (this.#ended) return;
    for (const member of members) this.#unread.add(member);
    this.#retryTimer ??= this.#context.clock.after(this.#isLost ? MAX_BACKOFF_MS : RETRY_MS, () => {
      this.#retryTimer = undefined;
      const again = [...this.#unread];
      this.#unread.clear();
      void this.read(again);
    });
  }

  /** Resolves with a reading of each value, or with the error of its read. */
  async #tryToRead(members: readonly ChipChannel[]): Promise<ReadonlyMap<ChipChannel, Reading | DcsError>> {
    let readings: ReadonlyMap<ChipChannel, Reading | DcsError>;
    try {
      if (!this.#ready) await this.#setUpOrFail();
      readings = await this.#readEach(members);
    } catch (thrown) {
      const error = toDcsError(thrown);
      readings = new Map(members.map((member) => [member, error]));
    }
    let answered = false;
    let failure: DcsError | undefined;
    for (const [member, read] of readings) {
      if (!(read instanceof DcsError)) {
        member.failures = 0;
        answered = true;
        continue;
      }
      member.failures++;
      if (this.#concernsChip(member, read)) failure ??= read;
    }
    if (answered) this.#answers();
    // A set-up that failed has been counted.
    if (failure && this.#ready) {
      if (answered && failure.code !== 'PORT_DOWN') this.#setUpAgain();
      else await this.#countFailure(failure, members);
    }
    return readings;
  }

  /** A value that has long been bad says nothing about a chip whose other values are good. */
  #concernsChip({ failures }: ChipChannel, { code }: DcsError): boolean {
    if (failures <= this.#limits.misses || code === 'PORT_DOWN') return true;
    return this.channels.every((member) => member.failures > 0);
  }

  async #readEach(members: readonly ChipChannel[]): Promise<ReadonlyMap<ChipChannel, Reading | DcsError>> {
    const names = members.flatMap(({ channel }) => channel.address.chip?.value ?? []);
    const values = names.length > 0 ? await this.#chip?.read(names) : undefined;
    const registers = new RegisterReader(this.#access);
    const readings = new Map<ChipChannel, Reading | DcsError>();
    const sourceTime = this.#context.clock.unix();
    for (const member of members) {
      const { location, chip } = member.channel.address;
      try {
        const value = location ? await registers.read(location) : values?.get(chip?.value ?? '');
        readings.set(member, value === undefined ? noValue(member) : { ok: true, value, sourceTime });
      } catch (thrown) {
        readings.set(member, toDcsError(thrown));
      }
    }
    return readings;
  }

  #answers(): void {
    this.#backoff = 0;
    this.#failures = 0;
  }

  /** The chip may have been without power for a moment. */
  #setUpAgain(): void {
    this.#context.count('chip_failures');
    this.#ready = false;
    this.#outputLatch.forget();
  }

  /**
   * Counts a failure. It is one of the whole chip when another value than those that failed cannot be read either, or when there
   * is none.
   */
  async #countFailure(thrown: unknown, failed: readonly ChipChannel[]): Promise<DcsError> {
    const error = toDcsError(thrown);
    if (error.code === 'BAD_VALUE' || error.code === 'OUT_OF_RANGE' || error.code === 'READ_ONLY') return error;
    const other = this.channels
      .filter((member) => member.failures < this.#limits.misses && !failed.includes(member))
      .sort((a, b) => a.failures - b.failures)[0];
    if (error.code !== 'PORT_DOWN' && other && (await this.#canRead(other))) {
      this.#answers();
      this.#setUpAgain();
      return error;
    }
    return this.#countChipFailure(error);
  }

  async #canRead(member: ChipChannel): Promise<boolean> {
    const readings = await this.#readEach([member]).catch(() => undefined);
    const read = readings?.get(member);
    return read !== undefined && !(read instanceof DcsError);
  }

  #countChipFailure(error: DcsError): DcsError {
    this.#setUpAgain();
    this.#failures++;
    if (error.code === 'PORT_DOWN') this.#context.down(error);
    return error;
  }

  #tellChange(member: ChipChannel, reading: Reading): void {
    if (this.#ended) return;
    const { last } = member;
    member.last = reading;
    const same = last?.ok ? reading.ok && last.value === reading.value : last !== undefined && !reading.ok;
    if (!same) this.#context.changed(member.channel, reading);
  }

  #poll(rate: DurationMs, members: readonly ChipChannel[]): void {
    const { clock } = this.#context;
    const slot = this.#timers.length;
    const pollNow = async () => {
      if (clock.now() >= this.#retryAt) {
        await this.read(members);
        if (this.#failures > 0) {
          this.#backoff = Math.min(MAX_BACKOFF_MS, Math.max(rate, this.#backoff * 2));
          this.#retryAt = clock.now() + this.#backoff;
        }
      }
      if (!this.#ended) this.#timers[slot] = clock.after(rate, () => void pollNow());
    };
    this.#timers.push(clock.after(0, () => void pollNow()));
  }
}

function noValue({ channel }: ChipChannel): Reading {
  return { ok: false, error: new DcsError('BAD_REPLY', `the chip gives no value for ${channel.key}`) };
}
