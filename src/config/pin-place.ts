import type { Board, BoardLine } from '../board/board.ts';
import type { ChosenBoard } from './board-section.ts';
import type { ConfigContext } from './context.ts';
import { type Located, shown } from './located.ts';
import type { PortEntry, Ports } from './port-section.ts';
import { impliedPort } from './port-section.ts';
import type { Problems } from './problems.ts';
import { reportUnknownName } from './schema-issues.ts';
import { closest } from './suggest.ts';

/** Where a pin is: its port, and the keys of the port's driver. */
export interface PinPlace {
  readonly port: PortEntry;
  readonly keys: ReadonlyMap<string, Located>;
}

/** What finding a pin's place needs to know. */
export interface Surroundings {
  readonly ports: Ports;
  readonly board: ChosenBoard;
  readonly context: ConfigContext;
  readonly problems: Problems;
}

/**
 * Finds the port of a pin: the one it names; the chip its `gpio` is on; the bus itself for `virtual`. `keys` are the
 * pin's keys that are not common to all pins. Undefined: it has none, which has been reported.
 */
export function placeOf(
  section: Located,
  named: Located | undefined,
  keys: ReadonlyMap<string, Located>,
  around: Surroundings,
): PinPlace | undefined {
  if (named !== undefined) return onNamedPort(named, keys, around);
  const gpio = keys.get('gpio');
  if (gpio !== undefined) return onBoard(gpio, keys, around);
  const { ports, context, problems } = around;
  if (keys.has('virtual')) {
    const port = impliedPort(ports, 'virtual', {}, 'virtual', false, context);
    if (port) return { port, keys };
    problems.error(section.keyAt, section.path, 'the port named virtual is something else: name the port of this pin');
    return undefined;
  }
  problems.error(section.keyAt, section.path, 'this pin does not say where it is', {
    expected: 'port: NAME, gpio: LINE or virtual: bool|number|text',
  });
  return undefined;
}

function onNamedPort(named: Located, keys: ReadonlyMap<string, Located>, around: Surroundings): PinPlace | undefined {
  const { ports, problems, board } = around;
  const name = named.node.kind === 'scalar' ? String(named.node.value) : '';
  if (!ports.has(name)) {
    reportUnknownName(named, 'port', [...ports.keys()], problems);
    return undefined;
  }
  const port = ports.get(name);
  const gpio = keys.get('gpio');
  if (port?.driver.name !== 'gpio' || gpio === undefined) return port && { port, keys };
  const line = lineOn(port, gpio, board.board);
  if (line) checkReserved(gpio, line, around);
  return { port, keys: line ? withLines(keys, gpio, line, around) : keys };
}

function onBoard(gpio: Located, keys: ReadonlyMap<string, Located>, around: Surroundings): PinPlace | undefined {
  const { board, ports, context, problems } = around;
  if (board.board === undefined) return undefined;
  const text = gpio.node.kind === 'scalar' ? String(gpio.node.value) : '';
  const line = board.board.resolve(text);
  if (line === undefined) {
    reportUnknownLine(gpio, text, board, problems);
    return undefined;
  }
  checkReserved(gpio, line, around);
  // Two ports on one chip would not see each other's lines: a chip the user has opened is used.
  const opened = [...ports.values()].find((port) => port?.driver.name === 'gpio' && chipOf(port) === line.chip);
  const port = opened ?? impliedPort(ports, `gpio.${line.chip}`, { chip: line.chip }, 'gpio', line.mock, context);
  if (port) return { port, keys: withLines(keys, gpio, line, around) };
  problems.wrong(gpio, `the chip ${line.chip} cannot be used`, { expected: 'a driver gpio and a chip it takes' });
  return undefined;
}

function reportUnknownLine(gpio: Located, text: string, { name, board }: ChosenBoard, problems: Problems): void {
  if (name === undefined) {
    problems.wrong(gpio, `no board is known, so ${shown(gpio)} is not the name of a line`, {
      expected: 'board: NAME (dcs-io boards lists them), or the line as <chip>:<line>',
    });
    return;
  }
  problems.wrong(gpio, `${name} has no line ${shown(gpio)}`, {
    expected: 'an alias (GPIO17, J8-11) or <chip>:<offset or name>',
    didYouMean: closest(text, board?.aliases() ?? []),
  });
}

function checkReserved(gpio: Located, line: BoardLine, { board, problems }: Surroundings): void {
  const bus = board.board?.reservedBy(line.chip, line.line, board.enabled);
  if (bus === undefined) return;
  problems.wrong(gpio, `this line belongs to ${bus}, which is enabled`, {
    expected: `another line, or ${bus} disabled in the system (board: { enabled: […] } says it otherwise)`,
  });
}

/** The chip of a gpio port, as its options name it. */
function chipOf({ options }: PortEntry): string | undefined {
  const value = options?.value;
  return typeof value === 'object' && value !== null && 'chip' in value && typeof value.chip === 'string'
    ? value.chip
    : undefined;
}

/** A line of a gpio port: by alias where the board has one on that chip, else as it stands. */
export function lineOn(port: PortEntry, gpio: Located, board: Board | undefined): BoardLine | undefined {
  const chip = chipOf(port);
  if (chip === undefined || gpio.node.kind !== 'scalar') return undefined;
  const { value } = gpio.node;
  if (typeof value === 'number') return { chip, line: value, mock: false };
  const found = typeof value === 'string' ? board?.resolve(value) : undefined;
  return found?.chip === chip ? found : undefined;
}

/** The keys with lines as the chip knows them; the second line of an encoder is named like the first. */
function withLines(
  keys: ReadonlyMap<string, Located>,
  gpio: Located,
  line: BoardLine,
  around: Surroundings,
): Map<string, Located> {
  const resolved = new Map(keys).set('gpio', asLine(gpio, line));
  const encoder = keys.get('encoder');
  const found = encoder?.node.kind === 'scalar' ? around.board.board?.resolve(String(encoder.node.value)) : undefined;
  if (encoder === undefined || found === undefined) return resolved;
  if (found.chip === line.chip) {
    checkReserved(encoder, found, around);
    return resolved.set('encoder', asLine(encoder, found));
  }
  around.problems.wrong(
    encoder,
    `both lines of an encoder are on one chip, and ${shown(encoder)} is on ${found.chip}`,
    {
      expected: `a line of ${line.chip}`,
    },
  );
  return resolved;
}

function asLine(located: Located, { line }: BoardLine): Located {
  const text = located.node.kind === 'scalar' ? located.node.text : '';
  return { ...located, node: { kind: 'scalar', value: line, text } };
}
