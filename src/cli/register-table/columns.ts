import { type Table, tableOf } from './cells.ts';
import type { Row } from './csv.ts';

/** Meaning of a column of a register table. */
export type Role =
  | 'address'
  | 'end'
  | 'table'
  | 'name'
  | 'label'
  | 'type'
  | 'length'
  | 'order'
  | 'bit'
  | 'scale'
  | 'divisor'
  | 'unit'
  | 'access'
  | 'range'
  | 'min'
  | 'max'
  | 'values'
  | 'invalid'
  | 'remark';

/** Words of headers in manuals (English, German, French, Dutch, Spanish, Italian). The first that fits wins. */
const HEADERS: readonly (readonly [Role | 'ignored', RegExp])[] = [
  ['ignored', /slave|unit ?id|device (id|address)|default|example|sample|protocol version/],
  ['invalid', /invalid|not available|n\/a value|\bnan\b|ungültig/],
  ['table', /func|funk|\bfc\b|f\.? ?code|(register|object) ?(type|kind|area)|typ.* regist|\btable\b|memory area/],
  ['access', /access|zugriff|accès|r ?[/|] ?w|read ?[/|]? ?write|permission|attribut|rights|schreib|\brw\b|writ/],
  ['unit', /(scal|factor|faktor|resolution).*(unit|einheit)|(unit|einheit).*(scal|factor|faktor|resolution)/],
  ['divisor', /divis|divid|gain|teiler/],
  ['scale', /scal|factor|faktor|facteur|fattore|multipl|resolution|auflösung|skalier|coeff/],
  ['unit', /\bunits?\b|\buom\b|einheit|unité|eenheid|unidad|unità/],
  ['order', /order|endian|reihenfolge|swap/],
  [
    'length',
    /length|länge|size|\bcount\b|words|(number|no\.?|nr\.?|qty|quantity|anzahl|nombre) ?(of|der|de)? ?(reg|word)|^anzahl|^qty|longueur/,
  ],
  ['name', /name|bezeichnung|désignation|signal|parameter|variable|\btag\b|\bpoint|messwert|nom\b|nombre\b/],
  ['label', /descr|beschreib|omschr|meaning of|item name|content|object|label|title|quantity|measur|definition/],
  ['type', /type|\btyp\b|format|encoding|datentyp|tipo/],
  ['end', /(end|last|stop|bis)\b.*(addr|adr|reg)|(addr|adr|reg).*\b(end|last|stop|bis)\b|^(end|to|bis)$/],
  ['address', /addr|adr|direc|indir|regist|\breg\b|offset|^hex|^dec|^item|^no\.?$|^nr\.?$|^#$|^start$|^from$/],
  ['bit', /^bit/],
  ['min', /^min/],
  ['max', /^max/],
  ['range', /range|bereich|limits|plage|scope/],
  ['values', /value|enum|options|meaning|bedeutung|werte|states|coding|codes/],
  ['remark', /remark|note|comment|bemerk|hinweis|explan|info|kommentar/],
];

/** The columns of a table. */
export interface Columns {
  /** Column of each role. */
  readonly at: ReadonlyMap<Role, number>;
  /** The table that the header of the addresses names: `Holding register`. */
  readonly table: Table | undefined;
  /** The address column holds hexadecimal numbers without a prefix. */
  readonly hexAddresses: boolean;
  /** Lengths are divided by this: 2 where they are bytes, 16 for bits. `undefined` when the header does not say it. */
  readonly lengthsPerRegister: 2 | 16 | undefined;
  /** Its header says that registers are counted from 1. */
  readonly countsFromOne: boolean;
  /** Headers of columns whose meaning is not known. */
  readonly unused: readonly string[];
}

/** Reads a header. `undefined` when the row is none: it names no address, or nothing beside it. */
export function readHeader(header: Row, below: readonly Row[]): Columns | undefined {
  const titles = header.cells.map((title) => title.toLowerCase().replaceAll(/[\s_]+/g, ' '));
  if (titles.some((title) => /^(0x)?\d+$/.test(title))) return undefined;
  const roles = titles.map((title, column) =>
    roleOf(
      title,
      below.map(({ cells }) => cells[column] ?? ''),
    ),
  );
  const address = bestAddress(titles, roles);
  const others = roles.filter((role) => role !== undefined && role !== 'ignored' && role !== 'address');
  if (address === undefined || !others.some((role) => role === 'name' || role === 'label' || role === 'type')) {
    return undefined;
  }
  const at = new Map<Role, number>([['address', address]]);
  roles.forEach((role, column) => {
    if (role !== undefined && role !== 'ignored' && !at.has(role)) at.set(role, column);
  });
  nameByLabel(at, roles);
  const used = new Set(at.values());
  const length = titles[at.get('length') ?? -1] ?? '';
  const isUnused = (column: number) => titles[column] !== '' && roles[column] !== 'ignored' && !used.has(column);
  return {
    at,
    table: tableOf(titles[address] ?? '')?.table,
    hexAddresses: /hex/.test(titles[address] ?? '') || looksHex(below.map(({ cells }) => cells[address] ?? '')),
    lengthsPerRegister: /byte/.test(length) ? 2 : /\bbits?\b/.test(length) ? 16 : undefined,
    countsFromOne: /(1|one)[- ]based|(from|at|ab) 1\b/.test(titles[address] ?? ''),
    unused: header.cells.filter((_title, column) => isUnused(column) && roles[column] !== 'address'),
  };
}

function roleOf(title: string, cells: readonly string[]): Role | 'ignored' | undefined {
  if (title === '') return undefined;
  const [role] = HEADERS.find(([, words]) => words.test(title)) ?? [];
  if (/quantity|qty/.test(title) && cells.every((cell) => /^\d{0,3}$/.test(cell))) return 'length';
  if (role !== 'table') return role;
  // `Function` may be a function code, or what the register does.
  const filled = cells.filter((cell) => cell !== '');
  const codes = filled.filter((cell) => tableOf(cell) !== undefined);
  if (filled.length === 0 || codes.length * 2 >= filled.length) return 'table';
  return /type/.test(title) ? 'type' : 'label';
}

/** Of several columns of addresses, the one as on the wire: hexadecimal ones mostly are. */
function bestAddress(titles: readonly string[], roles: readonly (string | undefined)[]): number | undefined {
  const rank = (column: number) => {
    const title = titles[column] ?? '';
    return [/protocol|wire|pdu/, /hex/, /addr|adr/, /regist|reg\b/, /./].findIndex((words) => words.test(title));
  };
  const columns = roles.flatMap((role, column) => (role === 'address' ? [column] : []));
  return columns.sort((a, b) => rank(a) - rank(b))[0];
}

/** Without a name the description names a register. A second column of names is the description. */
function nameByLabel(at: Map<Role, number>, roles: readonly (string | undefined)[]): void {
  const label = at.get('label');
  const names = roles.flatMap((role, column) => (role === 'name' ? [column] : []));
  if (!at.has('name') && label !== undefined) {
    at.set('name', label);
    at.delete('label');
  } else if (label === undefined && names[1] !== undefined) at.set('label', names[1]);
}

function looksHex(cells: readonly string[]): boolean {
  const filled = cells.filter((cell) => cell !== '');
  return filled.every((cell) => /^[\da-f]{1,4}$/i.test(cell)) && filled.some((cell) => /[a-f]/i.test(cell));
}
