import { access, readdir, readFile, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DcsError } from '../../src/errors/errors.ts';
import type { Found } from './backend.ts';

/** Where the kernel's sysfs GPIO interface lives. Deprecated since Linux 4.8, still in many. */
export const SYSFS_GPIO = '/sys/class/gpio';

/** A chip as sysfs shows it: its lines are numbered from `base` on, over all chips of the machine. */
export interface SysfsChip {
  readonly label: string;
  readonly base: number;
  readonly lines: number;
  /** Its own directory; gone when the chip is. */
  readonly directory: string;
}

/**
 * Finds a chip by label or by device name (gpiochip0). The base must be looked up: Linux 6.6 moved the first one from 0
 * to 512, and it depends on the order of probing on older ones.
 */
export async function findSysfsChip(wanted: string, root = SYSFS_GPIO): Promise<Found<SysfsChip>> {
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
 * Whether a chip's character device has this name. Up to Linux 6.5 sysfs links to the chip's parent, later to the chip
 * itself; a parent of several chips makes the name ambiguous, and the caller says so.
 */
async function hasDeviceName({ directory }: SysfsChip, name: string): Promise<boolean> {
  if (!/^gpiochip\d+$/.test(name)) return false;
  try {
    const device = await realpath(join(directory, 'device'));
    if (basename(device) === name) return true;
    await access(join(device, name));
    return true;
  } catch {
    // No such link or child: then this chip goes by another name.
    return false;
  }
}
