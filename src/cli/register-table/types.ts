/** A type of value, and how many registers it takes. */
export interface TypeCell {
  /** A `type` of the driver; `bool` for one bit. */
  readonly type: string;
  readonly registers: number;
  readonly order?: string;
  /** Strings: number of characters. */
  readonly length?: number;
}

const UNSIGNED =
  /unsigned|\buint|^ui?_?\d|^u_?(word|dword|qword|short|int|long|char|byte)|usint|udint|ulint|ushort|ulong|\b[dql]?word|bitfield|bitmap|enum|acc\d|int\d+u|\bhex|\bbyte|flags?\b/;
const SIGNED = /signed|\bint|\bs_?int|^s_?\d|^i\d|^s_?[dq]?word|short|long|sint|dint|lint|int\d+s|sunssf|^int/;
const BITS_BY_WORD: readonly (readonly [number, RegExp])[] = [
  [64, /qword|lword|lint|long ?long|double ?long/],
  [32, /dword|double ?word|dint|long|double ?int/],
  [8, /byte|char|sint/],
];

/** Words that may stand in the name of a type. Any other may change its meaning, so the type is not clear then. */
const KNOWN =
  /^(unsigned|signed|u|s|i|ui|uint|sint|usint|int|integer|udint|dint|ulint|lint|word|words|dword|qword|lword|double|short|ushort|long|ulong|byte|bytes|char|float|real|lreal|single|ieee|precision|fp|f|bit|bits|bitfield|bitmap|enum|acc|hex|flag|flags|bcd|sunssf|t|type|number|register|registers|format|point|floating|ganzzahl|vorzeichenlos|vorzeichen|mit|ohne)$/;

/**
 * Reads a type as manuals write it: U16, UINT32, signed 16 bit, S_DWORD_R, FLOAT (CDAB), DINT, STRING(16). `length`: the
 * number of registers that the table gives. `undefined` when it is not known, contradicts the length, or has another word.
 */
export function typeOf(cell: string, length: number | undefined, orderCell: string): TypeCell | undefined {
  const written = cell
    .toLowerCase()
    .replaceAll('vorzeichenlos', 'unsigned')
    .replaceAll('ganzzahl', 'int')
    .replaceAll(/\s+/g, ' ')
    .trim();
  const order = orderOf(`${written} ${orderCell.toLowerCase()}`);
  if (order === 'unknown') return undefined;
  if (/\bstr|ascii|char ?[[(]|utf|^text|^char\d/.test(written)) return stringType(written, length);
  if (/bool|^bits?$|^coil|^binary|^discrete/.test(written)) return { type: 'bool', registers: 1 };
  const text = ORDERS.reduce((rest, [, words]) => rest.replace(words, ' '), written).trim();
  const words = text.match(/[a-z]+/g) ?? [];
  return words.every((word) => KNOWN.test(word)) ? numberType(text, length, order) : undefined;
}

function numberType(text: string, length: number | undefined, order: string | undefined): TypeCell | undefined {
  const named = bitsIn(text) ?? 0;
  if (/float|real|ieee|single|\bfp ?\d|^f\d|double(?! ?(word|int|long))/.test(text)) {
    const bits = named || (/double|lreal/.test(text) ? 64 : Math.max(32, bitsOf(length, 32)));
    return number('float', bits, length, order);
  }
  if (/bcd/.test(text)) return number('bcd', named || bitsOf(length, 16), length, order);
  return wholeType(text, named, length, order);
}

function wholeType(
  text: string,
  named: number,
  length: number | undefined,
  order: string | undefined,
): TypeCell | undefined {
  // The length in `4 byte integer` says nothing about a sign.
  const kind = text.replace(/\d[ -]?(bytes?|words?|reg(ister)?s?)\b/, '').trim();
  const family = UNSIGNED.test(kind) ? 'uint' : SIGNED.test(kind) ? 'int' : undefined;
  if (family === undefined) return undefined;
  const bits = named || (BITS_BY_WORD.find(([, words]) => words.test(text))?.[0] ?? bitsOf(length, 16));
  // A byte lies in the low half of its register.
  if (bits === 8) return { type: `${family}8`, registers: 1 };
  return number(family, bits, length, order);
}

/** The number of bits that the name of a type states: of `UINT32` and `4 byte integer`, 32. */
export function bitsIn(cell: string): number | undefined {
  const [, number, unit] = /(?<!\d)(\d)[ -]?(byte|word|reg)/i.exec(cell) ?? [];
  if (number !== undefined) return Number(number) * (/byte/i.test(unit ?? '') ? 8 : 16);
  const bits = /(?<!\d)(8|16|24|32|48|64)(?!\d)/.exec(cell)?.[1];
  return bits === undefined ? undefined : Number(bits);
}

function bitsOf(length: number | undefined, otherwise: number): number {
  return length === undefined ? otherwise : 16 * length;
}

/** The type of a number. `undefined` when the table gives it another length. */
function number(
  family: string,
  bits: number,
  length: number | undefined,
  order: string | undefined,
): TypeCell | undefined {
  const registers = bits / 16;
  if (length !== undefined && length !== registers) return undefined;
  return { type: `${family}${bits}`, registers, ...(order !== undefined && bits > 16 && { order }) };
}

function stringType(text: string, length: number | undefined): TypeCell | undefined {
  const stated = Number(/(?:[[( ]|str(?:ing)?|char)(\d+)/.exec(text)?.[1] ?? 0);
  const characters = stated || 2 * (length ?? 0);
  if (characters === 0) return undefined;
  return { type: 'string', registers: Math.ceil(characters / 2), length: characters };
}

/** Orders of the bytes, as manuals say them. */
const ORDERS: readonly (readonly [string | undefined, RegExp])[] = [
  ['unknown', /little[ -]?endian|\ble\b/],
  [undefined, /\bab[ -]?cd\b|big[ -]?endian|\bbe\b|high (word|register|byte) first|\bmsw?b?( first)?\b|\bhi[ -]lo\b/],
  ['CDAB', /\bcd[ -]?ab\b|low (word|register) first|\blsw( first)?\b|\blo[ -]hi\b/],
  ['BADC', /\bba[ -]?dc\b|bytes?[ -]?swap(ped)?/],
  ['DCBA', /\bdc[ -]?ba\b/],
  ['CDAB', /(words?[ -]?)?swap(ped)?\b|_r\b|\brevers(e|ed)\b/],
];

/** The order of the words. `unknown` for `little endian`, which means two different orders. */
function orderOf(text: string): string | undefined {
  return ORDERS.find(([, words]) => words.test(text))?.[0];
}
