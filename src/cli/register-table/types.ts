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
  /unsigned|\buint|^u_?\d|^u_?(word|dword|qword|short|int|long|char|byte)|usint|udint|ulint|ushort|ulong|\b[dql]?word|bitfield|bitmap|enum|acc\d|int\d+u|\bhex|\bbyte|flags?\b/;
const SIGNED = /signed|\bint|\bs_?int|^s_?\d|^i\d|^s_?[dq]?word|short|long|sint|dint|lint|int\d+s|sunssf|^int/;
const BITS_BY_WORD: readonly (readonly [number, RegExp])[] = [
  [64, /qword|lword|lint|long ?long|double ?long/],
  [32, /dword|double ?word|dint|long|double ?int/],
  [8, /byte|char|sint/],
];

/**
 * Reads a type as manuals write it: U16, UINT32, signed 16 bit, S_DWORD_R, FLOAT (CDAB), DINT, STRING(16). `length`: the
 * number of registers that the table gives. `undefined` when it is not known, or contradicts the length.
 */
export function typeOf(cell: string, length: number | undefined, orderCell: string): TypeCell | undefined {
  const text = cell.toLowerCase().replaceAll(/\s+/g, ' ').trim();
  const order = orderOf(`${text} ${orderCell.toLowerCase()}`);
  if (order === 'unknown') return undefined;
  if (/\bstr|ascii|char ?[[(]|utf|^text|^char\d/.test(text)) return stringType(text, length);
  if (/bool|^bits?$|^coil|^binary|^discrete/.test(text)) return { type: 'bool', registers: 1 };
  return numberType(text, length, order);
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
  const family = UNSIGNED.test(text) ? 'uint' : SIGNED.test(text) ? 'int' : undefined;
  if (family === undefined) return undefined;
  const bits = named || (BITS_BY_WORD.find(([, words]) => words.test(text))?.[0] ?? bitsOf(length, 16));
  // A byte lies in the low half of its register.
  if (bits === 8) return { type: family === 'uint' ? 'uint16' : 'int8', registers: 1 };
  return number(family, bits, length, order);
}

/** The number of bits that the name of a type states: of `UINT32`, 32. */
export function bitsIn(cell: string): number | undefined {
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

/** The order of the words. `unknown` for `little endian`, which means two different orders. */
function orderOf(text: string): string | undefined {
  const stated = /\b(abcd|cdab|badc|dcba)\b/.exec(text)?.[1];
  if (stated !== undefined) return stated === 'abcd' ? undefined : stated.toUpperCase();
  if (/byte.?swap/.test(text)) return 'BADC';
  if (/low (word|register) first|lsw|word.?swap|swapped|_r$|_r\b|\breverse/.test(text)) return 'CDAB';
  return /little/.test(text) ? 'unknown' : undefined;
}
