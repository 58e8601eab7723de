/** A line of a table: its cells, and its number in the file, from 1. */
export interface Row {
  readonly line: number;
  readonly cells: readonly string[];
}

/** Decodes a file as spreadsheets write it: UTF-8 or UTF-16 by its byte order mark, else UTF-8, else Windows-1252. */
export function decodeText(bytes: Uint8Array): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

/** The separator of a text: the one that occurs most often outside of quotes. */
export function separatorOf(text: string): string {
  const plain = text.replaceAll(/"[^"]*"/g, '');
  const count = (separator: string) => plain.split(separator).length;
  return [';', '\t', '|', ','].reduce((best, next) => (count(next) > count(best) ? next : best));
}

/** Splits a text into rows and cells (RFC 4180, with any separator): a cell in quotes may have separators and line breaks. */
export function readCsv(text: string, separator: string): Row[] {
  const lines = text.replaceAll('\r\n', '\n');
  const end = `[^\\n\\${separator}]*`;
  const pattern = new RegExp(` *"((?:[^"]|"")*)"${end}|${end}`, 'y');
  const rows: Row[] = [];
  let line = 1;
  let cells: string[] = [];
  for (let at = 0; at <= lines.length; at++) {
    pattern.lastIndex = at;
    const [all = '', quoted] = pattern.exec(lines) ?? [];
    cells.push((quoted?.replaceAll('""', '"') ?? all).trim());
    at += all.length;
    if (lines[at] === separator) continue;
    rows.push({ line, cells });
    line += cells.join('').split('\n').length;
    cells = [];
  }
  return rows.filter((row) => row.cells.some((cell) => cell !== ''));
}
