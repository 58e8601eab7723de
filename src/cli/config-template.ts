/** The hardware and software of a computer that a first configuration depends on. */
export interface Detection {
  readonly node: string;
  /** ZeroMQ loads on this computer, so it can join the bus. */
  readonly bus: boolean;
  /** The board with the names of its free lines; `undefined` when it is not a known board. */
  readonly board?: { readonly name: string; readonly title: string; readonly lines: readonly string[] } | undefined;
  readonly serial: readonly { readonly path: string; readonly about: string }[];
  readonly i2c: readonly { readonly path: string; readonly chips: readonly DetectedChip[] }[];
}

export interface DetectedChip {
  /** I2C address, like `0x20`. */
  readonly address: string;
  readonly guesses: readonly string[];
  /** Profiles for the chips that usually have this address. */
  readonly profiles: readonly string[];
}

/** Answers to the questions of `init`. */
export interface Answers {
  readonly node: string;
  /** Serve the web page on this machine. */
  readonly web: boolean;
  /** Use of each serial port, by its path. */
  readonly serial: ReadonlyMap<string, 'modbus' | 'serial'>;
}

/**
 * The text of a first configuration. Unknown facts (the device on a line, the type of a chip) are comments that become right
 * without their `#`.
 */
export function configTemplate(found: Detection, { node, web, serial }: Answers): string {
  const { board, i2c } = found;
  const [first = '', second = ''] = board?.lines ?? [];
  const chips = i2c.flatMap(({ path, chips: list }) => list.map((chip) => ({ ...chip, port: busName(path) })));
  const ports = [
    ...found.serial.flatMap(({ path, about }, at) => serialLines(`line-${at + 1}`, path, about, serial.get(path))),
    ...i2c.map(({ path }) => `  ${busName(path)}: { driver: i2c, bus: ${JSON.stringify(path)} }`),
  ];
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
          '# Chips that answer on the I2C buses. An address does not prove the type of a chip: choose one.',
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

function busName(path: string): string {
  return path.replace('/dev/', '');
}

function serialLines(name: string, path: string, about: string, use: 'modbus' | 'serial' | undefined): string[] {
  const quoted = JSON.stringify(path);
  const ways = {
    modbus: `${name}: { driver: modbus, serial: ${quoted}, line: 9600-8N1 }`,
    serial: `${name}: { driver: serial, path: ${quoted}, line: 9600-8N1, framing: { delimiter: "\\r\\n" } }`,
  };
  return [
    `  # ${about === '' ? path : about}: line settings by dcs-io scan modbus or dcs-io serial monitor`,
    ...(use === undefined ? [`  #${ways.modbus}`, `  # or ${ways.serial}`] : [`  ${ways[use]}`]),
  ];
}

function chipLines({ address, guesses, profiles, port }: DetectedChip & { readonly port: string }): string[] {
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
