import type { Colors } from 'picocolors/types.js';
import type { HeaderCell, HeaderLayout } from '../board/header-layout.ts';

/** The parts of a cell, from the outside in, with their colours apart from their width. */
interface Part {
  readonly text: string;
  readonly paint: (text: string) => string;
}

const COLUMNS = ['use', 'aliases', 'name', 'position'] as const;
type Column = (typeof COLUMNS)[number];

/**
 * A connector as it lies on the board: positions in the middle, names beside them, what is in use at the outside. The
 * columns are aligned with and without colour.
 */
export function headerView(drawing: HeaderLayout, colour: Colors): string {
  const sides = [0, 1].map((side) => drawing.rows.map((row) => row[side]).map((cell) => partsOf(cell, colour)));
  const [left = [], right = []] = sides;
  const widths = [left, right].map((side) => widthsOf(side));
  const lines = drawing.rows.map((row, index) => {
    const leftText = paintSide(left[index], widths[0], 'left');
    if (row.length < 2 && right.every((parts) => parts.name.text === '')) return leftText;
    return `${leftText} │ ${paintSide(right[index], widths[1], 'right')}`.trimEnd();
  });
  const head = `${colour.bold(drawing.connector)}  ${drawing.title}`;
  return [head, '', ...lines].join('\n');
}

function partsOf(cell: HeaderCell | undefined, colour: Colors): Record<Column, Part> {
  const plain = (text: string) => text;
  if (cell === undefined) {
    const empty = { text: '', paint: plain };
    return { use: empty, aliases: empty, name: empty, position: empty };
  }
  const { kind, use, bus } = cell;
  const name = kind === 'power' ? colour.red : kind === 'ground' || kind === 'other' ? colour.dim : plain;
  return {
    use: { text: use ?? bus ?? '', paint: use !== undefined ? colour.green : colour.yellow },
    aliases: { text: cell.aliases.join(' '), paint: colour.dim },
    name: { text: cell.name, paint: use !== undefined ? colour.green : bus !== undefined ? colour.yellow : name },
    position: { text: String(cell.position), paint: colour.bold },
  };
}

function widthsOf(side: readonly Record<Column, Part>[]): Record<Column, number> {
  const widest = (column: Column) => Math.max(0, ...side.map((parts) => [...parts[column].text].length));
  return { use: widest('use'), aliases: widest('aliases'), name: widest('name'), position: widest('position') };
}

function paintSide(
  parts: Record<Column, Part> | undefined,
  widths: Record<Column, number> | undefined,
  side: 'left' | 'right',
): string {
  if (parts === undefined || widths === undefined) return '';
  // Positions are read from both sides towards the middle; numbers are always flush right.
  const cells = COLUMNS.filter((column) => widths[column] > 0).map((column) => {
    const { text, paint } = parts[column];
    const space = ' '.repeat(widths[column] - [...text].length);
    const painted = text === '' ? '' : paint(text);
    return side === 'left' || column === 'position' ? space + painted : painted + space;
  });
  return (side === 'left' ? cells : cells.reverse()).join('  ');
}
