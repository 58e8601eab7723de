import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../support/wait.ts';

const CONFIGFS = '/sys/kernel/config/gpio-sim';

/** A gpiochip of the kernel's simulator: what is on the other side of its lines is in a test's hands. */
export class SimChip {
  readonly label: string;
  readonly #directory: string;
  readonly #names: ReadonlyMap<number, string>;

  /** `name` tells it from another one of the same label. */
  constructor(name: string, lines: number, names: ReadonlyMap<number, string> = new Map(), label = name) {
    this.label = label;
    this.#names = names;
    this.#directory = join(CONFIGFS, name);
    const bank = join(this.#directory, 'bank0');
    mkdirSync(bank, { recursive: true });
    writeFileSync(join(bank, 'num_lines'), String(lines));
    writeFileSync(join(bank, 'label'), label);
    for (const [offset, line] of names) {
      mkdirSync(join(bank, `line${offset}`), { recursive: true });
      writeFileSync(join(bank, `line${offset}`, 'name'), line);
    }
    this.plug();
  }

  plug(): void {
    writeFileSync(join(this.#directory, 'live'), '1');
  }

  /** Takes the chip away, whoever uses it. */
  unplug(): void {
    if (this.plugged) writeFileSync(join(this.#directory, 'live'), '0');
  }

  get plugged(): boolean {
    return readFileSync(join(this.#directory, 'live'), 'utf8').trim() === '1';
  }

  /** `gpiochip1`: the name of its character device, while it is plugged. */
  get device(): string {
    return readFileSync(join(this.#directory, 'bank0', 'chip_name'), 'utf8').trim();
  }

  /** The outside world pulls a line high or low. */
  pull(offset: number, high: boolean): void {
    writeFileSync(join(this.#lineDirectory(offset), 'pull'), high ? 'pull-up' : 'pull-down');
  }

  /** What the outside world sees on a line. */
  level(offset: number): boolean {
    return readFileSync(join(this.#lineDirectory(offset), 'value'), 'utf8').trim() === '1';
  }

  /** The file a fast writer uses; see pull. */
  pullFile(offset: number): string {
    return join(this.#lineDirectory(offset), 'pull');
  }

  remove(): void {
    this.unplug();
    const bank = join(this.#directory, 'bank0');
    for (const offset of this.#names.keys()) rmdirSync(join(bank, `line${offset}`));
    rmdirSync(bank);
    rmdirSync(this.#directory);
  }

  #lineDirectory(offset: number): string {
    const device = readFileSync(join(this.#directory, 'dev_name'), 'utf8').trim();
    return join('/sys/devices/platform', device, this.device, `sim_gpio${offset}`);
  }
}

/** Output of a program of the gpiod package, the kernel's own view: the judge that is not us. */
export function gpiod(program: 'gpioget' | 'gpioinfo' | 'gpiodetect', ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8' }).trim();
}

/** The number sysfs gives a line of a chip. */
export function sysfsNumber(chip: SimChip, offset: number): number {
  for (let base = 0; base < 1024; base++) {
    const label = `/sys/class/gpio/gpiochip${base}/label`;
    if (existsSync(label) && readFileSync(label, 'utf8').trim() === chip.label) return base + offset;
  }
  throw new Error(`sysfs has no chip ${chip.label}`);
}

const TRACING = '/sys/kernel/tracing';

/** The levels the kernel itself notes that a line was driven to, while `work` runs: even one that lasted a microsecond. */
export async function drivenLevels(chip: SimChip, offset: number, work: () => Promise<unknown>): Promise<string[]> {
  return (await drivenEdges(chip, offset, work)).map(({ level }) => level);
}

/** The same with the kernel's time, in seconds. */
export async function drivenEdges(
  chip: SimChip,
  offset: number,
  work: () => Promise<unknown>,
): Promise<{ level: string; at: number }[]> {
  if (!existsSync(join(TRACING, 'trace'))) execFileSync('mount', ['-t', 'tracefs', 'tracefs', TRACING]);
  const number = sysfsNumber(chip, offset);
  writeFileSync(join(TRACING, 'trace'), '');
  writeFileSync(join(TRACING, 'events/gpio/enable'), '1');
  try {
    await work();
  } finally {
    writeFileSync(join(TRACING, 'events/gpio/enable'), '0');
  }
  const set = new RegExp(` (\\d+\\.\\d+): gpio_value: ${number} set ([01])`, 'g');
  const found = [...readFileSync(join(TRACING, 'trace'), 'utf8').matchAll(set)];
  return found.map(([, at = '', level = '']) => ({ level, at: Number(at) }));
}

/** How many system calls of this process drove lines of a chip while `work` ran, by the kernel's own account. */
export async function drivingCalls(chip: SimChip, work: () => Promise<unknown>): Promise<string[][]> {
  if (!existsSync(join(TRACING, 'trace'))) execFileSync('mount', ['-t', 'tracefs', 'tracefs', TRACING]);
  const base = sysfsNumber(chip, 0);
  const events = ['events/gpio/gpio_value/enable', 'events/raw_syscalls/sys_enter/enable'];
  writeFileSync(join(TRACING, 'set_event_pid'), String(process.pid));
  writeFileSync(join(TRACING, 'trace'), '');
  for (const event of events) writeFileSync(join(TRACING, event), '1');
  try {
    await work();
  } finally {
    for (const event of events) writeFileSync(join(TRACING, event), '0');
    writeFileSync(join(TRACING, 'set_event_pid'), '');
  }
  const calls: string[][] = [];
  for (const line of readFileSync(join(TRACING, 'trace'), 'utf8').split('\n')) {
    if (line.includes('sys_enter:')) calls.push([]);
    const [, number, level] = /gpio_value: (\d+) set ([01])/.exec(line) ?? [];
    if (number !== undefined) calls.at(-1)?.push(`${Number(number) - base}=${level}`);
  }
  return calls.filter((lines) => lines.length > 0);
}

/** Another program takes a line and drives it until it is killed. */
export async function holdLine(chip: SimChip, offset: number, high: boolean): Promise<ChildProcess> {
  const holder = spawn('gpioset', ['--mode=signal', chip.device, `${offset}=${high ? 1 : 0}`]);
  const held = new RegExp(`line +${offset}: .*"gpioset"`);
  await until(`gpioset to hold line ${offset}`, () => held.test(gpiod('gpioinfo', chip.device)));
  return holder;
}

/** A process of its own with a port of ours: line 3 an output, on; line 0 an input. Compiled, as a package is. */
export function spawnHolder(chip: string, backend: string): { process: ChildProcess; output(): string } {
  const script = join(process.env['DCS_IO_GUEST_BUILD'] ?? '', 'test/gpio/guest/holder.js');
  const holder = spawn(process.execPath, [script, chip, backend]);
  let output = '';
  for (const stream of [holder.stdout, holder.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  return { process: holder, output: () => output };
}
