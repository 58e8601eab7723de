import { closeSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Executor, Prepare } from '../../src/driver/last-will.ts';
import { DcsError, messageOf } from '../../src/errors/errors.ts';
import { isRecord } from '../../src/message/envelope.ts';
import { type ChardevChip, findChardevChip } from './chardev-chip.ts';
import { kernelError } from './kernel-errors.ts';
import { type Libc, loadLibc } from './libc.ts';
import { SYSFS_GPIO } from './sysfs-chip.ts';
import * as uapi from './uapi.ts';

/** A line and the level that is safe. */
export interface PlannedLine {
  readonly offset: number;
  /** As it was requested: output, with its drive and bias. */
  readonly flags: number;
  readonly high: boolean;
}

export type GpioPlan =
  | { readonly by: 'chardev'; readonly chip: string; readonly name: string; readonly lines: readonly PlannedLine[] }
  /** Lines exported by sysfs stay so when a process ends, and keep their level. */
  | { readonly by: 'sysfs'; readonly lines: readonly { readonly number: number; readonly high: boolean }[] };

/** What gpioinfo shows while the guardian holds a line. */
const CONSUMER = 'dcs-io guardian';

export const prepare: Prepare = async (plan) => {
  if (!isPlan(plan)) throw new DcsError('INTERNAL', 'no last will of a gpio port', { found: plan });
  return plan.by === 'chardev' ? new SafeLines(await loadLibc(), plan) : sysfsLines(plan);
};

/** Takes the lines, driving their safe levels in the same step, and keeps them. */
class SafeLines implements Executor {
  readonly holds = true;
  readonly #libc: Libc;
  readonly #plan: Extract<GpioPlan, { by: 'chardev' }>;
  /** Descriptors by offset: one a line, so that one in foreign hands harms no other. */
  readonly #held = new Map<number, number>();

  constructor(libc: Libc, plan: Extract<GpioPlan, { by: 'chardev' }>) {
    this.#libc = libc;
    this.#plan = plan;
  }

  async attempt(): Promise<void> {
    const { chip, name, lines } = this.#plan;
    const opened = this.#open();
    let trouble: DcsError | undefined;
    for (const line of lines) {
      if (this.#held.has(line.offset)) continue;
      try {
        this.#held.set(line.offset, take(opened, line));
      } catch (thrown) {
        trouble = kernelError(thrown, `${chip} line ${line.offset}`, `/dev/${name}`);
      }
    }
    opened.close();
    if (trouble) throw trouble;
  }

  async release(): Promise<void> {
    for (const fd of this.#held.values()) closeSync(fd);
    this.#held.clear();
  }

  /** By label, for the kernel may have numbered the chips anew; by name when labels are alike. */
  #open(): ChardevChip {
    const { chip, name } = this.#plan;
    try {
      const found = findChardevChip(this.#libc, chip);
      if (found.kind === 'found') return found.chip;
    } catch (error) {
      if (!(error instanceof DcsError) || error.code !== 'BAD_CONFIG') throw error;
    }
    const named = findChardevChip(this.#libc, name);
    if (named.kind === 'found') return named.chip;
    throw new DcsError('PORT_DOWN', named.reason);
  }
}

function take(chip: ChardevChip, { offset, flags, high }: PlannedLine): number {
  const request = uapi.lineRequest([offset], CONSUMER, { flags, values: high ? 1n : 0n });
  chip.ioctl(uapi.GET_LINE, request);
  return uapi.requestedFd(request);
}

function sysfsLines({ lines }: Extract<GpioPlan, { by: 'sysfs' }>): Executor {
  return {
    holds: false,
    async attempt() {
      let trouble = '';
      for (const { number, high } of lines) {
        try {
          const folder = join(SYSFS_GPIO, `gpio${number}`);
          if (!existsSync(folder)) writeFileSync(join(SYSFS_GPIO, 'export'), String(number));
          // Direction and level in one step.
          writeFileSync(join(folder, 'direction'), high ? 'high' : 'low');
        } catch (error) {
          trouble = messageOf(error);
        }
      }
      if (trouble !== '') throw new DcsError('PORT_DOWN', trouble);
    },
    release: async () => undefined,
  };
}

function isPlan(plan: unknown): plan is GpioPlan {
  return isRecord(plan) && (plan['by'] === 'chardev' || plan['by'] === 'sysfs') && Array.isArray(plan['lines']);
}
