import { readFileSync } from 'node:fs';
import type { Board } from '../board/board.ts';
import { detectBoard } from '../board/detect.ts';
import { type Hat, listHats, loadHat } from '../board/hat.ts';
import { listBoards, loadBoard } from '../board/load-board.ts';
import type { BoardLine } from '../driver/placement.ts';
import { messageOf } from '../errors/errors.ts';
import { type ConfigContext, thisMachine } from './context.ts';
import { parseLocated } from './document.ts';
import { descend, entriesOf, isEmpty, type Located } from './located.ts';
import { Problems } from './problems.ts';
import { boardSchema, hatsSchema } from './schema.ts';
import { reportUnknownName, validate } from './validation.ts';

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
  const checked = given ? validate(boardSchema, located, problems) : { value: 'auto' };
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

/** What the HATs on a computer say about one of its lines. */
export interface WiredLine {
  readonly hat: string;
  readonly alias: string;
  readonly keys: ReadonlyMap<string, Located>;
}

/** A computer with its HATs. */
export interface BoardWithHats extends ChosenBoard {
  readonly lines: ReadonlyMap<string, WiredLine>;
}

/** Reads `hats:`. Their lines get names, and pins on these lines the keys that follow from the wiring. */
export function readHats(
  located: Located | undefined,
  chosen: ChosenBoard,
  context: ConfigContext,
  problems: Problems,
): BoardWithHats {
  const lines = new Map<string, WiredLine>();
  const given = located !== undefined && !isEmpty(located) && validate(hatsSchema, located, problems) !== undefined;
  if (!given || located.node.kind !== 'list') return { ...chosen, lines };
  let { board } = chosen;
  const enabled = new Set(chosen.enabled);
  for (const item of located.node.items) {
    const name = item.node.kind === 'scalar' ? String(item.node.value) : '';
    const hat = loadHat(name, context.dataFolder);
    if (hat === undefined) reportUnknownName(item, 'HAT', listHats(context.dataFolder), problems);
    if (hat === undefined || board === undefined) continue;
    const fitted = fitHat(hat, board, item, lines, problems);
    if (fitted === undefined) continue;
    board = fitted;
    for (const bus of hat.needs) {
      if (chosen.enabledKnown && !chosen.enabled.includes(bus)) {
        problems.warning(item.at, item.path, `${name} needs ${bus}, which is not enabled on this computer`);
      }
      enabled.add(bus);
    }
  }
  return { ...chosen, board, enabled: [...enabled], lines };
}

function fitHat(
  hat: Hat,
  board: Board,
  item: Located,
  lines: Map<string, WiredLine>,
  problems: Problems,
): Board | undefined {
  try {
    const fitted = board.withHat(hat);
    for (const [alias, { at }] of Object.entries(hat.lines)) {
      const line = fitted.resolve(alias);
      if (line === undefined) continue;
      const other = lines.get(lineKey(line));
      if (other)
        problems.invalid(item, `${hat.name} and ${other.hat} both use ${at}`, { expected: 'HATs that fit together' });
      else lines.set(lineKey(line), { hat: hat.name, alias, keys: wiringKeys(hat, alias) });
    }
    return fitted;
  } catch (error) {
    problems.invalid(item, messageOf(error), { expected: 'a HAT that fits the board' });
    return undefined;
  }
}

function wiringKeys(hat: Hat, alias: string): ReadonlyMap<string, Located> {
  // The data is checked already; it is read again because a wrong key must be shown where it stands.
  const root = parseLocated(readFileSync(hat.file, 'utf8'), hat.file, new Problems());
  return root ? entriesOf(descend(root, ['lines', alias, 'keys']).located) : new Map();
}

export function lineKey({ chip, line }: BoardLine): string {
  return `${chip}:${line}`;
}
