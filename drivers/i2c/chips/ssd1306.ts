import { DcsError } from '../../../src/errors/errors.ts';
import type { RawValue } from '../../../src/pin/pin.ts';
import { type ChipAccess, hex } from '../bus.ts';
import type { Chip, ChipKind, ChipValue } from './chip.ts';
import { CELL, glyph } from './font.ts';

const COLUMNS = 128;
/** Most characters of a line. */
const WIDTH = Math.floor(COLUMNS / CELL);
/** Bytes of picture in a transfer: others on the bus wait no longer than 2 ms at 100 kHz. */
const CHUNK = 16;
/** Control bytes: what follows are commands, or picture. */
const COMMANDS = 0x00;
const PICTURE = 0x40;
/** Status: the display is off, as after its power came. */
const OFF = 0x40;

/** Solomon Systech SSD1306 (and SSD1309 and others alike), 128 × 64: eight lines of text. Datasheet rev. 1.1. */
export const ssd1306: ChipKind = display('128 × 64', 8);
/** The same with 128 × 32: four lines. */
export const ssd1306Low: ChipKind = display('128 × 32', 4);

function display(size: string, lines: number): ChipKind {
  const value: ChipValue = { kind: 'text', direction: 'out', uom: '' };
  return {
    title: `SSD1306 display of ${size}: ${lines} lines of ${WIDTH} characters`,
    values: Object.fromEntries(Array.from({ length: lines }, (_, at) => [`line${at + 1}`, value])),
    make: (access) => new Ssd1306(access, lines),
  };
}

class Ssd1306 implements Chip {
  readonly #access: ChipAccess;
  readonly #lines: number;
  readonly #shown: string[];

  constructor(access: ChipAccess, lines: number) {
    this.#access = access;
    this.#lines = lines;
    this.#shown = Array.from({ length: lines }, () => '');
  }

  /** Empties the picture, which is random after power-on, before it is switched on. */
  async setUp(): Promise<void> {
    const setting = [
      [0xae],
      // Clock, rows, no offset, first row 0, charge pump on, picture addressed page by page.
      ...[[0xd5, 0x80], [0xa8, 8 * this.#lines - 1], [0xd3, 0x00], [0x40], [0x8d, 0x14], [0x20, 0x02]],
      // Mounted as usual: left to right, top to bottom; how the rows are wired.
      ...[[0xa1], [0xc8], [0xda, this.#lines === 8 ? 0x12 : 0x02]],
      // Brightness, timing, level, picture from memory, not inverted.
      ...[[0x81, 0x7f], [0xd9, 0xf1], [0xdb, 0x40], [0xa4], [0xa6]],
    ];
    for (const command of setting) await this.#access.write(COMMANDS, command);
    for (let line = 0; line < this.#lines; line++) await this.#draw(line, '');
    await this.#access.write(COMMANDS, [0xaf]);
  }

  /** What was written; the picture itself cannot be read. A display that was without power in between is not set up. */
  async read(names: readonly string[]): Promise<ReadonlyMap<string, string>> {
    if (((await this.#access.receive(1)).readUInt8() & OFF) !== 0) {
      throw new DcsError('BAD_REPLY', `the display at ${hex(this.#access.address)} was switched off`);
    }
    return new Map(names.map((name) => [name, this.#shown[lineOf(name)] ?? '']));
  }

  async write(name: string, value: RawValue): Promise<string> {
    const text = String(value);
    const foreign = [...text].find((character) => glyph(character) === undefined);
    if (foreign !== undefined || [...text].length > WIDTH) {
      throw new DcsError('BAD_VALUE', `${JSON.stringify(text)} does not fit a line of the display`, {
        found: foreign ?? text,
        expected: `at most ${WIDTH} characters of ASCII or °`,
      });
    }
    await this.#draw(lineOf(name), text);
    return text;
  }

  async #draw(line: number, text: string): Promise<void> {
    const row = Buffer.alloc(COLUMNS);
    [...text].forEach((character, at) => {
      row.set(glyph(character) ?? [], at * CELL);
    });
    await this.#access.write(COMMANDS, [0xb0 | line, 0x00, 0x10]);
    for (let at = 0; at < COLUMNS; at += CHUNK) {
      await this.#access.write(PICTURE, [...row.subarray(at, at + CHUNK)]);
    }
    this.#shown[line] = text;
  }
}

/** Number of the line, from 0. */
function lineOf(name: string): number {
  return Number(name.replace(/\D/g, '')) - 1;
}
