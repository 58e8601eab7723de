import type { BoardLine, PwmOutput } from '../driver/placement.ts';
import { DcsError } from '../errors/errors.ts';
import type { BoardData, HeaderData, PwmData } from './board-schema.ts';
import type { Hat } from './load-board.ts';

export interface BoardBus {
  readonly name: string;
  /** A path that exists if and only if the bus is enabled. */
  readonly device: string;
  readonly lines: readonly BoardLine[];
}

/** A computer: its GPIO chips, the names of their lines, its headers, serial ports and buses. */
export class Board {
  readonly name: string;
  readonly title: string;
  readonly models: readonly string[];
  readonly compatible: readonly string[];
  readonly serial: readonly { readonly path: string; readonly title: string }[];
  readonly headerNames: readonly string[];
  readonly headers: readonly HeaderData[];
  readonly buses: readonly BoardBus[];
  /** The chips by the board's own names (`gpio`). */
  readonly chips: BoardData['chips'];
  readonly #data: BoardData;
  readonly #aliases = new Map<string, { readonly chip: string; readonly line: number }>();
  readonly #pwm: PwmData | undefined;

  /** Throws BAD_CONFIG when the data contradicts itself: duplicate names, lines that their chip does not have. */
  constructor(name: string, data: BoardData, headers: readonly HeaderData[], pwm?: PwmData) {
    this.name = name;
    this.#data = data;
    this.#pwm = pwm;
    this.title = data.title;
    this.models = data.models;
    this.compatible = data.compatible;
    this.serial = data.serial;
    this.headerNames = data.headers;
    this.headers = headers;
    this.chips = data.chips;
    for (const [chip, { names }] of Object.entries(data.chips)) {
      for (const { from, to, count_from = from, as } of names) {
        for (let line = from; line <= to; line++) {
          for (const pattern of as) this.#name(pattern.replace('#', String(line - from + count_from)), chip, line);
        }
      }
    }
    for (const header of headers) this.#nameHeader(header);
    for (const [alias, { chip, line }] of Object.entries(data.aliases)) this.#name(alias, chip, line);
    this.buses = this.#resolveBuses(Object.assign({}, ...headers.map((header) => header.buses), data.buses));
  }

  /**
   * Finds the line of an alias (`GPIO17`, `J8-11`, `SDA1`; upper or lower case) or of `<chip>:<offset or name>`. The chip is
   * named by its label, by the board's own name, or as `gpiochip0`. `undefined` when there is no such line.
   */
  resolve(text: string): BoardLine | undefined {
    const alias = this.#aliases.get(text.toUpperCase());
    if (alias) return this.#lineOf(alias.chip, alias.line);
    const colon = text.lastIndexOf(':');
    if (colon < 1 || colon === text.length - 1) return undefined;
    const chip = text.slice(0, colon).replace(/^\/dev\//, '');
    const word = text.slice(colon + 1);
    const own = Object.entries(this.chips).find(([key, { label }]) => key === chip || label === chip);
    const line = /^\d+$/.test(word) ? Number(word) : word;
    if (own === undefined) return { chip, line, mock: false };
    if (typeof line === 'number') return line < own[1].lines ? this.#lineOf(own[0], line) : undefined;
    const named = this.#aliases.get(line.toUpperCase());
    if (named?.chip === own[0]) return this.#lineOf(own[0], named.line);
    return { chip: own[1].label, line, mock: own[1].mock };
  }

  /** The same board with the line names of a HAT. Throws BAD_CONFIG when the HAT does not fit. */
  withHat(hat: Hat): Board {
    if (!this.headerNames.includes(hat.header)) throw this.#wrong(`${hat.name} needs a ${hat.header} header`);
    const aliases: Record<string, { chip: string; line: number }> = { ...this.#data.aliases };
    for (const [name, { at }] of Object.entries(hat.lines)) {
      const line = this.#aliases.get(at.toUpperCase());
      if (line === undefined) throw this.#wrong(`${hat.name} is on ${at}, which it does not have`);
      if (this.#aliases.has(name.toUpperCase())) throw this.#wrong(`the name ${name} of ${hat.name} is taken`);
      aliases[name] = line;
    }
    return new Board(this.name, { ...this.#data, aliases }, this.headers, this.#pwm);
  }

  /** The channel of the processor's PWM that a line can be connected to. `undefined` when there is none. */
  pwmOutput({ chip, line }: BoardLine): PwmOutput | undefined {
    const { lines = {}, hint } = this.#pwm ?? {};
    for (const [name, one] of Object.entries(lines)) {
      const alias = this.#aliases.get(name.toUpperCase());
      const found = alias && this.#lineOf(alias.chip, alias.line);
      if (found?.chip !== chip || found.line !== line) continue;
      const { channel, state, function: number = 0 } = one;
      return {
        chip: one.chip ?? this.#data.pwm?.chip ?? '',
        channel,
        connectedWhen: state === undefined ? { offset: alias?.line ?? 0, function: number } : { state },
        howToConnect: hint === undefined ? one.enable : `${one.enable} (${hint})`,
      };
    }
    return undefined;
  }

  /** Names of the lines at which the processor's PWM can come out. */
  pwmLines(): string[] {
    return Object.keys(this.#pwm?.lines ?? {});
  }

  /** The enabled bus that uses a line. `undefined` when none does. */
  reservedBy(chip: string, line: number | string, enabled: readonly string[]): string | undefined {
    return this.buses.find(
      (bus) => enabled.includes(bus.name) && bus.lines.some((used) => used.chip === chip && used.line === line),
    )?.name;
  }

  /** The buses that are enabled on this machine. */
  enabledBuses(exists: (path: string) => boolean): string[] {
    return this.buses.filter((bus) => exists(bus.device)).map((bus) => bus.name);
  }

  /** All aliases, for suggestions and shell completion. */
  aliases(): string[] {
    return [...this.#aliases.keys()];
  }

  /** All aliases of a line, the usual one (`GPIO17`) first. */
  aliasesOf(chip: string, line: number | string): string[] {
    return this.aliases().filter((alias) => {
      const found = this.resolve(alias);
      return found?.chip === chip && found.line === line;
    });
  }

  #lineOf(key: string, line: number): BoardLine {
    const chip = this.chips[key];
    if (chip === undefined) throw this.#wrong(`there is no chip ${key}`);
    const name = chip.line_names[line];
    return { chip: chip.label, line: name === undefined || name === '' ? line : name, mock: chip.mock };
  }

  #nameHeader(header: HeaderData): void {
    for (const [number, position] of Object.entries(header.positions)) {
      if (!('line' in position)) continue;
      const chip = position.chip ?? header.chip;
      for (const alias of position.aliases) this.#name(alias, chip, position.line);
      for (const connector of header.connectors) {
        this.#name(`${connector}-${number}`, chip, position.line);
        this.#name(`${connector}_${number}`, chip, position.line);
      }
    }
  }

  #name(alias: string, chip: string, line: number): void {
    const key = alias.toUpperCase();
    const lines = this.chips[chip]?.lines;
    if (lines === undefined) throw this.#wrong(`${alias} is on chip ${chip}, which it does not have`);
    if (line >= lines) throw this.#wrong(`${alias} is line ${line} of chip ${chip}, which has ${lines}`);
    if (this.#aliases.has(key)) throw this.#wrong(`the name ${alias} is given twice`);
    this.#aliases.set(key, { chip, line });
  }

  #resolveBuses(buses: BoardData['buses']): BoardBus[] {
    return Object.entries(buses).map(([name, { device, lines }]) => ({
      name,
      device,
      lines: lines.map((alias) => {
        const line = this.resolve(alias);
        if (line === undefined) throw this.#wrong(`bus ${name} uses ${alias}, which it does not have`);
        return line;
      }),
    }));
  }

  #wrong(message: string): DcsError {
    return new DcsError('BAD_CONFIG', `board ${this.name}: ${message}`);
  }
}
