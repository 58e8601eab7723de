import { DcsError } from '../../../src/errors/errors.ts';
import type { RawValue } from '../../../src/pin/pin.ts';
import { type ChipAccess, hex } from '../bus.ts';
import type { Chip, ChipKind, ChipValue } from './chip.ts';

/** Columns of a character: five of picture, one of space. */
export const CELL = 6;

/**
 * Characters of 5 × 7 dots from the blank to the tilde, as dot-matrix displays commonly have them: two hexadecimal digits
 * a column, the lowest bit on top.
 */
const ASCII = [
  '0000000000 00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649552250 0000070000 001c224100 0041221c00',
  '14083e0814 08083e0808 0050300000 0808080808 0060600000 2010080402',
  '3e5149453e 00427f4000 4261514946 2141454b31 1814127f10 2745454539 3c4a494930 0171090503 3649494936 064949291e',
  '0036360000 0056360000 0814224100 1414141414 0041221408 0201510906',
  '324979413e 7e1111117e 7f49494936 3e41414122 7f4141221c 7f49494941 7f09090901 3e4149497a 7f0808087f 00417f4100',
  '2040413f01 7f08142241 7f40404040 7f020c027f 7f0408107f 3e4141413e 7f09090906 3e4151215e 7f09192946 4649494931',
  '01017f0101 3f4040403f 1f2040201f 3f4038403f 6314081463 0708700807 6151494543',
  '007f414100 0204081020 0041417f00 0402010204 4040404040',
  '0001020400 2054545478 7f48444438 3844444420 384444487f 3854545418 087e090102 0c5252523e 7f08040478 00447d4000',
  '2040443d00 7f10284400 00417f4000 7c04180478 7c08040478 3844444438 7c14141408 081414187c 7c08040408 4854545420',
  '043f444020 3c4040207c 1c2040201c 3c4030403c 4428102844 0c5050503c 4464544c44',
  '0008364100 00007f0000 0041360800 0808102010',
].flatMap((row) => row.split(' '));
const DEGREE = '0006090906';
const FIRST_CHARACTER = 0x20;

/** The columns of a character; `undefined` when there is no picture of it. */
export function glyph(character: string): readonly number[] | undefined {
  const columns = character === '°' ? DEGREE : ASCII[(character.codePointAt(0) ?? 0) - FIRST_CHARACTER];
  return columns?.match(/../g)?.map((column) => Number.parseInt(column, 16));
}

const COLUMNS = 128;
/** Most characters of a line. */
const LINE_CHARACTERS = Math.floor(COLUMNS / CELL);
/** Bytes of picture in a transfer: other chips wait at most 2 ms at 100 kHz. */
const CHUNK = 16;
/** Control bytes: commands follow, or picture. */
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
    title: `SSD1306 display of ${size}: ${lines} lines of ${LINE_CHARACTERS} characters`,
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

  /** Clears the picture, which is random after power-on, before the display is switched on. */
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

  /** Returns the written text, because the picture cannot be read. Rejects when the display lost its power meanwhile. */
  async read(names: readonly string[]): Promise<ReadonlyMap<string, string>> {
    if (((await this.#access.receive(1)).readUInt8() & OFF) !== 0) {
      throw new DcsError('BAD_REPLY', `the display at ${hex(this.#access.address)} was switched off`);
    }
    return new Map(names.map((name) => [name, this.#shown[lineOf(name)] ?? '']));
  }

  async write(name: string, value: RawValue): Promise<string> {
    const text = String(value);
    const foreign = [...text].find((character) => glyph(character) === undefined);
    if (foreign !== undefined || [...text].length > LINE_CHARACTERS) {
      throw new DcsError('BAD_VALUE', `${JSON.stringify(text)} does not fit a line of the display`, {
        found: foreign ?? text,
        expected: `at most ${LINE_CHARACTERS} characters of ASCII or °`,
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
