import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { access, readdir, readFile, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { BinaryValue, Gpio } from 'onoff';
import type { PortContext } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { ChipSearch, GpioBackend, Line, LineEvents, LineRequestSpec, LineResult } from './backend.ts';
import { LevelTracker } from './edges.ts';
import { kernelError } from './uapi.ts';

/** The kernel's GPIO interface in sysfs. Deprecated since Linux 4.8, still in many kernels. */
export const SYSFS_GPIO = '/sys/class/gpio';

/** A chip in sysfs. Lines of all chips have one numbering; those of this chip begin at `base`. */
export interface SysfsChip {
  readonly label: string;
  readonly base: number;
  readonly lines: number;
  /** Directory of the chip; it disappears with the chip. */
  readonly directory: string;
}

/**
 * Finds a chip by label or by device name (gpiochip0). The base must be read: Linux 6.6 moved the first one from 0 to 512, and on
 * older kernels it depends on the order of probing.
 */
export async function findSysfsChip(wanted: string, root = SYSFS_GPIO): Promise<ChipSearch<SysfsChip>> {
  let entries: string[];
  try {
    entries = (await readdir(root)).filter((name) => /^gpiochip\d+$/.test(name));
  } catch {
    return { kind: 'absent', reason: `this kernel has no sysfs GPIO (${root})` };
  }
  const chips = await Promise.all(entries.map((entry) => readChip(join(root, entry))));
  let found = chips.filter(({ label }) => label === wanted);
  if (found.length === 0) {
    const named = await Promise.all(chips.map((chip) => hasDeviceName(chip, wanted)));
    found = chips.filter((_, at) => named[at]);
  }
  const [chip, second] = found;
  if (second) {
    throw new DcsError('BAD_CONFIG', `${found.length} chips match ${wanted}`, {
      found: found.map(({ label, base }) => `${label} (base ${base})`).join(', '),
      expected: 'the label of one chip',
    });
  }
  if (chip) return { kind: 'found', chip };
  const present = chips.map(({ label }) => label).join(', ') || 'none';
  return { kind: 'absent', reason: `no gpiochip ${wanted} on this machine (present: ${present})` };
}

async function readChip(directory: string): Promise<SysfsChip> {
  const text = async (name: string) => (await readFile(join(directory, name), 'utf8')).trim();
  const [label, base, lines] = await Promise.all([text('label'), text('base'), text('ngpio')]);
  return { label, base: Number(base), lines: Number(lines), directory };
}

/**
 * Whether a chip's character device has this name. Up to Linux 6.5 sysfs links to the chip's parent, later to the chip itself. A
 * parent of several chips makes the name ambiguous, which the caller reports.
 */
async function hasDeviceName({ directory }: SysfsChip, name: string): Promise<boolean> {
  if (!/^gpiochip\d+$/.test(name)) return false;
  try {
    const device = await realpath(join(directory, 'device'));
    if (basename(device) === name) return true;
    await access(join(device, name));
    return true;
  } catch {
    // There is no such link or child, so the chip has another name.
    return false;
  }
}

type OnOff = typeof import('onoff');

/**
 * GPIO through npm onoff and sysfs, for kernels without the character device (before 5.10). It cannot set bias or drive,
 * does not debounce in the kernel, and merges edges that come faster than this process reads them.
 */
export async function openOnoff(chip: SysfsChip, context: PortContext): Promise<GpioBackend> {
  const library = await loadOnoff();
  const lines = new Set<SysfsLine>();
  return {
    name: 'onoff',
    debounces: false,
    async requestLines(specs) {
      const gone = chipGone(chip);
      if (gone) throw gone;
      return specs.map((spec) => requestLine(library, chip, spec, lines, context));
    },
    write: (levels) =>
      new Map(
        [...lines].flatMap((line) => {
          const level = levels.get(line);
          return level === undefined ? [] : [[line, line.write(level)]];
        }),
      ),
    crashPlan: (levels) => ({
      plan: {
        by: 'sysfs',
        lines: levels.flatMap(({ channel: { address }, high }) =>
          typeof address.gpio === 'number' ? [{ number: chip.base + address.gpio, high }] : [],
        ),
      },
    }),
    chipGone: () => chipGone(chip),
    inspect() {
      for (const line of [...lines]) line.inspect();
    },
    async close() {
      for (const line of [...lines]) line.release();
    },
  };
}

/** Loads npm onoff, which is optional: its installation needs a compiler. */
async function loadOnoff(): Promise<OnOff> {
  try {
    return await import('onoff');
  } catch (error) {
    throw new DcsError('NOT_SUPPORTED', 'backend onoff needs the npm package onoff, which is not installed', {
      expected: 'npm install onoff (with a compiler), or backend: chardev',
      cause: error,
    });
  }
}

function chipGone(chip: SysfsChip): DcsError | undefined {
  return existsSync(chip.directory) ? undefined : new DcsError('PORT_DOWN', `gpiochip ${chip.label} is gone`);
}

function requestLine(
  { Gpio }: OnOff,
  chip: SysfsChip,
  spec: LineRequestSpec,
  lines: Set<SysfsLine>,
  context: PortContext,
): LineResult {
  const { channel } = spec;
  const exporter = join(SYSFS_GPIO, 'export');
  let undo = () => {};
  try {
    const offset = offsetOf(chip, spec);
    const number = chip.base + offset;
    if (!existsSync(lineDirectory(number))) undo = () => unexport(number);
    const held = new SysfsLine(Gpio, chip, number, spec, () => lines.delete(held), context);
    lines.add(held);
    if (channel.direction === 'in') held.watch(context);
    return { ok: true, line: held };
  } catch (thrown) {
    undo();
    return { ok: false, error: kernelError(thrown, `${chip.label} ${channel.key}`, exporter) };
  }
}

function lineDirectory(number: number): string {
  return join(SYSFS_GPIO, `gpio${number}`);
}

/** Undoes an export after a failed request: onoff hides errors on lines that are exported already. */
function unexport(number: number): void {
  if (!existsSync(lineDirectory(number))) return;
  try {
    writeFileSync(join(SYSFS_GPIO, 'unexport'), String(number));
  } catch {
    // The reason of the failed request is reported; this error would only repeat it.
  }
}

/** Returns the line's offset. Throws a DcsError for everything that sysfs cannot do. */
function offsetOf(chip: SysfsChip, { channel }: LineRequestSpec): number {
  const { gpio, bias, drive } = channel.address;
  const what = `${chip.label} ${channel.key}`;
  if (typeof gpio === 'string') {
    throw new DcsError('NOT_SUPPORTED', `${what}: backend onoff knows lines by number only`, {
      found: gpio,
      expected: 'the offset of the line, or backend: chardev',
    });
  }
  if (gpio >= chip.lines) {
    throw new DcsError('NO_SUCH_CHANNEL', `${what} does not exist`, {
      found: gpio,
      expected: `an offset from 0 to ${chip.lines - 1}`,
    });
  }
  if (bias !== undefined || (drive !== undefined && drive !== 'push-pull')) {
    throw new DcsError('NOT_SUPPORTED', `${what}: backend onoff can set neither bias nor drive`, {
      found: bias ?? drive,
      expected: 'backend: chardev',
    });
  }
  return gpio;
}

/** One exported line. */
class SysfsLine implements Line {
  readonly #gpio: Gpio;
  readonly #what: string;
  readonly #number: number;
  readonly #released: () => void;
  readonly #tracker: LevelTracker;
  readonly #events: LineEvents;
  #watched = false;
  #floating = false;
  #open = true;

  constructor(
    Base: OnOff['Gpio'],
    chip: SysfsChip,
    number: number,
    { channel, events }: LineRequestSpec,
    released: () => void,
    context: PortContext,
  ) {
    this.#what = `${chip.label} ${channel.key}`;
    this.#number = number;
    this.#released = released;
    this.#events = events;
    this.#tracker = new LevelTracker(events, context.count);
    const fail = (thrown: unknown) => this.#markLost(thrown);
    /** onoff reads the level in its interrupt handler: an exception there would end the process. */
    class Guarded extends Base {
      override readSync(): BinaryValue {
        try {
          return super.readSync();
        } catch (error) {
          fail(error);
          return 0;
        }
      }
    }
    const direction = channel.direction === 'in' ? 'in' : outputDirection(number, channel.openingValue);
    const options = { reconfigureDirection: direction !== 'out', activeLow: false };
    this.#gpio = new Guarded(number, direction, channel.direction === 'in' ? 'both' : 'none', options);
    this.#check(channel.direction);
  }

  read(): boolean {
    const level = this.#attempt(() => this.#gpio.readSync() === 1);
    if (!this.#open) throw new DcsError('PORT_DOWN', `${this.#what} is gone`);
    return level;
  }

  float(): void {
    this.#setDirection('in');
    this.#floating = true;
  }

  write(high: boolean): boolean {
    // Direction and level in one step, as in the request.
    if (this.#floating) this.#setDirection(high ? 'high' : 'low');
    else this.#attempt(() => this.#gpio.writeSync(high ? 1 : 0));
    this.#floating = false;
    return this.read();
  }

  watch({ clock }: PortContext): void {
    this.#tracker.start(this.read());
    this.#watched = true;
    this.#gpio.watch((error, value) => {
      if (!this.#open) return;
      if (error) this.#markLost(error);
      else this.#tracker.interrupt(value === 1, clock.now());
    });
  }

  inspect(): void {
    const level = this.#gpio.readSync() === 1;
    if (this.#open && this.#watched) this.#tracker.inspect(level);
  }

  release(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#released();
    try {
      this.#gpio.unexport();
    } catch {
      // The chip is gone and the line with it: there is nothing to release.
    }
  }

  #markLost(thrown: unknown): void {
    if (!this.#open) return;
    this.release();
    this.#events.lost(kernelError(thrown, this.#what, SYSFS_GPIO));
  }

  /** Sets the direction; the library does that only in its constructor. */
  #setDirection(word: 'in' | 'high' | 'low'): void {
    this.#attempt(() => writeFileSync(join(lineDirectory(this.#number), 'direction'), word));
  }

  #attempt<Result>(work: () => Result): Result {
    if (!this.#open) throw new DcsError('PORT_DOWN', `${this.#what} has been released`);
    try {
      return work();
    } catch (thrown) {
      throw kernelError(thrown, this.#what, SYSFS_GPIO);
    }
  }

  /** Checks direction and edge: on a line that was exported before, onoff hides that it could not set them. */
  #check(wanted: 'in' | 'out'): void {
    const found = this.#attempt(() => this.#gpio.direction());
    if (found === wanted && (wanted === 'out' || this.#attempt(() => this.#gpio.edge()) === 'both')) return;
    this.release();
    throw new DcsError('NOT_SUPPORTED', `${this.#what} cannot be made an ${wanted}put that signals its edges`, {
      found,
    });
  }
}

/**
 * Returns the direction word that makes a line an output without a glitch: `high` and `low` set level and direction in one step.
 * Without an opening value the line is exported to read its present level; an output stays unchanged.
 */
function outputDirection(number: number, openingValue: RawValue | undefined): 'high' | 'low' | 'out' {
  if (openingValue !== undefined) return openingValue === true ? 'high' : 'low';
  const directory = lineDirectory(number);
  if (!existsSync(directory)) writeFileSync(join(SYSFS_GPIO, 'export'), String(number));
  const text = (name: string) => readFileSync(join(directory, name), 'utf8').trim();
  if (text('direction') === 'out') return 'out';
  return text('value') === '1' ? 'high' : 'low';
}
