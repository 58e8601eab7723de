import type { Writable } from 'node:stream';
import { colour, table } from './output.ts';
import { type PinList, pinColumns } from './pin-list.ts';

const ESC = '\u001b[';
/** A person reads no faster; a slow line carries no more. */
const FRAME_MS = 200;
/** So long a change catches the eye. */
const FRESH_MS = 1000;

/** A terminal, as far as this table needs one. */
export interface Screen extends Writable {
  readonly columns: number;
  readonly rows: number;
}

/** A table of pins that fills a terminal and follows what happens. The terminal's text comes back when it closes. */
export class LiveTable {
  readonly #screen: Screen;
  readonly #list: PinList;
  readonly #wanted: (pin: string) => boolean;
  readonly #title: string;
  readonly #changes = new Map<string, number>();
  #top = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(screen: Screen, list: PinList, options: { title: string; wanted: (pin: string) => boolean }) {
    this.#screen = screen;
    this.#list = list;
    this.#wanted = options.wanted;
    this.#title = options.title;
  }

  open(): void {
    this.#screen.write(`${ESC}?1049h${ESC}?25l`);
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), FRAME_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#screen.write(`${ESC}?25h${ESC}?1049l`);
  }

  /** A pin has reported. */
  changed(pin: string): void {
    this.#changes.set(pin, performance.now());
  }

  /** Arrows and pages scroll. */
  key(name: string): void {
    const page = this.#room();
    const steps: Readonly<Record<string, number>> = { up: -1, k: -1, down: 1, j: 1, pageup: -page, pagedown: page };
    const step = steps[name];
    if (step === undefined) return;
    this.#top += step;
    this.#draw();
  }

  /** Lines for pins: without the title, the head of the table and the last line. */
  #room(): number {
    return Math.max(1, (this.#screen.rows || 24) - 4);
  }

  #draw(): void {
    const rows = this.#list.sorted().filter(([name]) => this.#wanted(name));
    const room = this.#room();
    this.#top = Math.max(0, Math.min(this.#top, rows.length - room));
    const now = performance.now();
    const cells = rows.map(([name, row]) => {
      const [first = '', ...others] = this.#list.cells(name, row);
      const at = this.#changes.get(name);
      return [at !== undefined && now - at < FRESH_MS ? colour.inverse(first) : first, ...others];
    });
    // All rows make the widths, so that the columns stand still while one scrolls.
    const [head = '', ...lines] = table(pinColumns, cells).split('\n');
    const shown = lines.slice(this.#top, this.#top + room);
    const more = rows.length - this.#top - shown.length;
    const foot = more > 0 || this.#top > 0 ? `${this.#top} above, ${more} below: arrows scroll; q ends` : 'q ends';
    const text = [colour.bold(this.#title), head, ...shown, '', colour.dim(foot)];
    const width = this.#screen.columns || 80;
    this.#screen.write(`${ESC}H${text.map((line) => truncateLine(line, width)).join(`${ESC}K\n`)}${ESC}K${ESC}J`);
  }
}

/** The first `width` characters that are seen. Colours count nothing and are ended. */
export function truncateLine(line: string, width: number): string {
  const parts = line.split(new RegExp(`(${ESC.replace('[', '\\[')}\\d+m)`));
  let room = width;
  const kept = parts.map((part) => {
    if (part.startsWith(ESC)) return part;
    const text = [...part].slice(0, room).join('');
    room -= [...text].length;
    return text;
  });
  return kept.join('');
}
