import { existsSync } from 'node:fs';
import type { Board } from '../../board/board.ts';
import { detectBoard } from '../../board/detect.ts';
import { listHats, loadHat } from '../../board/hat.ts';
import { layOutHeaders } from '../../board/header-layout.ts';
import { listBoards, loadBoard } from '../../board/load-board.ts';
import { closestMatch } from '../../config/closest-match.ts';
import type { ResolvedConfig } from '../../config/resolved.ts';
import { linesInUse } from '../../config/resolved.ts';
import { loadFile } from '../config-file.ts';
import { CliError, exitCodes } from '../exit.ts';
import { headerView } from '../header-view.ts';
import { colour, printJson, printLine, printNote, table } from '../output.ts';

/** Lists the boards this version knows, and marks the one it runs on. */
export async function list(options: { readonly json?: boolean }): Promise<void> {
  const here = detectBoard()?.name;
  const boards = listBoards().flatMap((name) => loadBoard(name) ?? []);
  if (options.json) {
    for (const { name, title, chips } of boards)
      printJson({ name, title, chips: Object.keys(chips), here: name === here });
    return;
  }
  const rows = boards.map(({ name, title, chips }) => [
    name === here ? colour.green(name) : name,
    title,
    Object.values(chips)
      .map(({ label }) => label)
      .join(', '),
  ]);
  printLine(table(['BOARD', 'WHAT IT IS', 'CHIPS'], rows));
  if (here !== undefined) printNote(`this computer: ${here}`);
}

/** Lists the boards that can be put on a header. */
export async function hats(options: { readonly json?: boolean }): Promise<void> {
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

export interface ShowOptions {
  readonly config?: string;
  readonly json?: boolean;
}

/**
 * Draws the headers of a board: the one named, that of the configuration, or this computer's. The configuration's pins
 * are drawn in, and the buses that are enabled.
 */
export async function show(name: string | undefined, options: ShowOptions): Promise<void> {
  const config = options.config === undefined ? undefined : await readPlan(options.config);
  const board = boardOf(name ?? config?.board);
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
  const waves = board.pwmLines();
  if (waves.length > 0)
    printLine(`pwm     ${waves.join(' ')}  ${colour.dim('by the kernel, once they are connected to it')}`);
  for (const header of headers) printLine(`\n${headerView(header, colour)}`);
}

function boardOf(name: string | undefined): Board {
  const board = name === undefined ? detectBoard() : loadBoard(name);
  if (board) return board;
  if (name === undefined) {
    throw new CliError(
      exitCodes.wrongUse,
      'this computer is no board dcs-io knows',
      'name one: dcs-io boards lists them',
    );
  }
  const near = closestMatch(name, listBoards());
  const hint = near === undefined ? 'dcs-io boards lists them' : `did you mean ${near}?`;
  throw new CliError(exitCodes.wrongUse, `there is no board ${name}`, hint);
}

/** A file with mistakes is not drawn: half a picture would look like a whole one. */
async function readPlan(file: string): Promise<ResolvedConfig> {
  const loaded = await loadFile(file, false);
  if (loaded.ok) return loaded.config;
  throw new CliError(exitCodes.wrongUse, `${file} has mistakes`, `dcs-io check -c ${file} tells them`);
}
