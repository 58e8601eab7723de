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

  /** Returns the offset of a line given by number or name. Throws NO_SUCH_CHANNEL. */
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

  /** The reason when the chip is gone. */
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

/** Names of the chips' device files: gpiochip0, …; none on machines without GPIO, and on other systems than Linux. */
export function chipDevices(): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync(DEVICES).filter((name) => /^gpiochip\d+$/.test(name));
}

/**
 * Finds and opens a chip by label or device name. The label is better: the kernel numbers chips in the order of their discovery.
 * `absent` also when the kernel is too old for the second interface (before 5.10). Throws a DcsError when the chip cannot be
 * opened, or several have the label.
 */
export function findChardevChip(libc: LineLibc, wanted: string): ChipSearch<ChardevChip> {
  const { found, present, refused } = searchChips(libc, wanted);
  const [chip, ...others] = found;
  if (others.length > 0) {
    for (const one of found) one.close();
    throw new DcsError('BAD_CONFIG', `${found.length} chips have the label ${wanted}`, {
      found: found.map(({ info }) => info.name).join(', '),
      expected: 'a device name',
    });
  }
  if (chip) return requireSecondInterface(chip);
  if (refused) throw refused;
  const list = present.map(({ name, label }) => `${label} (${name})`).join(', ');
  return { kind: 'absent', reason: `no gpiochip ${wanted} on this machine (present: ${list || 'none'})` };
}

/** Opens all chips: `found` have the wanted label or name and stay open, `present` can be opened, `refused` is a missing right. */
function searchChips(libc: LineLibc, wanted: string) {
  const found = new Map<string, ChardevChip>();
  const present = new Map<string, uapi.ChipInfo>();
  let refused: DcsError | undefined;
  for (const name of chipDevices()) {
    const path = `${DEVICES}/${name}`;
    try {
      const chip = openChip(libc, path);
      present.set(chip.info.name, chip.info);
      // Raspberry Pi OS links gpiochip4 to gpiochip0: a link is no second chip.
      if ((name === wanted || chip.info.label === wanted) && !found.has(chip.info.name))
        found.set(chip.info.name, chip);
      else chip.close();
    } catch (error) {
      const code = systemCode(error);
      if (code === 'EACCES' || code === 'EPERM') refused = kernelError(error, `gpiochip ${wanted}`, path);
      // With any other error the chip is just going away, so it is not the wanted one.
    }
  }
  return { found: [...found.values()], present: [...present.values()], refused };
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

/** `absent` and closed with Linux 4.8 to 5.9, which have the first interface only. */
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
