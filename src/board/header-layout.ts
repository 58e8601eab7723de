import type { Board } from './board.ts';

/** One place of a connector as it is drawn. */
export interface HeaderCell {
  readonly position: number;
  readonly kind: 'power' | 'ground' | 'line' | 'other';
  /** `GPIO17`, `3V3`, `GND`. */
  readonly name: string;
  /** Other names of the line, without its positions. */
  readonly aliases: readonly string[];
  /** The enabled bus that has the line. */
  readonly bus?: string;
  /** The user's pin on it. */
  readonly use?: string;
}

export interface HeaderLayout {
  readonly title: string;
  readonly connector: string;
  /** Rows as they lie on the board: one or two cells. */
  readonly rows: readonly (readonly HeaderCell[])[];
}

/** What of a board is in use: the text by `<chip label>:<line>`, and the enabled buses. */
export interface HeaderUse {
  readonly lines: ReadonlyMap<string, string>;
  readonly buses: readonly string[];
}

/** The connectors of a board as rows of cells; how they look is up to whoever prints them. */
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
