import type { Clock, DurationMs, Timer } from '../../src/clock/clock.ts';
import type { Channel, Reading, ReadingListener } from '../../src/driver/driver.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { I2cAddress } from './address.ts';
import { accessTo, type ChipAccess, type I2cBus } from './bus.ts';
import type { Chip } from './chips/chip.ts';
import { chips } from './chips/chips.ts';
import { Latch, readPlace, writePlace } from './registers.ts';

/** A chip that fails is tried again ever more seldom, up to this (ms): each try costs the others bus time. */
const MAX_BACKOFF_MS = 5000;

export interface UnitChannel {
  readonly channel: Channel<I2cAddress>;
  readonly listeners: Set<ReadingListener>;
  last: Reading | undefined;
}

interface UnitLife {
  readonly clock: Clock;
  count(name: string): void;
  /** The adapter itself is gone. */
  gone(error: DcsError): void;
}

/** One chip on the bus and the pins on it. It fails and heals by itself. */
export class Unit {
  readonly channels: readonly UnitChannel[];
  readonly #access: ChipAccess;
  readonly #chip: Chip | undefined;
  readonly #latch: Latch;
  readonly #life: UnitLife;
  /** What outputs were last commanded: a chip that lost its power is given it again. */
  readonly #commanded = new Map<Channel<I2cAddress>, RawValue>();
  readonly #timers: Timer[] = [];
  #ready = false;
  #ended = false;
  #backoff: DurationMs = 0;
  #retryAt = 0;
  #busy: Promise<unknown> = Promise.resolve();

  constructor(bus: I2cBus, channels: readonly Channel<I2cAddress>[], life: UnitLife) {
    const [first] = channels;
    this.#life = life;
    this.channels = channels.map((channel) => ({ channel, listeners: new Set(), last: undefined }));
    this.#access = accessTo(behindMux(bus, first?.address.mux), first?.address.address ?? 0, life.clock);
    const name = channels.find(({ address }) => address.chip)?.address.chip?.name;
    this.#chip = name && chips[name].make(this.#access);
    this.#latch = new Latch(
      channels.reduce((bits, { direction, address: { place } }) => {
        return direction === 'in' && place?.bit !== undefined ? bits | (1 << place.bit) : bits;
      }, 0),
    );
  }

  /** Drives the start values, then sets the chip up: an output must have its level before it becomes one. */
  begin(): void {
    for (const { channel } of this.channels) {
      if (channel.direction === 'out' && channel.start !== undefined) this.#commanded.set(channel, channel.start);
    }
    this.#setUp();
  }

  /** Polls every channel at its own rate. */
  startPolling(): void {
    const rates = new Map<DurationMs, UnitChannel[]>();
    for (const one of this.channels) {
      const { poll } = one.channel.address;
      rates.set(poll, [...(rates.get(poll) ?? []), one]);
    }
    for (const [rate, members] of rates) this.#poll(rate, members);
  }

  end(): void {
    this.#ended = true;
    for (const timer of this.#timers) timer.cancel();
    for (const { listeners } of this.channels) listeners.clear();
  }

  /** Reads channels one after another; failures are readings. */
  async read(members: readonly UnitChannel[]): Promise<Reading[]> {
    const turn = this.#busy.then(() => this.#readNow(members));
    this.#busy = turn;
    return await turn;
  }

  write(channel: Channel<I2cAddress>, value: RawValue): RawValue | undefined {
    const { place } = channel.address;
    if (!place) throw new DcsError('READ_ONLY', `${channel.key} cannot be written`);
    try {
      if (!this.#ready) this.#setUp();
      writePlace(this.#access, place, value, this.#latch);
    } catch (thrown) {
      throw this.#failed(thrown);
    }
    this.#commanded.set(channel, value);
    return place.writeRegister === undefined
      ? undefined
      : readPlace(this.#access, { ...place, register: place.writeRegister });
  }

  #setUp(): void {
    for (const [channel, value] of this.#commanded) {
      const { place } = channel.address;
      if (place) writePlace(this.#access, place, value, this.#latch);
    }
    for (const { channel } of this.channels) {
      for (const { register, value, mask, direction } of channel.address.init) {
        if (direction !== undefined && direction !== channel.direction) continue;
        const kept = mask === 0xff ? 0 : this.#access.read(register, 1).readUInt8() & ~mask;
        this.#access.write(register, [kept | (value & mask)]);
      }
    }
    this.#chip?.setUp();
    this.#ready = true;
  }

  async #readNow(members: readonly UnitChannel[]): Promise<Reading[]> {
    const now = () => this.#life.clock.unix();
    try {
      if (!this.#ready) this.#setUp();
      const names = members.flatMap(({ channel }) => channel.address.chip?.value ?? []);
      const values = names.length > 0 ? await this.#chip?.read(names) : undefined;
      const readings = members.map(({ channel }): Reading => {
        const { place, chip } = channel.address;
        const value = place ? readPlace(this.#access, place) : values?.get(chip?.value ?? '');
        if (value !== undefined) return { ok: true, value, sourceTime: now() };
        return { ok: false, error: new DcsError('BAD_REPLY', `the chip gives no value for ${channel.key}`) };
      });
      this.#backoff = 0;
      return readings;
    } catch (thrown) {
      const error = this.#failed(thrown);
      return members.map(() => ({ ok: false, error }));
    }
  }

  #failed(thrown: unknown): DcsError {
    const error = toDcsError(thrown);
    this.#life.count('chip_failures');
    if (error.code === 'BAD_VALUE' || error.code === 'OUT_OF_RANGE') return error;
    this.#ready = false;
    this.#latch.forget();
    if (error.code === 'PORT_DOWN') this.#life.gone(error);
    return error;
  }

  #poll(rate: DurationMs, members: readonly UnitChannel[]): void {
    const { clock } = this.#life;
    const turn = async () => {
      if (clock.now() >= this.#retryAt) {
        const readings = await this.read(members);
        members.forEach((member, at) => {
          const reading = readings[at];
          if (reading) tell(member, reading);
        });
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

function tell(one: UnitChannel, reading: Reading): void {
  const { last } = one;
  const same =
    last !== undefined && last.ok === reading.ok && (!last.ok || (reading.ok && last.value === reading.value));
  one.last = reading;
  if (!same) for (const listener of one.listeners) listener(reading);
}

/** The bus as seen behind a channel of a TCA9548A: it is switched before every transfer, nothing can come between. */
function behindMux(bus: I2cBus, mux: I2cAddress['mux']): I2cBus {
  if (!mux) return bus;
  return {
    name: bus.name,
    transfer(address, write, length) {
      bus.transfer(mux.address, Uint8Array.of(1 << mux.channel), 0);
      return bus.transfer(address, write, length);
    },
    close: () => bus.close(),
  };
}
