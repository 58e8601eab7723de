import {
  type AddressCell,
  accessOf,
  addressOf,
  factorOf,
  namesOf,
  numberOf,
  rangeOf,
  type Table,
  tableOf,
  tidy,
  unitOf,
} from './cells.ts';
import { type Columns, type Role, readHeader } from './columns.ts';
import { type Row, readCsv, separatorOf } from './csv.ts';
import { bitsIn, type TypeCell, typeOf } from './types.ts';

/** Keys of a pin, in the order in which a profile shows them. */
export type PinKeys = Readonly<Record<string, unknown>>;

/** A pin read from a line of the table. */
export interface DraftPin {
  readonly name: string;
  readonly line: number;
  readonly keys: PinKeys;
  /** Other texts of its line. */
  readonly comment?: string;
}

/** The pins of a register table, and what could not be read. */
export interface ProfileDraft {
  readonly pins: readonly DraftPin[];
  readonly defaults: PinKeys;
  /** One sentence each, with its line where it has one. */
  readonly notes: readonly string[];
}

/** Facts about a table that it does not state itself. */
export interface TableOptions {
  /** The table of registers when no column tells it. */
  readonly table?: Table;
  /** Number of the first register: 0 or 1. */
  readonly base?: 0 | 1;
}

const MANUAL_TABLES: ReadonlyMap<string, Table> = new Map([
  ['0', 'coil'],
  ['1', 'discrete'],
  ['3', 'input'],
  ['4', 'holding'],
]);
const CLASSES: Readonly<Record<string, string>> = {
  V: 'voltage',
  A: 'current',
  W: 'power',
  kW: 'power',
  Wh: 'energy',
  kWh: 'energy',
  Hz: 'frequency',
  '°C': 'temperature',
};
/** So many lines below a header show what its columns are about. */
const SAMPLE = 200;

/** Reads a register table. `undefined` when no line of it is a header that names addresses. */
export function draftProfile(text: string, options: TableOptions): ProfileDraft | undefined {
  const separator = separatorOf(text);
  const rows = readCsv(text.replace(/^\uFEFF/, ''), separator);
  if (!rows.some((row, at) => readHeader(row, rows.slice(at + 1, at + SAMPLE)))) return undefined;
  return new TableReader(rows, separator === ';', options).read();
}

/** A line whose address has been read. */
interface RegisterRow {
  readonly row: Row;
  readonly columns: Columns;
  readonly address: AddressCell;
  /** The table that a heading above names. */
  readonly heading: Table | undefined;
}

class TableReader {
  readonly #rows: readonly Row[];
  /** The file separates cells by semicolons, as where numbers have a decimal comma. */
  readonly #decimalComma: boolean;
  readonly #options: TableOptions;
  readonly #notes: { readonly line: number; readonly text: string }[] = [];
  readonly #names = new Set<string>();
  readonly #assumed = new Set<string>();
  #lengthsAreBytes = false;

  constructor(rows: readonly Row[], decimalComma: boolean, options: TableOptions) {
    this.#rows = rows;
    this.#decimalComma = decimalComma;
    this.#options = options;
  }

  read(): ProfileDraft {
    const registers = this.#registers();
    const manual = this.#isManualNotation(registers);
    this.#lengthsAreBytes = areBytes(registers);
    const base = this.#options.base ?? (registers.some(({ columns }) => columns.countsFromOne) ? 1 : undefined);
    if (manual) this.#assume('addresses are read as the notation of manuals: 40001 is holding register 0');
    else if (base === undefined) {
      this.#assume('addresses are taken as on the wire, counted from 0; where the table counts from 1 say --base 1');
    }
    const pins = registers.flatMap((register) => this.#pin(register, manual) ?? []);
    const wide = pins.some(({ keys }) => ['holding', 'input'].some((table) => Number(keys[table]) >= 10_000));
    const stated = manual ? undefined : (base ?? (wide ? 0 : undefined));
    const defaults = { ...(stated !== undefined && { base: stated }), poll: '1s' };
    const notes = this.#notes.sort((a, b) => a.line - b.line).map(({ line, text }) => `line ${line}: ${text}`);
    return { pins, defaults, notes: [...this.#assumed, ...notes] };
  }

  /** The lines with an address, below their header and the last heading: a line of one cell, as `Input registers`. */
  #registers(): RegisterRow[] {
    const registers: RegisterRow[] = [];
    let columns: Columns | undefined;
    let heading: Table | undefined;
    for (const [at, row] of this.#rows.entries()) {
      const [first = '', second] = row.cells.filter((cell) => cell !== '');
      const header = second === undefined ? undefined : readHeader(row, this.#rows.slice(at + 1, at + SAMPLE));
      if (second === undefined) heading = tableOf(first)?.table ?? heading;
      else if (header) columns = this.#header(row, header);
      else if (columns) registers.push(...this.#register(row, columns, heading));
    }
    return registers;
  }

  #header(row: Row, columns: Columns): Columns {
    const unused = columns.unused.join(', ');
    if (unused !== '') this.#note(row, `nothing is read from ${unused}`);
    return columns;
  }

  #register(row: Row, columns: Columns, heading: Table | undefined): RegisterRow[] {
    const cell = cellOf(row, columns, 'address');
    const address = addressOf(cell, columns.hexAddresses);
    if (address) return [{ row, columns, address, heading }];
    this.#skip(row, cell === '' ? 'it has no address' : `${cell} is no address`);
    return [];
  }

  /** 40001 as holding register 0: when all decimal addresses fit it, and no function code contradicts. */
  #isManualNotation(registers: readonly RegisterRow[]): boolean {
    const decimals = registers.filter(({ address }) => address.decimal !== undefined);
    if (this.#options.base !== undefined || decimals.length === 0) return false;
    return decimals.every((register) => {
      const { decimal = '' } = register.address;
      const digit = MANUAL_TABLES.get(decimal[0] ?? '');
      const stated = this.#statedTable(register);
      return /^[0134]\d{4,5}$/.test(decimal) && Number(decimal.slice(1)) > 0 && (stated ?? digit) === digit;
    });
  }

  #statedTable({ row, columns, heading }: RegisterRow): Table | undefined {
    const cell = cellOf(row, columns, 'table');
    return tableOf(cell)?.table ?? (cell === '' ? (heading ?? columns.table) : undefined);
  }

  #pin(register: RegisterRow, manual: boolean): DraftPin | undefined {
    const { row, columns, address } = register;
    const cell = (role: Role) => cellOf(row, columns, role);
    const title = cell('name') || cell('label');
    if (RESERVED.test(title)) return this.#skip(row, 'it is reserved');
    const written = manual ? address.decimal : undefined;
    const table = MANUAL_TABLES.get(written?.[0] ?? '') ?? this.#tableFor(register);
    if (table === undefined) return this.#skip(row, `${cell('table')} is no function or table`);
    const value = table === 'coil' || table === 'discrete' ? {} : this.#registerKeys(register);
    if (value === undefined) return undefined;
    const keys = { [table]: written ?? address.first, ...value };
    const output = isWritable(row, columns, table) ? this.#outputKeys(register, keys) : {};
    if (output === undefined) return undefined;
    const comment = commentOf(row, columns, title);
    return {
      name: this.#nameFor(title, address.first),
      line: row.line,
      keys: { ...keys, ...output },
      ...(comment !== '' && { comment }),
    };
  }

  /** Keys of the value in its registers. `undefined` when it is not clear what they are, which has been noted. */
  #registerKeys(register: RegisterRow): PinKeys | undefined {
    const { row, columns } = register;
    const length = this.#length(register);
    const type = this.#type(register, length);
    if (type !== undefined) return this.#valueKeys(register, type);
    const written = cellOf(row, columns, 'type');
    const registers = length === undefined ? '' : ` of length ${length}`;
    return this.#skip(
      row,
      written === '' ? `nothing tells the type${registers}` : `${written}${registers} is no clear type`,
    );
  }

  #tableFor(register: RegisterRow): Table | undefined {
    const cell = cellOf(register.row, register.columns, 'table');
    if (cell !== '' && tableOf(cell) === undefined) return undefined;
    const stated = this.#statedTable(register);
    if (stated !== undefined) return stated;
    const { table = 'holding' } = this.#options;
    if (this.#options.table === undefined) {
      this.#assume(
        'nothing tells the function: registers are taken for holding registers; say --table input otherwise',
      );
    }
    return table;
  }

  #length({ row, columns, address }: RegisterRow): number | undefined {
    const stated = /^\d+/.exec(cellOf(row, columns, 'length'))?.[0];
    if (stated !== undefined) return Number(stated) / (columns.lengthsPerRegister ?? (this.#lengthsAreBytes ? 2 : 1));
    const end = addressOf(cellOf(row, columns, 'end'), columns.hexAddresses)?.first ?? address.last;
    return end === undefined ? undefined : end - address.first + 1;
  }

  /** `undefined` when the type is not known, or does not fit the length. */
  #type({ row, columns }: RegisterRow, length: number | undefined): TypeCell | undefined {
    const cell = cellOf(row, columns, 'type');
    if (cell !== '') {
      const type = typeOf(cell, length, cellOf(row, columns, 'order'));
      if (
        length === undefined &&
        bitsIn(cell) === undefined &&
        /^int16|^uint16/.test(type?.type ?? '') &&
        /int/i.test(cell)
      ) {
        this.#assume('INT and UINT without a number are read as 16 bits');
      }
      return type;
    }
    if (length !== undefined && length !== 1) return undefined;
    this.#assume('nothing tells the type of some registers: they are read as uint16');
    return { type: 'uint16', registers: 1 };
  }

  #valueKeys(register: RegisterRow, { type, order, length }: TypeCell): PinKeys | undefined {
    const { row, columns, address } = register;
    const cell = (role: Role) => cellOf(row, columns, role);
    const [, upper, lower] = /^(\d+)\s*[-:.]+\s*(\d+)$/.exec(cell('bit')) ?? [];
    const bit = address.bit ?? numberOf(cell('bit'), true);
    if (type === 'bool') return bit === undefined ? this.#skip(row, 'nothing tells which bit it is') : { bit };
    const encoding = {
      ...typeKeys(type, upper !== undefined),
      ...(order !== undefined && { order }),
      ...(length !== undefined && { length }),
      ...(upper !== undefined && { bits: [upper, lower].map(Number).sort((a, b) => a - b) }),
    };
    if (type === 'string') return encoding;
    const names = namesOf(cell('values')) ?? namesOf(cell('range')) ?? namesOf(cell('remark'));
    if (names) return { ...encoding, values: names };
    const measure = this.#measureKeys(row, cell);
    return measure && { ...encoding, ...measure };
  }

  /** Scale, unit, and the number that means no value. */
  #measureKeys(row: Row, cell: (role: Role) => string): PinKeys | undefined {
    const { uom, scale: ofUnit } = unitOf(cell('unit') || unitBehind(cell('scale')), this.#decimalComma);
    const scale = this.#scale(row, cell);
    if (scale === undefined) return undefined;
    if (ofUnit !== undefined && scale !== 1 && ofUnit !== scale) {
      return this.#skip(row, `the unit ${cell('unit')} and the factor ${scale} contradict each other`);
    }
    const factor = scale === 1 ? (ofUnit ?? 1) : scale;
    const kind = CLASSES[uom ?? ''];
    const none = numberOf(cell('invalid'), false);
    return {
      ...(none !== undefined && { invalid: [/^0x/i.test(cell('invalid')) ? cell('invalid') : none] }),
      ...(factor !== 1 && { scale: factor }),
      ...(uom !== undefined && { uom }),
      ...(kind !== undefined && { class: kind }),
    };
  }

  #scale(row: Row, cell: (role: Role) => string): number | undefined {
    const factor = factorOf(cell('scale').slice(0, -unitBehind(cell('scale')).length || undefined), this.#decimalComma);
    const divisor = factorOf(cell('divisor'), this.#decimalComma);
    if (factor === undefined || divisor === undefined || factor === 0 || divisor === 0) {
      return this.#skip(row, `the factor "${cell('scale') || cell('divisor')}" is not clear`);
    }
    if (cell('scale') !== '' && factor >= 10) {
      this.#assume(
        `a factor such as ${factor} multiplies the register; where it divides, write 1/${factor} in the table`,
      );
    }
    return tidy(factor / divisor);
  }

  /** A register is commanded only within a range that the table states in the pin's own units. */
  #outputKeys({ row, columns }: RegisterRow, keys: PinKeys): PinKeys | undefined {
    const readable = accessOf(cellOf(row, columns, 'access'))?.reads ?? true;
    const output = { direction: 'out', ...(!readable && { read: false }) };
    if ('coil' in keys || 'bit' in keys || 'values' in keys) return output;
    const range = this.#range(row, columns);
    if (range && keys['scale'] === undefined && keys['type'] !== 'string') return { ...output, range };
    const why = range ? 'its range may be meant in raw numbers' : 'the table has no range for it';
    if (!readable) return this.#skip(row, `it can only be written, and ${why}`);
    this.#note(row, `it can be written, but ${why}: add direction: out and range: [LOW, HIGH] to command it`);
    return {};
  }

  #range(row: Row, columns: Columns): readonly [number, number] | undefined {
    const cell = (role: Role) => cellOf(row, columns, role);
    const low = numberOf(cell('min'), this.#decimalComma);
    const high = numberOf(cell('max'), this.#decimalComma);
    if (low !== undefined && high !== undefined && low < high) return [low, high];
    return rangeOf(cell('range'), this.#decimalComma) ?? rangeOf(cell('remark'), this.#decimalComma);
  }

  /** A name of letters and digits that no other pin has. */
  #nameFor(title: string, address: number): string {
    const word = title
      .toLowerCase()
      .replaceAll('ä', 'ae')
      .replaceAll('ö', 'oe')
      .replaceAll('ü', 'ue')
      .replaceAll('ß', 'ss')
      .normalize('NFKD')
      .replaceAll(/\p{M}/gu, '')
      .replaceAll(/[^a-z0-9]+/g, '-')
      .slice(0, 48)
      .replaceAll(/^-+|-+$/g, '');
    const base = word === '' ? `register-${address}` : word;
    let name = base;
    for (let next = 2; this.#names.has(name); next++) name = `${base}-${next}`;
    this.#names.add(name);
    return name;
  }

  #skip(row: Row, why: string): undefined {
    const text = row.cells.filter((cell) => cell !== '').join(' | ');
    this.#note(row, `left out, because ${why}: ${text.replaceAll(/\s+/g, ' ').slice(0, 100)}`);
    return undefined;
  }

  #note({ line }: Row, text: string): void {
    this.#notes.push({ line, text });
  }

  #assume(what: string): void {
    this.#assumed.add(what);
  }
}

/** Keys of the type. A byte lies in the low half of its register; bits are counted in the whole one. */
function typeKeys(type: string, hasBits: boolean): PinKeys {
  const isByte = type === 'uint8' || type === 'int8';
  if (type === 'uint16' || (isByte && hasBits)) return {};
  return isByte ? { type, byte: 'lo' } : { type };
}

function cellOf(row: Row, { at }: Columns, role: Role): string {
  const column = at.get(role);
  return column === undefined ? '' : (row.cells[column] ?? '');
}

/** The unit in a column of factors: V of `0.1 V`. Empty when there is none. */
function unitBehind(cell: string): string {
  return /^(?:[\d.,]+(?:\/\d+)?)\s*([^\d\s.,/^eE×x*-].*)$/.exec(cell)?.[1] ?? '';
}

const RESERVED = /^(reserved?|reserviert|spare|unused|not used|n\/a|-+)$/i;

/** Whether the lengths of all types that name their bits are bytes: UINT32 with 4, UINT16 with 2. */
function areBytes(registers: readonly RegisterRow[]): boolean {
  const known = registers.flatMap(({ row, columns }) => {
    const bits = bitsIn(cellOf(row, columns, 'type'));
    const length = cellOf(row, columns, 'length');
    return bits === undefined || length === '' ? [] : [{ bits, length: Number(length) }];
  });
  return known.length > 0 && known.every(({ bits, length }) => length === bits / 8);
}

function isWritable(row: Row, columns: Columns, table: Table): boolean {
  if (table === 'discrete' || table === 'input') return false;
  const access = accessOf(cellOf(row, columns, 'access'));
  return access?.writes ?? tableOf(cellOf(row, columns, 'table'))?.writable ?? false;
}

/** Texts of the line beside the name. */
function commentOf(row: Row, columns: Columns, title: string): string {
  const texts = (['label', 'range', 'values', 'remark'] as const).map((role) => cellOf(row, columns, role));
  return [...new Set(texts)]
    .filter((text) => text !== '' && text !== title)
    .join('; ')
    .replaceAll(/\s+/g, ' ');
}
