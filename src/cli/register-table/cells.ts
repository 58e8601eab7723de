/** A table of Modbus. */
export type Table = 'coil' | 'discrete' | 'holding' | 'input';

/** The table that a cell names, and whether the device takes writes there. */
export interface TableCell {
  readonly table: Table;
  readonly writable: boolean;
}

const READ: ReadonlyMap<number, Table> = new Map([
  [1, 'coil'],
  [2, 'discrete'],
  [3, 'holding'],
  [4, 'input'],
]);
const WRITE: ReadonlyMap<number, Table> = new Map([
  [5, 'coil'],
  [6, 'holding'],
  [15, 'coil'],
  [16, 'holding'],
  [22, 'holding'],
]);
const TABLE_WORDS: readonly (readonly [Table, RegExp])[] = [
  ['discrete', /discrete|input (status|bit|contact)|\bdi\b|\b1x/],
  ['coil', /coil|relay|\bco\b|digital output/],
  ['holding', /hold|\bhr\b|\b4x/],
  ['input', /input|\bir\b|\b3x/],
];

/** Reads function codes (`3`, `03/06/16`, `0x10`, `FC04`) or words (`Holding Register`, `IR`, `4x`). */
export function tableOf(cell: string): TableCell | undefined {
  const text = cell.toLowerCase();
  const word = TABLE_WORDS.find(([, words]) => words.test(text))?.[0];
  const codes = word === undefined || /\d/.test(text) ? codesIn(text) : [];
  const writes = codes.filter((code) => WRITE.has(code));
  const read = codes.flatMap((code) => READ.get(code) ?? [])[0];
  const table = word ?? read ?? WRITE.get(writes[0] ?? 0);
  return table && { table, writable: writes.length > 0 };
}

/** The function codes of a text that has nothing else: `Signed 16` is a type. */
function codesIn(text: string): number[] {
  const rest = text.replaceAll(
    /modbus|functions?|func|funktion|codes?|fct?|read|write|and|single|multiple|registers?|coils?|inputs?|holding|discrete/g,
    '',
  );
  if (/[a-z]/.test(rest.replaceAll(/0x[\da-f]{1,2}\b|\b[\da-f]{1,2}h\b/g, ''))) return [];
  const found = rest.matchAll(/0x([\da-f]{1,2})\b|\b([\da-f]{1,2})h\b|\b(\d{1,2})\b/g);
  return [...found].map(([, prefixed, suffixed, plain]) =>
    plain === undefined ? Number.parseInt(prefixed ?? suffixed ?? '', 16) : Number(plain),
  );
}

/** An address as the table of a manual writes it. */
export interface AddressCell {
  readonly first: number;
  /** The last register of a range. */
  readonly last?: number;
  /** The bit of `40001.3`. */
  readonly bit?: number;
  /** Decimal digits as written, which may be the notation of manuals: 40001. */
  readonly decimal?: string;
}

const RANGE = /\s*(?:-|–|—|~|\.\.+|…|\bto\b|\bbis\b)\s*/;

/** Reads an address: decimal, 0x1A, 1Ah, 4x0001, HR10, 40001-40002, 40001.3. `undefined` when it is none. */
export function addressOf(cell: string, hex: boolean): AddressCell | undefined {
  const [text = '', bitText] = cell.toLowerCase().split(/\s*\bbit\s*|(?<=\d{2,}|^\d)\.(?=\d{1,2}$)/);
  const [from = '', to, ...more] = text
    .replaceAll(/(?<=\b\d{1,3})[ \u00a0.,'](?=\d{3}\b)/g, '')
    .trim()
    .split(RANGE);
  const first = oneAddress(from, hex);
  const last = to === undefined ? undefined : oneAddress(to, hex);
  const bit = bitText === undefined ? undefined : Number(bitText);
  if (first === undefined || more.length > 0 || (to !== undefined && last === undefined)) return undefined;
  if (bit !== undefined && !(bit >= 0 && bit <= 63)) return undefined;
  return { ...first, ...(last && { last: last.first }), ...(bit !== undefined && { bit }) };
}

function oneAddress(text: string, hex: boolean): Pick<AddressCell, 'first' | 'decimal'> | undefined {
  const [, prefixed, suffixed] = /^(?:(?:0x|&h|\$|h'?)([\da-f]{1,4})'?|([\da-f]{1,4})h)$/.exec(text) ?? [];
  const digits = prefixed ?? suffixed ?? (hex && /^[\da-f]{1,4}$/.test(text) ? text : undefined);
  if (digits !== undefined) return { first: Number.parseInt(digits, 16) };
  const [, table, item] = /^([0134])(?:x|:)(\d{4,5})$/.exec(text) ?? [];
  const decimal =
    table === undefined ? /^(?:%?m?[whid]r?|hr|ir|di|co|reg\.?)?\s*(\d{1,6})$/.exec(text)?.[1] : `${table}${item}`;
  return decimal === undefined ? undefined : { first: Number(decimal), decimal };
}

/** Reads a number with a decimal point or comma. `1,000` has two meanings unless the table is known to write commas. */
export function numberOf(cell: string, decimalComma: boolean): number | undefined {
  const text = cell.replaceAll(/[\s\u00a0']/g, '').replaceAll('−', '-');
  const hex = /^0x[\da-f]+$/i.exec(text)?.[0];
  if (hex !== undefined) return Number(hex);
  if (!/^[-+]?[\d.,]+(e[-+]?\d+)?$/i.test(text)) return undefined;
  const comma = text.lastIndexOf(',');
  const point = text.lastIndexOf('.');
  if (comma >= 0 && point >= 0) {
    const plain = comma > point ? text.replaceAll('.', '').replace(',', '.') : text.replaceAll(',', '');
    return finite(plain);
  }
  if (comma < 0) return finite(text);
  if (/^[-+]?[1-9]\d{0,2}(,\d{3})+$/.test(text) && !decimalComma) return undefined;
  return finite(text.replace(',', '.'));
}

function finite(text: string): number | undefined {
  const number = Number(text);
  return Number.isFinite(number) ? number : undefined;
}

const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹';

/** Reads a factor: 0.1, 0,1, x0.1, 1/10, /10, 10^-1, 10⁻¹. An empty cell is 1. */
export function factorOf(cell: string, decimalComma: boolean): number | undefined {
  const text = cell
    .toLowerCase()
    .replaceAll(
      /[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+/g,
      (high) => `^${[...high].map((char) => (char === '⁻' ? '-' : SUPERSCRIPTS.indexOf(char))).join('')}`,
    )
    .replaceAll(/\s/g, '');
  if (text === '' || text === '-' || text === 'none' || text === 'n/a') return 1;
  const [, base, power] = /^(\d+)\^\(?(-?\d+)\)?$/.exec(text) ?? [];
  if (base !== undefined) return tidy(Number(base) ** Number(power));
  const [, over = '1', under] = /^([\d.,]*)[/:÷]([\d.,]+)$/.exec(text) ?? [];
  if (under !== undefined) {
    const [a, b] = [numberOf(over === '' ? '1' : over, decimalComma), numberOf(under, decimalComma)];
    return a === undefined || b === undefined || b === 0 ? undefined : tidy(a / b);
  }
  return numberOf(text.replace(/^[x×*]|[x×*]$/, ''), decimalComma);
}

export function tidy(value: number): number {
  return Number(value.toPrecision(12));
}

/** Reads a unit, perhaps with a factor: V, 0.1V, 0,01 kWh, V/10, 1/10 °C. */
export function unitOf(cell: string, decimalComma: boolean): { readonly uom?: string; readonly scale?: number } {
  const text = cell
    .replaceAll('℃', '°C')
    .replaceAll('℉', '°F')
    .replace(/^\[(.*)\]$/, '$1')
    .trim();
  if (/^(|-+|none|n\/a|\/|1)$/i.test(text)) return {};
  const [, front = '', unit = ''] = /^((?:x ?)?[\d.,]+(?:\/[\d.,]+)?)\s*[x×*]?\s*(\D.*)$/.exec(text) ?? [];
  const [, plain = '', divisor] = /^([^\d/]+)\/(10+)$/.exec(text) ?? [];
  const scale = front === '' ? undefined : factorOf(front, decimalComma);
  if (scale !== undefined) return { uom: unit.trim(), scale };
  if (divisor !== undefined) return { uom: plain.trim(), scale: tidy(1 / Number(divisor)) };
  return { uom: text };
}

/** Reads names of numbers: `0: off, 1: on`, `0=off; 1=on`. `undefined` when the cell has anything else. */
export function namesOf(cell: string): Readonly<Record<string, string>> | undefined {
  const parts = cell
    .split(/[,;\n]+/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const names = parts.map((part) => /^(0x[\da-f]+|\d+)\s*(?:[:=]|-|–|→)\s*([^\d\s].*)$/i.exec(part));
  if (names.length < 2 || names.some((name) => name === null)) return undefined;
  return Object.fromEntries(names.map((name) => [String(Number(name?.[1])), name?.[2]?.trim() ?? '']));
}

/** Reads a range: 0-100, -10…50, 0 to 100, [0, 50]. */
export function rangeOf(cell: string, decimalComma: boolean): readonly [number, number] | undefined {
  const text = cell.replace(/^\[(.*)\]$/, '$1').trim();
  const number = String.raw`([-+−]?[\d.,]*\d)`;
  const [, low, high] = new RegExp(`^${number}\\s*(?:-|–|—|~|\\.\\.+|…|to|bis|;|, )\\s*${number}$`).exec(text) ?? [];
  if (low === undefined || high === undefined) return undefined;
  const [from, to] = [numberOf(low, decimalComma), numberOf(high, decimalComma)];
  return from === undefined || to === undefined || from >= to ? undefined : [from, to];
}

/** Whether a cell says that a register can be written, read, or both. */
export function accessOf(cell: string): { readonly reads: boolean; readonly writes: boolean } | undefined {
  const text = cell.toLowerCase().replaceAll(/[^a-z]/g, '');
  if (/^(no?|false)$/.test(text)) return { reads: true, writes: false };
  if (/^(y|yes|true|x)$/.test(text)) return { reads: true, writes: true };
  if (/^(ro|r|read|readonly|lesen|nurlesen|lecture|in|input)$/.test(text)) return { reads: true, writes: false };
  if (/^(rw|wr|readwrite|writeread|lesenschreiben|readandwrite)$/.test(text)) return { reads: true, writes: true };
  if (/^(wo|w|write|writeonly|schreiben)$/.test(text)) return { reads: false, writes: true };
  return undefined;
}
