import type { Board, BoardLine, PwmOutput } from '../board/board.ts';
import { isPwmConnected } from '../board/pwm-route.ts';
import type { ChosenBoard } from './board-sections.ts';
import { closestMatch } from './closest-match.ts';
import { type ConfigContext, thisMachine } from './context.ts';
import { displayText, type Located } from './located.ts';
import { chipOf, impliedPort, type PortEntry, type Ports, portOnChip } from './port-sections.ts';
import type { Problems } from './problems.ts';
import { reportUnknownName } from './validation.ts';

/** Where a pin is: its port, and the keys of the port's driver. */
export interface PinPlace {
  readonly port: PortEntry;
  readonly keys: ReadonlyMap<string, Located>;
  /** The GPIO lines it is on. */
  readonly lines: readonly BoardLine[];
}

/** What finding a pin's place needs to know. */
export interface PinScope {
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
  around: PinScope,
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

function onNamedPort(named: Located, keys: ReadonlyMap<string, Located>, around: PinScope): PinPlace | undefined {
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

function onBoard(gpio: Located, keys: ReadonlyMap<string, Located>, around: PinScope): PinPlace | undefined {
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
  problems.invalid(gpio, `the chip ${line.chip} cannot be used`, { expected: 'a driver gpio and a chip it takes' });
  return undefined;
}

function reportUnknownLine(gpio: Located, text: string, { name, board }: ChosenBoard, problems: Problems): void {
  if (name === undefined) {
    problems.invalid(gpio, `no board is known, so ${displayText(gpio)} is not the name of a line`, {
      expected: 'board: NAME (dcs-io boards lists them), or the line as <chip>:<line>',
    });
    return;
  }
  problems.invalid(gpio, `${name} has no line ${displayText(gpio)}`, {
    expected: 'an alias (GPIO17, J8-11) or <chip>:<offset or name>',
    didYouMean: guessLine(text, board) ?? closestMatch(text, board?.aliases() ?? []),
  });
}

/** A bare number is mostly the processor's own, `pin 11` the place on the header. */
function guessLine(text: string, board: Board | undefined): string | undefined {
  const [, word = '', digits = ''] = /^([a-z]*)[ _-]?(\d+)$/i.exec(text) ?? [];
  const connector = board?.headers[0]?.connectors[0];
  const alias = /^(pin|physical)$/i.test(word) ? `${connector}-${digits}` : word === '' ? `GPIO${digits}` : '';
  return board?.resolve(alias) && alias;
}

function checkReserved(gpio: Located, line: BoardLine, { board, problems }: PinScope): void {
  const bus = board.board?.reservedBy(line.chip, line.line, board.enabled);
  if (bus === undefined) return;
  problems.invalid(gpio, `this line belongs to ${bus}, which is enabled`, {
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
  around: PinScope,
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
  around.problems.invalid(
    encoder,
    `both lines of an encoder are on one chip, and ${displayText(encoder)} is on ${found.chip}`,
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

/** What this process itself switches: more often than that it cannot be on time. */
const SOFTWARE_HZ = 50;

/** The keys of a pin that the processor's own PWM can follow: it can be neither open-drain nor biased. */
const PLAIN_KEYS = ['gpio', 'pwm'];

/**
 * The place of a pin with `pwm:`, a port of driver pwm, when the processor's PWM comes out at its line. `by software`: this
 * process has to switch the line, which is reported if more was to be had. Undefined: neither can, which is reported.
 */
export function pwmPlace(
  keys: ReadonlyMap<string, Located>,
  line: BoardLine,
  around: PinScope,
): PinPlace | 'by software' | undefined {
  const { board, ports, context, problems } = around;
  const [gpio, pwm] = [keys.get('gpio'), keys.get('pwm')];
  if (gpio === undefined || pwm?.node.kind !== 'scalar') return 'by software';
  const machine = context.machine ?? thisMachine;
  const channel = board.board?.pwmOutput(line);
  const fast = Number(pwm.node.value) > SOFTWARE_HZ;
  const plain = [...keys.keys()].every((key) => PLAIN_KEYS.includes(key));
  if (channel === undefined || !(plain || fast))
    return fast ? tooFast(pwm, alternatives(around), around) : 'by software';
  // A simulated computer has everything; what another one than this has cannot be seen here.
  const seen = board.here && context.mock !== true;
  if (seen && !isPwmConnected(channel, machine)) {
    const cure = `${channel.howToConnect}, and a restart of the computer`;
    if (fast) return tooFast(pwm, cure, around);
    const message = 'the processor’s PWM does not come out at this line: software switches it, an edge up to 2 ms late';
    problems.warning(pwm.at, pwm.path, message, { expected: cure });
    return 'by software';
  }
  if (!seen && machine.exists(`/sys/bus/platform/devices/${channel.chip}`)) {
    const message =
      'whether the processor’s PWM comes out at this line cannot be seen here: this computer is not known';
    problems.warning(pwm.at, pwm.path, message, { expected: channel.howToConnect });
  }
  const port = portOnChip(ports, 'pwm', channel.chip, line.mock, context);
  if (port) return { port, keys: channelKeys(keys, channel, { gpio, pwm }), lines: [line] };
  problems.invalid(gpio, `the PWM chip ${channel.chip} cannot be used`, { expected: 'a driver pwm' });
  return undefined;
}

function alternatives({ board }: PinScope): string {
  const names = board.board?.pwmLines() ?? [];
  return names.length === 0 ? 'a PWM chip and driver pwm' : `one of ${names.join(', ')}`;
}

function tooFast(pwm: Located, cure: string, { problems }: PinScope): undefined {
  problems.invalid(
    pwm,
    `the processor’s PWM does not come out at this line, and software switches ${SOFTWARE_HZ} times a second at most`,
    { expected: `${cure}; or ${SOFTWARE_HZ} or less` },
  );
}

/** The pin's keys as driver pwm wants them. */
function channelKeys(
  keys: ReadonlyMap<string, Located>,
  { channel }: PwmOutput,
  { gpio, pwm }: { readonly gpio: Located; readonly pwm: Located },
): Map<string, Located> {
  const number: Located = { ...gpio, node: { kind: 'scalar', value: channel, text: String(channel) } };
  const rest = [...keys].filter(([key]) => !PLAIN_KEYS.includes(key));
  return new Map([...rest, ['pwm', number], ['frequency', pwm]]);
}
