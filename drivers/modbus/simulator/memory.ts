import type { Clock } from '../../../src/clock/clock.ts';
import type { Table } from '../protocol/request.ts';
import { ILLEGAL_ADDRESS, SlaveException, type Store } from '../server/store.ts';
import type { Format } from '../value/format.ts';
import { type Motion, Moving } from './motion.ts';

interface Cell {
  readonly format: Format;
  readonly moving: Moving;
  readonly began: number;
}

/**
 * The tables of a simulated device. An address exists once something was put there; with `everywhere` all exist and
 * hold 0.
 */
export class SimulatedMemory implements Store {
  readonly #clock: Clock;
  readonly #everywhere: boolean;
  readonly #words = new Map<string, number>();
  readonly #cells = new Map<string, Cell>();
  identityTexts: readonly string[] = ['dcs-io', 'simulator', '1.0'];

  constructor(clock: Clock, options: { everywhere: boolean } = { everywhere: true }) {
    this.#clock = clock;
    this.#everywhere = options.everywhere;
  }

  /** Puts registers (16-bit words) or bits (0 or 1) at an address. */
  put(unit: number, table: Table, first: number, ...words: readonly number[]): void {
    words.forEach((word, index) => {
      this.#words.set(name(unit, table, first + index), word & 0xffff);
    });
  }

  /** The words or bits that are there; 0 where nothing was put. */
  get(unit: number, table: Table, first: number, count = 1): number[] {
    this.#move(unit, table, first, count);
    return Array.from({ length: count }, (_, index) => this.#words.get(name(unit, table, first + index)) ?? 0);
  }

  /** Makes the value that begins at an address move. */
  move(unit: number, table: Table, first: number, format: Format, motion: Motion): void {
    this.put(unit, table, first, ...Array.from({ length: format.words }, () => 0));
    this.#cells.set(name(unit, table, first), { format, moving: new Moving(motion), began: this.#clock.now() });
  }

  readBits(unit: number, table: 'coil' | 'discrete', first: number, count: number): boolean[] {
    this.#check(unit, table, first, count);
    return this.get(unit, table, first, count).map((word) => word !== 0);
  }

  readRegisters(unit: number, table: 'holding' | 'input', first: number, count: number): Buffer {
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
    this.#check(unit, 'holding', first, data.length / 2);
    for (let at = 0; at < data.length; at += 2) this.put(unit, 'holding', first + at / 2, data.readUInt16BE(at));
  }

  identity(): readonly string[] {
    return this.identityTexts;
  }

  #check(unit: number, table: Table, first: number, count: number): void {
    if (this.#everywhere) return;
    for (let at = first; at < first + count; at++)
      if (!this.#words.has(name(unit, table, at))) throw new SlaveException(ILLEGAL_ADDRESS);
  }

  /** Brings moving values up to now. One may begin up to three registers before the first one asked for. */
  #move(unit: number, table: Table, first: number, count: number): void {
    if (this.#cells.size === 0) return;
    for (let at = Math.max(0, first - 3); at < first + count; at++) {
      const cell = this.#cells.get(name(unit, table, at));
      if (!cell) continue;
      const data = cell.format.encode(cell.moving.value(this.#clock.now() - cell.began));
      for (let word = 0; word < cell.format.words; word++)
        this.#words.set(name(unit, table, at + word), data.readUInt16BE(2 * word));
    }
  }
}

function name(unit: number, table: Table, address: number): string {
  return `${unit}/${table}/${address}`;
}
