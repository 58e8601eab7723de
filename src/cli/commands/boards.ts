import { listBoards, loadBoard } from '../../board/load-board.ts';
import { printJson, printLine, table } from '../output.ts';

/** Lists the boards this version knows. */
export async function list(options: { readonly json?: boolean }): Promise<void> {
  const boards = listBoards().flatMap((name) => loadBoard(name) ?? []);
  if (options.json) {
    for (const { name, title, chips } of boards) printJson({ name, title, chips: Object.keys(chips) });
    return;
  }
  const rows = boards.map(({ name, title, chips }) => [name, title, Object.keys(chips).join(', ')]);
  printLine(table(['BOARD', 'WHAT IT IS', 'CHIPS'], rows));
}
