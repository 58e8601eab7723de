import type { DetectedDevice, DetectedPort } from '../driver/contract.ts';

/** The hardware and software of a computer that a first configuration depends on. */
export interface Detection {
  readonly node: string;
  /** ZeroMQ loads on this computer, so it can join the bus. */
  readonly bus: boolean;
  /** The board with the names of its free lines; `undefined` when it is not a known board. */
  readonly board?: { readonly name: string; readonly title: string; readonly lines: readonly string[] } | undefined;
  readonly ports: readonly DetectedHardware[];
}

/** A device of this computer, with the drivers that can open it. */
export interface DetectedHardware {
  readonly path: string;
  readonly name?: string;
  readonly about: string;
  readonly uses: readonly { readonly driver: string; readonly options: DetectedPort['options'] }[];
  readonly devices: readonly (DetectedDevice & {
    /** Profiles for the models that usually have this address. */
    readonly profiles: readonly string[];
  })[];
}

/** Answers to the questions of `init`. */
export interface Answers {
  readonly node: string;
  /** Serve the web page on this machine. */
  readonly web: boolean;
  /** Drivers of ports that several drivers can open, by path. */
  readonly drivers: ReadonlyMap<string, string>;
}

/**
 * The text of a first configuration. Unknown facts (the device on a line, the type of a chip) are comments that become right
 * without their `#`.
 */
export function configTemplate(found: Detection, { node, web, drivers }: Answers): string {
  const { board } = found;
  const [first = '', second = ''] = board?.lines ?? [];
  let unnamed = 0;
  const named = found.ports.map((port) => ({ ...port, name: port.name ?? `line-${++unnamed}` }));
  const ports = named.flatMap((port) => portLines(port, drivers.get(port.path)));
  const chips = named.flatMap(({ name, devices }) => devices.map((device) => ({ ...device, port: name })));
  return [
    '# Configuration of dcs-io. Changed it? dcs-io check finds mistakes; a restart makes it take effect.',
    "# A line that begins with '#' and a word is a suggestion: remove its '#' to use it.",
    '',
    `node: ${JSON.stringify(node)}   # what others call this machine`,
    board
      ? `board: auto   # this is a ${board.title}; dcs-io boards show draws its header`
      : 'board: none   # no board that dcs-io knows; dcs-io boards lists those it does',
    '',
    ...(found.bus
      ? [
          '# Only programs on this machine reach the bus. For other machines: listen, and keys (dcs-io keys new).',
          'bus:',
          '  listen: 127.0.0.1',
        ]
      : [
          '# ZeroMQ has no binary for this machine, so there is no bus; everything else works.',
          'bus: { enabled: false }',
        ]),
    '',
    ...(web ? ['# The web page, on this machine: http://127.0.0.1:8080'] : []),
    `${web ? '' : '#'}web: { listen: "127.0.0.1:8080" }`,
    '',
    '# Hardware to open.',
    section('ports', ports),
    '',
    ...(chips.length === 0
      ? []
      : [
          '# Devices that answer on the buses. An address does not prove the type of a device: choose one.',
          section('devices', chips.flatMap(chipLines)),
          '',
        ]),
    '# Pins, by their names on the bus.',
    'pins:',
    '  ready: { virtual: bool, initial: true }   # has no hardware: dcs-io set ready off',
    ...(board
      ? [
          `  #lamp: { gpio: ${first}, direction: out, initial: false, safe: false }`,
          `  #door: { gpio: ${second}, direction: in, bias: pull-up, invert: true, debounce: 20ms }`,
        ]
      : []),
    '',
  ].join('\n');
}

function section(name: string, lines: readonly string[]): string {
  // A section with comments only is empty, which is allowed.
  return [`${name}:`, ...(lines.length === 0 ? ['  # none was found on this machine'] : lines)].join('\n');
}

/** The entry of a port; suggestions when several drivers can open it and none was chosen. */
function portLines(
  { name, path, about, uses }: DetectedHardware & { name: string },
  chosen: string | undefined,
): string[] {
  const entry = ({ driver, options }: DetectedHardware['uses'][number]) =>
    `${name}: { driver: ${driver}, ${Object.entries(options)
      .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
      .join(', ')} }`;
  const use = uses.length === 1 ? uses[0] : uses.find(({ driver }) => driver === chosen);
  if (uses.length === 1 && use) return [`  ${entry(use)}`];
  return [
    `  # ${about === '' ? path : about}: line settings by dcs-io scan modbus or dcs-io serial monitor`,
    ...(use ? [`  ${entry(use)}`] : uses.map((each, at) => `  ${at === 0 ? '#' : '# or '}${entry(each)}`)),
  ];
}

function chipLines({
  address,
  guesses,
  profiles,
  port,
}: DetectedHardware['devices'][number] & { port: string }): string[] {
  const name = `chip-${port}-${address.slice(2)}`;
  const [first, ...others] = profiles;
  const what = guesses.length === 0 ? 'no known chip usually has this address' : guesses.join(', or ');
  const lines = [`  # ${address}: ${what}`];
  if (first === undefined) return lines;
  return [
    ...lines,
    `  #${name}: { port: ${port}, address: ${address}, profile: ${first} }`,
    ...others.map((profile) => `  # or profile: ${profile}`),
  ];
}
