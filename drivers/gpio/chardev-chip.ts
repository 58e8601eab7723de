import { closeSync, openSync, readdirSync } from 'node:fs';
import { DcsError, messageOf, systemCode } from '../../src/errors/errors.ts';
import type { ChipSearch } from './backend.ts';
import type { LineLibc } from './uapi.ts';
import * as uapi from './uapi.ts';
import { kernelError } from './uapi.ts';

const DEVICES = '/dev';

/** An open gpiochip. */
export class ChardevChip {
  readonly path: string;
  readonly info: uapi.ChipInfo;
  readonly #libc: LineLibc;
  readonly #fd: number;
  #open = true;
  #names: ReadonlyMap<string, readonly number[]> | undefined;

  constructor(libc: LineLibc, path: string, fd: number, info: uapi.ChipInfo) {
    this.#libc = libc;
    this.path = path;
    this.#fd = fd;
    this.info = info;
  }

  /** Throws a SystemCallError. */
  ioctl(request: number, argument: Uint8Array): void {
    this.#libc.ioctl(this.#fd, request, argument);
  }

  line(offset: number): uapi.LineInfo {
    const buffer = uapi.lineInfoBuffer(offset);
    this.ioctl(uapi.LINE_INFO, buffer);
    return uapi.decodeLineInfo(buffer);
  }

  /** The offset of a line given by number or name. Throws NO_SUCH_CHANNEL. */
  offsetOf(line: number | string): number {
    const { label, lines } = this.info;
    if (typeof line === 'number') {
      if (line < lines) return line;
      throw new DcsError('NO_SUCH_CHANNEL', `${label} has no line ${line}`, {
        found: line,
        expected: `an offset from 0 to ${lines - 1}`,
      });
    }
    const [offset, ...more] = this.#offsets(line);
    if (offset === undefined) {
      throw new DcsError('NO_SUCH_CHANNEL', `${label} has no line named ${line}`, {
        found: line,
        expected: [...(this.#names?.keys() ?? [])].join(', ') || 'an offset: this chip names no line',
      });
    }
    if (more.length === 0) return offset;
    throw new DcsError('NO_SUCH_CHANNEL', `${label} has ${more.length + 1} lines named ${line}`, {
      found: [offset, ...more].join(', '),
      expected: 'the offset of one',
    });
  }

  /** A reason when the chip is no longer there. */
  goneError(): DcsError | undefined {
    try {
      this.ioctl(uapi.CHIP_INFO, uapi.chipInfoBuffer());
      return undefined;
    } catch (error) {
      return new DcsError('PORT_DOWN', `gpiochip ${this.info.label} is gone: ${messageOf(error)}`, { cause: error });
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }

  #offsets(name: string): readonly number[] {
    if (!this.#names) {
      const names = new Map<string, number[]>();
      for (let offset = 0; offset < this.info.lines; offset++) {
        const found = this.line(offset).name;
        if (found !== '') names.set(found, [...(names.get(found) ?? []), offset]);
      }
      this.#names = names;
    }
    return this.#names.get(name) ?? [];
  }
}

/** Names of the chips' device files: gpiochip0, …. Empty on machines without GPIO, and on systems that are not Linux. */
export function chipDevices(): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync(DEVICES).filter((name) => /^gpiochip\d+$/.test(name));
}

/**
 * Finds and opens a chip by label or device name. By label is better: the kernel numbers chips in the order it meets
 * them. `absent` also when the kernel is too old for the second interface (before 5.10).
 */
export function findChardevChip(libc: LineLibc, wanted: string): ChipSearch<ChardevChip> {
  const names = chipDevices();
  const present = new Map<string, uapi.ChipInfo>();
  const found = new Map<string, ChardevChip>();
  let refused: DcsError | undefined;
  for (const name of names) {
    const path = `${DEVICES}/${name}`;
    try {
      const chip = openChip(libc, path);
      present.set(chip.info.name, chip.info);
      // A link (Raspberry Pi OS keeps gpiochip4 as one to gpiochip0) is no second chip.
      if ((name === wanted || chip.info.label === wanted) && !found.has(chip.info.name))
        found.set(chip.info.name, chip);
      else chip.close();
    } catch (error) {
      const code = systemCode(error);
      if (code === 'EACCES' || code === 'EPERM') refused = kernelError(error, `gpiochip ${wanted}`, path);
      // Anything else is a chip that is just going away, and so not the one.
    }
  }
  const chips = [...found.values()];
  const [chip] = chips;
  if (chips.length > 1) {
    for (const one of chips) one.close();
    throw new DcsError('BAD_CONFIG', `${chips.length} chips have the label ${wanted}`, {
      found: chips.map(({ info }) => info.name).join(', '),
      expected: 'a device name',
    });
  }
  if (!chip) {
    if (refused) throw refused;
    const list = [...present.values()].map(({ name, label }) => `${label} (${name})`).join(', ');
    return { kind: 'absent', reason: `no gpiochip ${wanted} on this machine (present: ${list || 'none'})` };
  }
  return requireSecondInterface(chip);
}

function openChip(libc: LineLibc, path: string): ChardevChip {
  const fd = openSync(path, 'r+');
  try {
    const buffer = uapi.chipInfoBuffer();
    libc.ioctl(fd, uapi.CHIP_INFO, buffer);
    return new ChardevChip(libc, path, fd, uapi.decodeChipInfo(buffer));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Linux 4.8 to 5.9 have the first interface only. */
function requireSecondInterface(chip: ChardevChip): ChipSearch<ChardevChip> {
  try {
    chip.line(0);
    return { kind: 'found', chip };
  } catch (error) {
    chip.close();
    const code = systemCode(error);
    if (code !== 'EINVAL' && code !== 'ENOTTY') throw kernelError(error, `gpiochip ${chip.info.label}`, chip.path);
    return { kind: 'absent', reason: 'this kernel is too old for backend chardev (Linux 5.10 or later)' };
  }
}
