import { readFileSync } from 'node:fs';
import type { Board } from '../board/board.ts';
import { detectBoard } from '../board/detect.ts';
import { type Hat, listBoards, listHats, loadBoard, loadHat } from '../board/load-board.ts';
import type { BoardLine } from '../driver/placement.ts';
import { messageOf } from '../errors/errors.ts';
import { type ConfigContext, thisMachine } from './context.ts';
import { parseLocated } from './document.ts';
import { descend, entriesOf, isEmpty, type Located } from './located.ts';
import { Problems } from './problems.ts';
import { boardSchema, hatsSchema } from './schema.ts';
import { reportUnknownName, validate } from './validation.ts';

/** The board that the configuration is for. */
export interface ChosenBoard {
  /** `undefined` when the configuration names none and this machine is no known board. */
  readonly name: string | undefined;
  /**
   * The names of its lines. Without a known board it takes only `<chip>:<line>`. `undefined` when the configuration names a
   * board that does not exist.
   */
  readonly board: Board | undefined;
  /** Buses that keep their lines for themselves. */
  readonly enabled: readonly string[];
  /** `enabled` is a fact: the configuration says it, or it was seen on this computer. */
  readonly enabledKnown: boolean;
  /** The board is this computer. */
  readonly here: boolean;
}

const UNKNOWN: ChosenBoard = { name: undefined, board: undefined, enabled: [], enabledKnown: false, here: false };

/** Reads `board:`; default: `auto`. */
export function chooseBoard(located: Located | undefined, context: ConfigContext, problems: Problems): ChosenBoard {
  const stated = readBoardKeys(located, problems);
  if (stated === undefined) return UNKNOWN;
  const { model, enabled } = stated;
  const machine = context.machine ?? thisMachine;
  const detected = model === 'none' ? undefined : detectBoard(machine.deviceTree(), context.dataFolder);
  const board = named(model, detected, context);
  if (board === undefined) {
    const known = ['auto', 'none', ...listBoards(context.dataFolder)];
    if (located) reportUnknownName(descend(located, ['model']).located, 'board', known, problems);
    return UNKNOWN;
  }
  if (located && enabled) checkEnabled(located, board, problems);
  // Only the computer itself shows which of its buses are enabled.
  const here = detected?.name === board.name;
  const seen = here ? board.enabledBuses((path) => machine.exists(path)) : [];
  const isAnonymous = model === 'none' || (model === 'auto' && board.name === 'linux');
  const name = isAnonymous ? undefined : board.name;
  return { name, board, enabled: enabled ?? seen, enabledKnown: enabled !== undefined || here, here };
}

/** `undefined` when `board:` is wrong, which has been reported. */
function readBoardKeys(
  located: Located | undefined,
  problems: Problems,
): { model: string; enabled?: readonly string[] | undefined } | undefined {
  if (located === undefined || isEmpty(located)) return { model: 'auto' };
  const checked = validate(boardSchema, located, problems);
  return typeof checked?.value === 'string' ? { model: checked.value } : checked?.value;
}

function named(model: string, detected: Board | undefined, context: ConfigContext): Board | undefined {
  const { dataFolder, mock = false } = context;
  if (model === 'none') return loadBoard('linux', dataFolder);
  if (model !== 'auto') return loadBoard(model, dataFolder);
  return detected ?? loadBoard(mock ? 'mock' : 'linux', dataFolder);
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

/** A line of the board that a HAT uses, and the pin keys that follow from its wiring. */
export interface WiredLine {
  readonly hat: string;
  readonly alias: string;
  readonly keys: ReadonlyMap<string, Located>;
}

/** A board with its HATs. */
export interface BoardWithHats extends ChosenBoard {
  readonly lines: ReadonlyMap<string, WiredLine>;
}

/** Reads `hats:`. A HAT names lines, gives pins on them the keys that follow from its wiring, and may need buses. */
export function readHats(
  located: Located | undefined,
  chosen: ChosenBoard,
  context: ConfigContext,
  problems: Problems,
): BoardWithHats {
  const lines = new Map<string, WiredLine>();
  let { board } = chosen;
  const enabled = new Set(chosen.enabled);
  for (const item of hatItems(located, problems)) {
    const name = item.node.kind === 'scalar' ? String(item.node.value) : '';
    const hat = loadHat(name, context.dataFolder);
    if (hat === undefined) reportUnknownName(item, 'HAT', listHats(context.dataFolder), problems);
    const fitted = hat && board && fitHat(hat, board, item, lines, problems);
    if (hat === undefined || fitted === undefined) continue;
    board = fitted;
    checkNeeds(hat, chosen, item, problems);
    for (const bus of hat.needs) enabled.add(bus);
  }
  return { ...chosen, board, enabled: [...enabled], lines };
}

function hatItems(located: Located | undefined, problems: Problems): readonly Located[] {
  if (located === undefined || isEmpty(located)) return [];
  const checked = validate(hatsSchema, located, problems);
  return checked && located.node.kind === 'list' ? located.node.items : [];
}

function checkNeeds({ name, needs }: Hat, chosen: ChosenBoard, item: Located, problems: Problems): void {
  if (!chosen.enabledKnown) return;
  for (const bus of needs.filter((needed) => !chosen.enabled.includes(needed))) {
    problems.warning(item.at, item.path, `${name} needs ${bus}, which is not enabled on this computer`);
  }
}

/** Puts a HAT on the board and notes its lines. `undefined` when it does not fit, which has been reported. */
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
  // The data has been checked. Reading it again gives each key its place, for errors about it.
  const root = parseLocated(readFileSync(hat.file, 'utf8'), hat.file, new Problems());
  return root ? entriesOf(descend(root, ['lines', alias, 'keys']).located) : new Map();
}

export function lineKey({ chip, line }: BoardLine): string {
  return `${chip}:${line}`;
}
