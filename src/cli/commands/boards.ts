import { existsSync } from 'node:fs';
import type { Colors } from 'picocolors/types.js';
import type { Board } from '../../board/board.ts';
import type { HeaderCell, HeaderLayout } from '../../board/header-layout.ts';
import { closestMatch } from '../../config/closest-match.ts';
import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { configOption, jsonOption } from '../options.ts';
import { colour, printJson, printLine, printNote, table } from '../output.ts';

interface ShowOptions {
  readonly config?: string;
  readonly json?: boolean;
}

/** Adds `boards list`, `boards show` and `boards hats`. */
export function addBoards(cli: CliCommand): void {
  const boards = cli.command('boards').description('list and draw the boards this version knows');
  boards
    .command('list', { isDefault: true })
    .default()
    .description('list the boards')
    .addOption(jsonOption())
    .examples('dcs-io boards list')
    .action(list);
  boards
    .command('show')
    .description('draw the headers of a board (default: this computer), with the lines in use')
    .argument('[board]')
    .addOption(configOption('draw in the pins of a configuration'))
    .addOption(jsonOption())
    .examples('dcs-io boards show raspberry-pi-4b', 'dcs-io boards show -c dcs-io.yaml')
    .action(show);
  boards
    .command('hats')
    .description('list the boards that can be put on a header')
    .addOption(jsonOption())
    .examples('dcs-io boards hats')
    .action(hats);
}

/** Lists the boards and marks the one this program runs on. */
async function list(options: { readonly json?: boolean }): Promise<void> {
  const { detectBoard } = await import('../../board/detect.ts');
  const { listBoards, loadBoard } = await import('../../board/load-board.ts');
  const here = detectBoard()?.name;
  const boards = listBoards().flatMap((name) => loadBoard(name) ?? []);
  if (options.json) {
    for (const { name, title, chips } of boards)
      printJson({ name, title, chips: Object.keys(chips), here: name === here });
    return;
  }
  const rows = boards.map(({ name, title, chips }) => {
    const labels = Object.values(chips).map(({ label }) => label);
    return [name === here ? colour.green(name) : name, title, labels.join(', ')];
  });
  printLine(table(['BOARD', 'WHAT IT IS', 'CHIPS'], rows));
  if (here !== undefined) printNote(`this computer: ${here}`);
}

async function hats(options: { readonly json?: boolean }): Promise<void> {
  const { listHats, loadHat } = await import('../../board/load-board.ts');
  const found = listHats().flatMap((name) => loadHat(name) ?? []);
  if (options.json) {
    for (const { name, title, needs, lines } of found) printJson({ name, title, needs, lines: Object.keys(lines) });
    return;
  }
  const rows = found.map(({ name, title, needs, lines }) => [
    name,
    title,
    needs.join(', '),
    Object.keys(lines).join(' '),
  ]);
  printLine(table(['HAT', 'WHAT IT IS', 'NEEDS', 'LINES'], rows));
}

/** Draws the headers of the board named, of the configuration's, or of this computer's, with pins and enabled buses. */
async function show(name: string | undefined, options: ShowOptions): Promise<void> {
  const { detectBoard } = await import('../../board/detect.ts');
  const { layOutHeaders } = await import('../../board/header-layout.ts');
  const { headerView } = await import('./boards.ts');
  const { linesInUse } = await import('../../config/resolved.ts');
  const config = options.config === undefined ? undefined : await readCorrectConfig(options.config);
  const board = await findBoard(name ?? config?.board);
  const here = detectBoard()?.name === board.name ? board.enabledBuses(existsSync) : [];
  const buses = config?.board === board.name ? (config.enabledBuses ?? here) : here;
  const lines = config === undefined ? new Map<string, string>() : linesInUse(config);
  const headers = layOutHeaders(board, { lines, buses });
  if (options.json) {
    const { title, chips, serial } = board;
    printJson({ name: board.name, title, chips, serial, pwm: board.pwmLines(), buses, headers });
    return;
  }
  printLine(`${colour.bold(board.title)}  ${colour.dim(board.name)}`);
  for (const { label, lines: count } of Object.values(board.chips)) printLine(`chip    ${label} (${count} lines)`);
  for (const { path, title } of board.serial) printLine(`serial  ${path}  ${colour.dim(title)}`);
  const pwmLines = board.pwmLines();
  if (pwmLines.length > 0)
    printLine(`pwm     ${pwmLines.join(' ')}  ${colour.dim('by the kernel, once an overlay connects them')}`);
  for (const header of headers) printLine(`\n${headerView(header, colour)}`);
}

async function findBoard(name: string | undefined): Promise<Board> {
  const { detectBoard } = await import('../../board/detect.ts');
  const { listBoards, loadBoard } = await import('../../board/load-board.ts');
  const board = name === undefined ? detectBoard() : loadBoard(name);
  if (board) return board;
  if (name === undefined) {
    const hint = 'name one: dcs-io boards lists them';
    throw new CliError(exitCodes.wrongUse, 'this computer is no board dcs-io knows', hint);
  }
  const near = closestMatch(name, listBoards());
  const hint = near === undefined ? 'dcs-io boards lists them' : `did you mean ${near}?`;
  throw new CliError(exitCodes.wrongUse, `there is no board ${name}`, hint);
}

/** Refuses a file with mistakes: half a drawing would look like a whole one. */
async function readCorrectConfig(file: string) {
  const { loadFile } = await import('../config-file.ts');
  const loaded = await loadFile(file);
  if (loaded.ok) return loaded.config;
  throw new CliError(exitCodes.wrongUse, `${file} has mistakes`, `dcs-io check -c ${file} lists them`);
}

/** Text and colour of a part of a cell; the width of a column counts only the text. */
interface Part {
  readonly text: string;
  readonly paint: (text: string) => string;
}

const COLUMNS = ['use', 'aliases', 'name', 'position'] as const;
type Column = (typeof COLUMNS)[number];

/**
 * Draws a connector as it lies on the board: positions in the middle, names beside them, uses at the outside. Columns are
 * aligned with and without colour.
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
  // The left side mirrors the right one; numbers are always aligned to the right.
  const cells = COLUMNS.filter((column) => widths[column] > 0).map((column) => {
    const { text, paint } = parts[column];
    const space = ' '.repeat(widths[column] - [...text].length);
    const painted = text === '' ? '' : paint(text);
    return side === 'left' || column === 'position' ? space + painted : painted + space;
  });
  return (side === 'left' ? cells : cells.reverse()).join('  ');
}
