import { readFileSync } from 'node:fs';
import type { Board, BoardLine } from '../board/board.ts';
import { type Hat, listHats, loadHat } from '../board/hat.ts';
import { messageOf } from '../errors/errors.ts';
import type { ChosenBoard } from './board-section.ts';
import type { ConfigContext } from './context.ts';
import { parseLocated } from './document.ts';
import { descend, entriesOf, type Located, textOf } from './located.ts';
import type { PinDraft } from './pin-draft.ts';
import { lineOn } from './pin-place.ts';
import type { Ports } from './port-section.ts';
import { Problems } from './problems.ts';
import { hatsSchema } from './schema.ts';
import { check, reportUnknownName } from './schema-issues.ts';
import { isEmpty } from './section.ts';

/** What the HATs on a computer say about one of its lines. */
interface HatLine {
  readonly hat: string;
  readonly alias: string;
  readonly keys: ReadonlyMap<string, Located>;
}

/** A computer with its HATs. */
export interface HattedBoard extends ChosenBoard {
  readonly lines: ReadonlyMap<string, HatLine>;
}

/** Reads `hats:`. Their lines get names, and pins on these lines the keys that follow from the wiring. */
export function putOnHats(
  located: Located | undefined,
  chosen: ChosenBoard,
  context: ConfigContext,
  problems: Problems,
): HattedBoard {
  const lines = new Map<string, HatLine>();
  const given = located !== undefined && !isEmpty(located) && check(hatsSchema, located, problems) !== undefined;
  if (!given || located.node.kind !== 'list') return { ...chosen, lines };
  let { board } = chosen;
  const enabled = new Set(chosen.enabled);
  for (const item of located.node.items) {
    const name = item.node.kind === 'scalar' ? String(item.node.value) : '';
    const hat = loadHat(name, context.dataFolder);
    if (hat === undefined) reportUnknownName(item, 'HAT', listHats(context.dataFolder), problems);
    if (hat === undefined || board === undefined) continue;
    const fitted = tryOn(hat, board, item, lines, problems);
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

function tryOn(
  hat: Hat,
  board: Board,
  item: Located,
  lines: Map<string, HatLine>,
  problems: Problems,
): Board | undefined {
  try {
    const fitted = board.withHat(hat);
    for (const [alias, { at }] of Object.entries(hat.lines)) {
      const line = fitted.resolve(alias);
      if (line === undefined) continue;
      const other = lines.get(keyOf(line));
      if (other)
        problems.wrong(item, `${hat.name} and ${other.hat} both use ${at}`, { expected: 'HATs that fit together' });
      else lines.set(keyOf(line), { hat: hat.name, alias, keys: wiringKeys(hat, alias) });
    }
    return fitted;
  } catch (error) {
    problems.wrong(item, messageOf(error), { expected: 'a HAT that fits the board' });
    return undefined;
  }
}

/** The pin with what its line's HAT says beneath its own keys. A direction against the wiring is an error. */
export function withWiring(draft: PinDraft, { board, lines }: HattedBoard, ports: Ports, problems: Problems): PinDraft {
  const own = entriesOf(draft.located);
  const gpio = own.get('gpio') ?? draft.inherited.get('gpio');
  const named = own.get('port') ?? draft.inherited.get('port');
  if (gpio?.node.kind !== 'scalar') return draft;
  const port = ports.get(textOf(named) ?? '');
  const line = named === undefined ? board?.resolve(String(gpio.node.value)) : port && lineOn(port, gpio, board);
  const wiring = line && lines.get(keyOf(line));
  if (wiring === undefined) return draft;
  const direction = own.get('direction');
  const wired = wiring.keys.get('direction');
  if (direction?.node.kind === 'scalar' && wired?.node.kind === 'scalar' && direction.node.value !== wired.node.value) {
    problems.wrong(direction, `${wiring.alias} of ${wiring.hat} is wired the other way`, {
      expected: `direction: ${wired.node.value}`,
    });
  }
  return { ...draft, inherited: new Map([...wiring.keys, ...draft.inherited]) };
}

function wiringKeys(hat: Hat, alias: string): ReadonlyMap<string, Located> {
  // The data is checked already; it is read again because a wrong key must be shown where it stands.
  const root = parseLocated(readFileSync(hat.file, 'utf8'), hat.file, new Problems());
  return root ? entriesOf(descend(root, ['lines', alias, 'keys']).located) : new Map();
}

function keyOf({ chip, line }: BoardLine): string {
  return `${chip}:${line}`;
}
