import type { Board } from '../board/board.ts';
import { detectBoard } from '../board/detect.ts';
import { listBoards, loadBoard } from '../board/load-board.ts';
import { type ConfigContext, thisMachine } from './context.ts';
import { descend, type Located } from './located.ts';
import type { Problems } from './problems.ts';
import { boardSchema } from './schema.ts';
import { check, reportUnknownName } from './schema-issues.ts';
import { isEmpty } from './section.ts';

/** What the file and the machine say about the computer. */
export interface ChosenBoard {
  /** Undefined: none was named and this machine is none we know. */
  readonly name: string | undefined;
  /** Names lines; without a known board one that takes `<chip>:<line>` only. Undefined: the file names a wrong one. */
  readonly board: Board | undefined;
  /** Buses that keep their lines for themselves. */
  readonly enabled: readonly string[];
  /** Whether `enabled` tells what is so: the file says it, or this is the computer. */
  readonly enabledKnown: boolean;
  /** This is the computer. */
  readonly here: boolean;
}

const UNKNOWN: ChosenBoard = { name: undefined, board: undefined, enabled: [], enabledKnown: false, here: false };

/** Reads `board:`. Absent: `auto`. */
export function chooseBoard(located: Located | undefined, context: ConfigContext, problems: Problems): ChosenBoard {
  const given = located !== undefined && !isEmpty(located);
  const checked = given ? check(boardSchema, located, problems) : { value: 'auto' };
  if (checked === undefined) return UNKNOWN;
  const { model = 'auto', enabled = undefined } =
    typeof checked.value === 'string' ? { model: checked.value } : checked.value;
  const machine = context.machine ?? thisMachine;
  const here = model === 'none' ? undefined : detectBoard(machine.deviceTree(), context.dataFolder);
  const board = named(model, here, context);
  if (board === undefined) {
    if (located) {
      const at = descend(located, ['model']);
      const known = ['auto', 'none', ...listBoards(context.dataFolder)];
      reportUnknownName(at.located, 'board', known, problems);
    }
    return UNKNOWN;
  }
  const name = model === 'none' || (model === 'auto' && board.name === 'linux') ? undefined : board.name;
  if (located && enabled) checkEnabled(located, board, problems);
  // Whether a bus is enabled can only be seen on the computer itself.
  const isHere = here?.name === board.name;
  const seen = isHere ? board.enabledBuses((path) => machine.exists(path)) : [];
  return { name, board, enabled: enabled ?? seen, enabledKnown: enabled !== undefined || isHere, here: isHere };
}

function named(model: string, here: Board | undefined, context: ConfigContext): Board | undefined {
  const { dataFolder, mock = false } = context;
  if (model === 'none') return loadBoard('linux', dataFolder);
  if (model !== 'auto') return loadBoard(model, dataFolder);
  return here ?? loadBoard(mock ? 'mock' : 'linux', dataFolder);
}

function checkEnabled(located: Located, board: Board, problems: Problems): void {
  const list = descend(located, ['enabled']);
  if (!list.whole || list.located.node.kind !== 'list') return;
  const known = board.buses.map((bus) => bus.name);
  for (const item of list.located.node.items) {
    if (item.node.kind === 'scalar' && known.includes(String(item.node.value))) continue;
    reportUnknownName(item, `bus of ${board.name}`, known, problems);
  }
}
