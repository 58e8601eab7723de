import type { Board } from './board.ts';

/** One position of a connector in a drawing. */
export interface HeaderCell {
  readonly position: number;
  readonly kind: 'power' | 'ground' | 'line' | 'other';
  /** `GPIO17`, `3V3`, `GND`. */
  readonly name: string;
  /** Other names of the line, without its positions. */
  readonly aliases: readonly string[];
  /** The enabled bus that uses the line. */
  readonly bus?: string;
  /** The user's pin on the line. */
  readonly use?: string;
}

export interface HeaderLayout {
  readonly title: string;
  readonly connector: string;
  /** Rows as on the board, of one or two cells. */
  readonly rows: readonly (readonly HeaderCell[])[];
}

/** The use of a board: names of pins by `<chip label>:<line>`, and the enabled buses. */
export interface HeaderUse {
  readonly lines: ReadonlyMap<string, string>;
  readonly buses: readonly string[];
}

/** Lays out the connectors of a board as rows of cells, for the terminal and the web page to draw. */
export function layOutHeaders(board: Board, use: HeaderUse = { lines: new Map(), buses: [] }): HeaderLayout[] {
  return board.headers.map((header) => {
    const [connector = ''] = header.connectors;
    const cells = Object.keys(header.positions)
      .map(Number)
      .sort((a, b) => a - b)
      .map((position) => cellOf(board, connector, position, header.positions[position], use));
    const rows: HeaderCell[][] = [];
    for (let index = 0; index < cells.length; index += header.columns) {
      rows.push(cells.slice(index, index + header.columns));
    }
    return { title: header.title, connector, rows };
  });
}

function cellOf(
  board: Board,
  connector: string,
  position: number,
  data: Board['headers'][number]['positions'][string] | undefined,
  use: HeaderUse,
): HeaderCell {
  if (data === undefined) return { position, kind: 'other', name: '', aliases: [] };
  if ('power' in data) return { position, kind: 'power', name: data.power, aliases: [] };
  if ('ground' in data) return { position, kind: 'ground', name: 'GND', aliases: [] };
  if ('other' in data) return { position, kind: 'other', name: data.other, aliases: [] };
  const alias = `${connector}-${position}`;
  const line = board.resolve(alias);
  if (line === undefined) return { position, kind: 'other', name: alias, aliases: [] };
  const [name = alias] = board.aliasesOf(line.chip, line.line);
  const bus = board.reservedBy(line.chip, line.line, use.buses);
  const text = use.lines.get(`${line.chip}:${line.line}`);
  return {
    position,
    kind: 'line',
    name,
    aliases: data.aliases.filter((other) => other !== name),
    ...(bus === undefined ? {} : { bus }),
    ...(text === undefined ? {} : { use: text }),
  };
}
