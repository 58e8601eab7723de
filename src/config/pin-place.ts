import type { Board, BoardLine } from '../board/board.ts';
import type { ChosenBoard } from './board-section.ts';
import type { ConfigContext } from './context.ts';
import { type Located, shown } from './located.ts';
import { chipOf, impliedPort, type PortEntry, type Ports, portOnChip } from './port-section.ts';
import type { Problems } from './problems.ts';
import { pwmPlace } from './pwm-place.ts';
import { reportUnknownName } from './schema-issues.ts';
import { closest } from './suggest.ts';

/** Where a pin is: its port, and the keys of the port's driver. */
export interface PinPlace {
  readonly port: PortEntry;
  readonly keys: ReadonlyMap<string, Located>;
  /** The GPIO lines it is on. */
  readonly lines: readonly BoardLine[];
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
    if (port) return { port, keys, lines: [] };
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
  if (port?.driver.name !== 'gpio' || gpio === undefined) return port && { port, keys, lines: [] };
  const line = lineOn(port, gpio, board.board);
  if (line === undefined) return { port, keys, lines: [] };
  checkReserved(gpio, line, around);
  return { port, ...withLines(keys, gpio, line, around) };
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
  const place = pwmPlace(keys, line, around);
  if (place !== 'by software') return place;
  const port = portOnChip(ports, 'gpio', line.chip, line.mock, context);
  if (port) return { port, ...withLines(keys, gpio, line, around) };
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
    didYouMean: meantLine(text, board) ?? closest(text, board?.aliases() ?? []),
  });
}

/** A bare number is mostly the processor's own, `pin 11` the place on the header. */
function meantLine(text: string, board: Board | undefined): string | undefined {
  const [, word = '', digits = ''] = /^([a-z]*)[ _-]?(\d+)$/i.exec(text) ?? [];
  const connector = board?.headers[0]?.connectors[0];
  const alias = /^(pin|physical)$/i.test(word) ? `${connector}-${digits}` : word === '' ? `GPIO${digits}` : '';
  return board?.resolve(alias) && alias;
}

function checkReserved(gpio: Located, line: BoardLine, { board, problems }: Surroundings): void {
  const bus = board.board?.reservedBy(line.chip, line.line, board.enabled);
  if (bus === undefined) return;
  problems.wrong(gpio, `this line belongs to ${bus}, which is enabled`, {
    expected: `another line, or ${bus} disabled in the system (board: { enabled: […] } says it otherwise)`,
  });
}

/** A line of a gpio port: by alias where the board has one on that chip, else as it stands. Undefined: a wrong one. */
export function lineOn(port: PortEntry, gpio: Located, board: Board | undefined): BoardLine | undefined {
  const chip = chipOf(port.options);
  if (chip === undefined || gpio.node.kind !== 'scalar') return undefined;
  const { value } = gpio.node;
  if (typeof value === 'number') return { chip, line: value, mock: false };
  if (typeof value !== 'string') return undefined;
  const found = board?.resolve(value);
  return found?.chip === chip ? found : { chip, line: value, mock: false };
}

/** The keys with lines as the chip knows them; the second line of an encoder is named like the first. */
function withLines(
  keys: ReadonlyMap<string, Located>,
  gpio: Located,
  line: BoardLine,
  around: Surroundings,
): Pick<PinPlace, 'keys' | 'lines'> {
  const resolved = new Map(keys).set('gpio', asLine(gpio, line));
  const encoder = keys.get('encoder');
  if (encoder?.node.kind !== 'scalar') return { keys: resolved, lines: [line] };
  const { value } = encoder.node;
  const found = around.board.board?.resolve(String(value));
  if (found === undefined) {
    const second = typeof value === 'number' || typeof value === 'string' ? [{ ...line, line: value }] : [];
    return { keys: resolved, lines: [line, ...second] };
  }
  if (found.chip === line.chip) {
    checkReserved(encoder, found, around);
    return { keys: resolved.set('encoder', asLine(encoder, found)), lines: [line, found] };
  }
  around.problems.wrong(
    encoder,
    `both lines of an encoder are on one chip, and ${shown(encoder)} is on ${found.chip}`,
    {
      expected: `a line of ${line.chip}`,
    },
  );
  return { keys: resolved, lines: [line] };
}

function asLine(located: Located, { line }: BoardLine): Located {
  const text = located.node.kind === 'scalar' ? located.node.text : '';
  return { ...located, node: { kind: 'scalar', value: line, text } };
}
