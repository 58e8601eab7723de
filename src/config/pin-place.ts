import type { Board } from '../board/board.ts';
import type { Driver } from '../driver/contract.ts';
import type { BoardLine, PinToPlace, PlacedKeys, Placement, PlacementAdvice } from '../driver/placement.ts';
import { type BoardWithHats, type ChosenBoard, lineKey, type WiredLine } from './board-sections.ts';
import { closestMatch } from './closest-match.ts';
import { type ConfigContext, thisMachine } from './context.ts';
import { callDriver } from './drivers-section.ts';
import { keysAt } from './json-schema.ts';
import { displayText, entriesOf, type Located, toPlain } from './located.ts';
import { impliedPort, type PortEntry, type Ports, standInPort } from './port-sections.ts';
import type { Problems } from './problems.ts';
import { pinKeys } from './schema.ts';
import { reportUnknownName } from './validation.ts';

/** A pin's port, and the pin's keys as that port's driver takes them. */
export interface PinPlace {
  readonly port: PortEntry;
  readonly keys: ReadonlyMap<string, Located>;
  /** The lines of the board that the pin uses. */
  readonly lines: readonly BoardLine[];
}

/** The parts of the configuration that a pin's place depends on. */
export interface PinScope {
  readonly ports: Ports;
  readonly board: BoardWithHats;
  readonly context: ConfigContext;
  readonly problems: Problems;
}

/**
 * Finds the port of a pin. Also returns all keys of the pin: those that follow from how a HAT has wired its line lie beneath
 * its own. `undefined` when the pin has no place, which has been reported.
 */
export function placePin(
  section: Located,
  entries: ReadonlyMap<string, Located>,
  scope: PinScope,
): (PinPlace & { readonly entries: ReadonlyMap<string, Located> }) | undefined {
  const place = findPlace(section, entries, scope);
  const [line] = place?.lines ?? [];
  const wiring = line && scope.board.lines.get(lineKey(line));
  if (wiring === undefined) return place && { ...place, entries };
  checkWiring(section, wiring, scope.problems);
  const wired = new Map([...wiring.keys, ...entries]);
  // The wiring may give keys to the driver too.
  const placed = findPlace(section, wired, scope);
  return placed && { ...placed, entries: wired };
}

/** Reports a direction against the wiring of a HAT. */
function checkWiring(section: Located, { alias, hat, keys }: WiredLine, problems: Problems): void {
  const direction = entriesOf(section).get('direction');
  const wired = keys.get('direction');
  if (direction?.node.kind !== 'scalar' || wired?.node.kind !== 'scalar') return;
  if (direction.node.value === wired.node.value) return;
  problems.invalid(direction, `${alias} of ${hat} is wired the other way`, {
    expected: `direction: ${wired.node.value}`,
  });
}

function findPlace(section: Located, entries: ReadonlyMap<string, Located>, scope: PinScope): PinPlace | undefined {
  const named = entries.get('port');
  const keys = new Map([...entries].filter(([key]) => !Object.hasOwn(pinKeys, key)));
  return named === undefined ? placeWithoutPort(section, keys, scope) : placeOnPort(section, named, keys, scope);
}

function placeOnPort(
  section: Located,
  named: Located,
  keys: ReadonlyMap<string, Located>,
  scope: PinScope,
): PinPlace | undefined {
  const { ports, problems } = scope;
  const name = named.node.kind === 'scalar' ? String(named.node.value) : '';
  if (!ports.has(name)) {
    reportUnknownName(named, 'port', [...ports.keys()], problems);
    return undefined;
  }
  const port = ports.get(name);
  if (port === undefined) return undefined;
  const { driver, options } = port;
  const placed =
    options &&
    callDriver(section, problems, () =>
      driver.placer?.placeOnPort?.(pinToPlace(section, keys, [], scope), options.value),
    );
  return { port, ...withPlacedKeys(section, keys, placed ?? {}, scope) };
}

function placeWithoutPort(section: Located, keys: ReadonlyMap<string, Located>, scope: PinScope): PinPlace | undefined {
  const { ports, context, problems } = scope;
  const advice: PlacementAdvice[] = [];
  for (const driver of placersOf(keys, context.drivers)) {
    const pin = pinToPlace(section, keys, advice, scope);
    const placement = callDriver(section, problems, () => driver.placer?.place(pin));
    if (placement === undefined || placement.kind === 'invalid') return undefined;
    if (placement.kind === 'placed') return onImpliedPort(section, driver, placement, keys, scope);
    if (placement.advice) advice.push(placement.advice);
  }
  const known = [...Object.keys(pinKeys), ...context.drivers.flatMap((driver) => keysAt(driver.pin))];
  const unknown = [...keys.keys()].find((key) => !known.includes(key));
  const standIn = unknown === undefined ? undefined : standInPort(`(${unknown})`, unknown, context);
  if (standIn !== undefined) {
    const port = ports.get(standIn.name) ?? standIn;
    ports.set(port.name, port);
    return { port, keys, lines: [] };
  }
  const usages = context.drivers.flatMap(({ placer }) => (placer?.keys.length === 1 ? [placer.usage] : []));
  problems.error(section.keyAt, section.path, 'this pin does not say where it is', {
    expected:
      ['port: NAME', ...usages.slice(0, -1)].join(', ') +
      usages
        .slice(-1)
        .map((last) => ` or ${last}`)
        .join(''),
  });
  return undefined;
}

/** The drivers that place pins with these keys, the most specific first. */
function placersOf(keys: ReadonlyMap<string, Located>, drivers: readonly Driver[]): Driver[] {
  const count = ({ placer }: Driver) => placer?.keys.length ?? 0;
  return drivers.filter(({ placer }) => placer?.keys.every((key) => keys.has(key))).sort((a, b) => count(b) - count(a));
}

function onImpliedPort(
  section: Located,
  driver: Driver,
  placement: Extract<Placement, { kind: 'placed' }>,
  keys: ReadonlyMap<string, Located>,
  scope: PinScope,
): PinPlace | undefined {
  const { ports, context, problems } = scope;
  const port = callDriver(section, problems, () => impliedPort(ports, driver, placement.port, context));
  if (port) return { port, ...withPlacedKeys(section, keys, placement, scope) };
  const { name } = placement.port;
  problems.error(section.keyAt, section.path, `this pin needs a port of driver ${driver.name} named ${name}`, {
    found: ports.has(name) ? `a port ${name} of another driver` : 'options that the driver refuses',
    expected: 'another name for that port, or port: NAME in this pin',
  });
  return undefined;
}

/** Applies what the driver says about the keys. Reports lines that an enabled bus keeps. */
function withPlacedKeys(
  section: Located,
  keys: ReadonlyMap<string, Located>,
  { changed = {}, removed = [], lines = [] }: PlacedKeys,
  scope: PinScope,
): Pick<PinPlace, 'keys' | 'lines'> {
  const placed = new Map([...keys].filter(([key]) => !removed.includes(key)));
  for (const [key, { from, value }] of Object.entries(changed)) {
    const written = keys.get(from) ?? section;
    placed.set(key, {
      ...written,
      node: { kind: 'scalar', value, text: written.node.kind === 'scalar' ? written.node.text : '' },
    });
  }
  for (const { key, line } of lines) checkReserved(keys.get(key) ?? section, line, scope);
  return { keys: placed, lines: lines.map(({ line }) => line) };
}

function pinToPlace(
  section: Located,
  keys: ReadonlyMap<string, Located>,
  advice: readonly PlacementAdvice[],
  scope: PinScope,
): PinToPlace {
  const { board, context, problems } = scope;
  const at = (key: string) => keys.get(key) ?? section;
  return {
    keys: new Map([...keys].map(([key, located]) => [key, toPlain(located)])),
    board: board.board,
    onThisComputer: board.here && context.mock !== true,
    files: context.machine ?? thisMachine,
    advice,
    line: (key) => lineOf(at(key), scope),
    error: (key, message, expected) => problems.invalid(at(key), message, { expected }),
    warning: (key, message, expected) => problems.warning(at(key).at, at(key).path, message, { expected }),
  };
}

function lineOf(written: Located, scope: PinScope): BoardLine | undefined {
  const { board, problems } = scope;
  if (board.board === undefined) return undefined;
  const text = written.node.kind === 'scalar' ? String(written.node.value) : '';
  const line = board.board.resolve(text);
  if (line === undefined) reportUnknownLine(written, text, board, problems);
  else checkReserved(written, line, scope);
  return line;
}

function reportUnknownLine(written: Located, text: string, { name, board }: ChosenBoard, problems: Problems): void {
  if (name === undefined) {
    problems.invalid(written, `no board is known, so ${displayText(written)} is not the name of a line`, {
      expected: 'board: NAME (dcs-io boards lists them), or the line as <chip>:<line>',
    });
    return;
  }
  problems.invalid(written, `${name} has no line ${displayText(written)}`, {
    expected: 'an alias (GPIO17, J8-11) or <chip>:<offset or name>',
    didYouMean: guessLine(text, board) ?? closestMatch(text, board?.aliases() ?? []),
  });
}

/** A bare number mostly means the processor's own line, `pin 11` the position on the header. */
function guessLine(text: string, board: Board | undefined): string | undefined {
  const [, word = '', digits = ''] = /^([a-z]*)[ _-]?(\d+)$/i.exec(text) ?? [];
  const connector = board?.headers[0]?.connectors[0];
  const alias = /^(pin|physical)$/i.test(word) ? `${connector}-${digits}` : word === '' ? `GPIO${digits}` : '';
  return board?.resolve(alias) && alias;
}

function checkReserved(written: Located, line: BoardLine, { board, problems }: PinScope): void {
  const bus = board.board?.reservedBy(line.chip, line.line, board.enabled);
  if (bus === undefined) return;
  problems.invalid(written, `this line belongs to ${bus}, which is enabled`, {
    expected: `another line, or ${bus} disabled in the system (board: { enabled: […] } says it otherwise)`,
  });
}
