import type { Clock, DurationMs } from '../../../src/clock/clock.ts';
import type { RawValue } from '../../../src/pin/pin.ts';
import type { RegisterFormat } from '../formats/format.ts';
import type { Table } from '../protocol/request.ts';
import { ILLEGAL_ADDRESS, SlaveException, type Store } from '../server/respond.ts';

/** The place of a value. */
export interface Place {
  readonly unit: number;
  readonly table: Table;
  readonly first: number;
  readonly registerBytes?: number | undefined;
}

interface Cell {
  readonly place: Place;
  readonly format: RegisterFormat;
  readonly moving: Moving;
  readonly began: number;
}

/**
 * The tables of a simulated device. An address exists once it has been written with `put`; with `everywhere` all
 * addresses exist and hold 0.
 */
export class SimulatedMemory implements Store {
  readonly #clock: Clock;
  readonly #allAddresses: boolean;
  readonly #words = new Map<string, number>();
  readonly #cells = new Map<string, Cell>();
  /** Registers of more than 2 bytes. */
  readonly #wide = new Map<string, Buffer>();
  /** Number of registers of the longest moving value. */
  #longest = 1;
  identityTexts: readonly string[] = ['dcs-io', 'simulator', '1.0'];

  constructor(clock: Clock, options: { everywhere: boolean } = { everywhere: true }) {
    this.#clock = clock;
    this.#allAddresses = options.everywhere;
  }

  /** Writes registers (16-bit words) or bits (0 or 1) at an address. */
  put(unit: number, table: Table, first: number, ...words: readonly number[]): void {
    words.forEach((word, index) => {
      this.#words.set(cellKey(unit, table, first + index), word & 0xffff);
    });
  }

  /** The registers or bits at an address; 0 where none was written. */
  get(unit: number, table: Table, first: number, count = 1): number[] {
    this.#move(unit, table, first, count);
    return Array.from({ length: count }, (_, index) => this.#words.get(cellKey(unit, table, first + index)) ?? 0);
  }

  /** Writes a value: the bits that belong to it. */
  putValue(place: Place, format: RegisterFormat, value: RawValue): void {
    const { unit, table, first, registerBytes = 2 } = place;
    const image = format.encode(value);
    if (registerBytes > 2) {
      for (let at = 0; at < image.length; at += registerBytes)
        this.#wide.set(cellKey(unit, table, first + at / registerBytes), image.subarray(at, at + registerBytes));
      return;
    }
    for (let register = 0; register < format.registers; register++) {
      const [own, word] = [format.own.readUInt16BE(2 * register), image.readUInt16BE(2 * register)];
      if (own === 0) continue;
      const key = cellKey(unit, table, first + register);
      this.#words.set(key, ((this.#words.get(key) ?? 0) & ~own) | (word & own));
    }
  }

  /** Makes the value at an address move. */
  move(place: Place, format: RegisterFormat, motion: Motion): void {
    const { unit, table, first } = place;
    this.#longest = Math.max(this.#longest, format.registers);
    this.putValue(place, format, 0);
    this.#cells.set(cellKey(unit, table, first), {
      place,
      format,
      moving: new Moving(motion),
      began: this.#clock.now(),
    });
  }

  registerBytes(unit: number, table: Table, first: number): number {
    return this.#wide.get(cellKey(unit, table, first))?.length ?? 2;
  }

  readBits(unit: number, table: 'coil' | 'discrete', first: number, count: number): boolean[] {
    this.#check(unit, table, first, count);
    return this.get(unit, table, first, count).map((word) => word !== 0);
  }

  readRegisters(unit: number, table: 'holding' | 'input', first: number, count: number): Buffer {
    if (this.registerBytes(unit, table, first) > 2) return this.#readWide(unit, table, first, count);
    this.#check(unit, table, first, count);
    const data = Buffer.allocUnsafe(2 * count);
    this.get(unit, table, first, count).forEach((word, index) => {
      data.writeUInt16BE(word, 2 * index);
    });
    return data;
  }

  writeBits(unit: number, first: number, bits: readonly boolean[]): void {
    this.#check(unit, 'coil', first, bits.length);
    this.put(unit, 'coil', first, ...bits.map(Number));
  }

  writeRegisters(unit: number, first: number, data: Buffer): void {
    const bytes = this.registerBytes(unit, 'holding', first);
    if (bytes > 2) {
      this.#readWide(unit, 'holding', first, data.length / bytes);
      for (let at = 0; at < data.length; at += bytes)
        this.#wide.set(cellKey(unit, 'holding', first + at / bytes), Buffer.from(data.subarray(at, at + bytes)));
      return;
    }
    this.#check(unit, 'holding', first, data.length / 2);
    for (let at = 0; at < data.length; at += 2) this.put(unit, 'holding', first + at / 2, data.readUInt16BE(at));
  }

  identity(): readonly string[] {
    return this.identityTexts;
  }

  #check(unit: number, table: Table, first: number, count: number): void {
    if (this.#allAddresses) return;
    for (let at = first; at < first + count; at++)
      if (!this.#words.has(cellKey(unit, table, at))) throw new SlaveException(ILLEGAL_ADDRESS);
  }

  #readWide(unit: number, table: Table, first: number, count: number): Buffer {
    this.#move(unit, table, first, count);
    const registers = Array.from({ length: count }, (_, index) => this.#wide.get(cellKey(unit, table, first + index)));
    const known = registers.filter((one) => one !== undefined);
    if (known.length < count) throw new SlaveException(ILLEGAL_ADDRESS);
    return Buffer.concat(known);
  }

  /** Updates moving values; one may begin before the first requested register. */
  #move(unit: number, table: Table, first: number, count: number): void {
    if (this.#cells.size === 0) return;
    for (let at = Math.max(0, first + 1 - this.#longest); at < first + count; at++) {
      const cell = this.#cells.get(cellKey(unit, table, at));
      if (cell) this.putValue(cell.place, cell.format, cell.moving.value(this.#clock.now() - cell.began));
    }
  }
}

function cellKey(unit: number, table: Table, address: number): string {
  return `${unit}/${table}/${address}`;
}

/** Change of a simulated value over time. */
export type Motion =
  | { readonly kind: 'sine'; readonly mean: number; readonly swing: number; readonly periodMs: DurationMs }
  /** Rises from `from` to `to` in a period and starts again. */
  | { readonly kind: 'ramp'; readonly from: number; readonly to: number; readonly periodMs: DurationMs }
  /** Counts up by one every period, from 0. */
  | { readonly kind: 'counter'; readonly periodMs: DurationMs }
  /** Approaches the value of another register: 63 % of the way after a period. */
  | { readonly kind: 'follow'; readonly target: () => number; readonly periodMs: DurationMs };

/** A moving value. Times are milliseconds since its creation. */
export class Moving {
  readonly #motion: Motion;
  #followed = 0;
  #at: DurationMs = 0;

  constructor(motion: Motion) {
    this.#motion = motion;
  }

  value(now: DurationMs): number {
    const motion = this.#motion;
    switch (motion.kind) {
      case 'sine':
        return motion.mean + motion.swing * Math.sin((2 * Math.PI * now) / motion.periodMs);
      case 'ramp':
        return motion.from + ((motion.to - motion.from) * (now % motion.periodMs)) / motion.periodMs;
      case 'counter':
        return Math.floor(now / motion.periodMs);
      case 'follow': {
        const share = 1 - Math.exp(-(now - this.#at) / motion.periodMs);
        this.#followed += (motion.target() - this.#followed) * share;
        this.#at = now;
        return this.#followed;
      }
    }
  }
}
