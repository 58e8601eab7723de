import type { Clock, DurationMs, Timer } from '../../src/clock/clock.ts';
import type { Channel, Reading, ReadingListener, WriteOptions } from '../../src/driver/contract.ts';
import { SequentialQueue } from '../../src/driver/kit/sequential-queue.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { I2cAddress } from './address.ts';
import { type BusOwner, type ChipAccess, chipAccess } from './bus.ts';
import type { Chip } from './chips/chip.ts';
import { chips } from './chips/chips.ts';
import { OutputLatch, RegisterReader, setRegisters, writeLocation } from './registers.ts';

/** One bad transfer is noise on the wires; a chip that fails this often in a row was away. */
const LOST_AFTER = 2;
/** A chip that fails is tried again ever more seldom, up to this (ms): each try costs the others bus time. */
const MAX_BACKOFF_MS = 5000;

export interface ChipChannel {
  readonly channel: Channel<I2cAddress>;
  readonly listeners: Set<ReadingListener>;
  last: Reading | undefined;
}

interface ChipEnvironment {
  readonly clock: Clock;
  count(name: string): void;
  /** The adapter itself is gone. */
  busGone(error: DcsError): void;
}

/**
 * One chip on the bus and the pins on it. It fails and heals by itself. What is done with it is done one after the other,
 * each to its end: nothing comes between the parts of a change of one bit.
 */
export class BusChip {
  readonly channels: readonly ChipChannel[];
  readonly #access: ChipAccess;
  readonly #chip: Chip | undefined;
  readonly #outputLatch: OutputLatch;
  readonly #environment: ChipEnvironment;
  /** What outputs were last commanded: a chip that lost its power is given it again. */
  readonly #commanded = new Map<Channel<I2cAddress>, RawValue>();
  readonly #timers: Timer[] = [];
  readonly #turns = new SequentialQueue();
  #ready = false;
  /** It has been set up before. */
  #wasReady = false;
  /** What has failed in a row since it was last ready. */
  #failures = 0;
  #ended = false;
  #backoff: DurationMs = 0;
  #retryAt = 0;
  /** A read that has not begun: others join it. */
  #pendingRead:
    | { readonly members: Set<ChipChannel>; readonly done: Promise<ReadonlyMap<ChipChannel, Reading>> }
    | undefined;

  constructor(owner: BusOwner, channels: readonly Channel<I2cAddress>[], life: ChipEnvironment) {
    const [first] = channels;
    this.#environment = life;
    this.channels = channels.map((channel) => ({ channel, listeners: new Set(), last: undefined }));
    this.#access = chipAccess(owner, first?.address ?? { address: 0 }, life.clock);
    const name = channels.find(({ address }) => address.chip)?.address.chip?.name;
    this.#chip = name && chips[name].make(this.#access);
    this.#outputLatch = new OutputLatch(
      channels.reduce((bits, { direction, address: { location: place } }) => {
        return direction === 'in' && place?.bit !== undefined ? bits | (1 << place.bit) : bits;
      }, 0),
    );
  }

  /** Drives the start values and sets the chip up. Rejects when it cannot; it is tried again with the next poll. */
  async begin(): Promise<void> {
    for (const { channel } of this.channels) {
      if (channel.direction === 'out' && channel.openingValue !== undefined)
        this.#commanded.set(channel, channel.openingValue);
    }
    await this.#turns.run(() => this.#setUp());
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
    for (const { listeners } of this.channels) listeners.clear();
  }

  /** Reads channels now, together with those that others wait for, and tells what has changed. Failures are readings. */
  async read(members: readonly ChipChannel[]): Promise<Reading[]> {
    const asked = this.#pendingRead?.members ?? new Set();
    for (const member of members) asked.add(member);
    this.#pendingRead ??= {
      members: asked,
      done: this.#turns.run(() => {
        this.#pendingRead = undefined;
        return this.#readNow([...asked]);
      }),
    };
    const readings = await this.#pendingRead.done;
    return members.map((member) => {
      const reading = readings.get(member) ?? noValue(member);
      if (!this.#ended) tell(member, reading);
      return reading;
    });
  }

  /** Resolves with what the chip then says, where it can be asked. */
  write(
    channel: Channel<I2cAddress>,
    value: RawValue,
    { expiresAt }: WriteOptions = {},
  ): Promise<RawValue | undefined> {
    return this.#turns.run(async () => {
      if (!this.#ready) await this.#orFail(() => this.#setUp());
      // To set a chip up takes its time, too.
      if (expiresAt !== undefined && this.#environment.clock.now() > expiresAt) {
        throw new DcsError('EXPIRED', `${channel.key}: the command waited too long for its turn`);
      }
      return this.#orFail(async () => {
        const readBack = await this.#drive(channel, value);
        this.#commanded.set(channel, value);
        return readBack;
      });
    });
  }

  async #orFail<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (thrown) {
      throw this.#countFailure(thrown);
    }
  }

  async #drive(channel: Channel<I2cAddress>, value: RawValue): Promise<RawValue | undefined> {
    const { location: place, chip } = channel.address;
    if (chip) {
      if (!this.#chip?.write) throw new DcsError('READ_ONLY', `${channel.key} cannot be written`);
      return await this.#chip.write(chip.value, value);
    }
    if (!place) throw new DcsError('READ_ONLY', `${channel.key} cannot be written`);
    await writeLocation(this.#access, place, value, this.#outputLatch);
    if (place.writeRegister === undefined) return undefined;
    return await new RegisterReader(this.#access).read({ ...place, register: place.writeRegister });
  }

  /** Registers get their values before they become outputs; a chip with code must be awake first. */
  async #setUp(): Promise<void> {
    await this.#chip?.setUp();
    const lost = this.#wasReady && this.#failures >= LOST_AFTER;
    for (const { channel } of this.channels) {
      // After a loss safety comes first: what it had may be what must not come back.
      const again = lost ? channel.returnValue?.() : undefined;
      if (again !== undefined) this.#commanded.set(channel, again);
      const value = this.#commanded.get(channel);
      if (value !== undefined) await this.#drive(channel, value);
    }
    await setRegisters(
      this.#access,
      this.channels.flatMap(({ channel: { address, direction } }) =>
        address.init.filter((one) => one.direction === undefined || one.direction === direction),
      ),
    );
    this.#ready = true;
    this.#wasReady = true;
    this.#failures = 0;
  }

  async #readNow(members: readonly ChipChannel[]): Promise<ReadonlyMap<ChipChannel, Reading>> {
    try {
      if (!this.#ready) await this.#setUp();
      const names = members.flatMap(({ channel }) => channel.address.chip?.value ?? []);
      const values = names.length > 0 ? await this.#chip?.read(names) : undefined;
      const look = new RegisterReader(this.#access);
      const readings = new Map<ChipChannel, Reading>();
      for (const member of members) {
        const { location: place, chip } = member.channel.address;
        const value = place ? await look.read(place) : values?.get(chip?.value ?? '');
        const sourceTime = this.#environment.clock.unix();
        readings.set(member, value === undefined ? noValue(member) : { ok: true, value, sourceTime });
      }
      this.#backoff = 0;
      return readings;
    } catch (thrown) {
      const error = this.#countFailure(thrown);
      return new Map(members.map((member) => [member, { ok: false, error }]));
    }
  }

  #countFailure(thrown: unknown): DcsError {
    const error = toDcsError(thrown);
    if (error.code === 'BAD_VALUE' || error.code === 'OUT_OF_RANGE' || error.code === 'READ_ONLY') return error;
    this.#environment.count('chip_failures');
    this.#ready = false;
    this.#failures++;
    this.#outputLatch.forget();
    if (error.code === 'PORT_DOWN') this.#environment.busGone(error);
    return error;
  }

  #poll(rate: DurationMs, members: readonly ChipChannel[]): void {
    const { clock } = this.#environment;
    const turn = async () => {
      if (clock.now() >= this.#retryAt) {
        const readings = await this.read(members);
        if (readings.some((reading) => !reading.ok)) {
          this.#backoff = Math.min(MAX_BACKOFF_MS, Math.max(rate, this.#backoff * 2));
          this.#retryAt = clock.now() + this.#backoff;
        }
      }
      if (!this.#ended) this.#timers[slot] = clock.after(rate, () => void turn());
    };
    const slot = this.#timers.length;
    this.#timers.push(clock.after(0, () => void turn()));
  }
}

function noValue({ channel }: ChipChannel): Reading {
  return { ok: false, error: new DcsError('BAD_REPLY', `the chip gives no value for ${channel.key}`) };
}

function tell(one: ChipChannel, reading: Reading): void {
  const { last } = one;
  const same =
    last !== undefined && last.ok === reading.ok && (!last.ok || (reading.ok && last.value === reading.value));
  one.last = reading;
  if (!same) for (const listener of one.listeners) listener(reading);
}
