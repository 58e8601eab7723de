import { closeSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HeldDescriptors } from '../../src/driver/contract.ts';
import type { Prepare, SafeStateExecutor } from '../../src/driver/crash-plan.ts';
import { DcsError, messageOf } from '../../src/errors/errors.ts';
import { loadLibc } from '../../src/linux/libc.ts';
import type { Log } from '../../src/log/log.ts';
import { isRecord } from '../../src/message/envelope.ts';
import type { GpioPlan, HeldChipLines, SafeLine } from './backend.ts';
import { type ChardevChip, findChardevChip } from './chardev-chip.ts';
import { type HandedOverLines, handedOverLines } from './line-plan.ts';
import { SYSFS_GPIO } from './onoff.ts';
import type { LineLibc } from './uapi.ts';
import * as uapi from './uapi.ts';
import { kernelError } from './uapi.ts';

/** The consumer that gpioinfo shows while the guardian holds a line. */
const CONSUMER = 'dcs-io guardian';

export const prepare: Prepare = async (plan, { log }, descriptors) => {
  if (!isPlan(plan)) throw new DcsError('INTERNAL', 'this is not the crash plan of a gpio port', { found: plan });
  return plan.by === 'chardev'
    ? new ChardevExecutor(await loadLibc('backend chardev'), plan, descriptors, log)
    : createSysfsExecutor(plan);
};

/**
 * Drives lines to their safe levels through the descriptors it got. Lines without a descriptor are requested, driven in the same
 * step, and stay held.
 */
class ChardevExecutor implements SafeStateExecutor {
  readonly #libc: LineLibc;
  readonly #log: Log;
  readonly #plan: Extract<GpioPlan, { by: 'chardev' }>;
  #held: HandedOverLines[];
  /** Offsets of the lines that have their safe level. */
  readonly #driven = new Set<number>();

  constructor(libc: LineLibc, plan: Extract<GpioPlan, { by: 'chardev' }>, descriptors: readonly number[], log: Log) {
    this.#libc = libc;
    this.#log = log;
    this.#plan = plan;
    this.#held = handedOverLines([{ plan, descriptors }], { label: plan.chip, name: plan.name });
  }

  get holds(): boolean {
    return this.#held.length > 0;
  }

  async attempt(): Promise<void> {
    for (const held of [...this.#held]) this.#drive(held);
    const missing = this.#plan.lines.filter(({ offset }) => !this.#driven.has(offset));
    if (missing.length > 0) this.#requestLines(missing);
  }

  handOver(): HeldDescriptors {
    const { chip, name } = this.#plan;
    const plan: HeldChipLines = { chip, name, held: this.#held.map(({ fd, ...held }) => held) };
    return { plan, descriptors: this.#held.map(({ fd }) => fd) };
  }

  async release(): Promise<void> {
    for (const { fd } of this.#held.splice(0)) closeSync(fd);
    this.#driven.clear();
  }

  /** Drives lines that are held already: only their level changes. */
  #drive(held: HandedOverLines): void {
    const lines = this.#plan.lines.filter(({ offset }) => held.offsets.includes(offset) && !this.#driven.has(offset));
    if (lines.length === 0) return;
    try {
      driveLines(this.#libc, held, lines);
      for (const { offset } of lines) this.#driven.add(offset);
    } catch (thrown) {
      // The chip is gone. When it is back, its lines can be requested again.
      const { chip, name } = this.#plan;
      const { message } = kernelError(thrown, `${chip} lines ${held.offsets.join(', ')}`, `/dev/${name}`);
      this.#log.warn({ chip }, `the held lines are lost: ${message}`);
      closeSync(held.fd);
      this.#held = this.#held.filter((one) => one !== held);
    }
  }

  /** Requests each line alone, so that a line held by another process affects no other. */
  #requestLines(lines: readonly SafeLine[]): void {
    const { chip, name } = this.#plan;
    const opened = this.#open();
    let failure: DcsError | undefined;
    for (const line of lines) {
      const { offset, flags } = line;
      try {
        this.#held.push({ fd: requestLine(opened, line), offsets: [offset], flags, floating: [] });
        this.#driven.add(offset);
      } catch (thrown) {
        failure = kernelError(thrown, `${chip} line ${offset}`, `/dev/${name}`);
      }
    }
    opened.close();
    if (failure) throw failure;
  }

  /** Finds the chip by label, because its number may have changed; by name when several have that label. */
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

/** Drives some lines of a request; the others stay as they are. Throws a SystemCallError. */
function driveLines(
  libc: LineLibc,
  { fd, offsets, flags, floating }: HandedOverLines,
  lines: readonly SafeLine[],
): void {
  const bitOf = (offset: number) => 1n << BigInt(offsets.indexOf(offset));
  const mask = lines.reduce((bits, { offset }) => bits | bitOf(offset), 0n);
  const levels = lines.reduce((bits, { offset, high }) => (high ? bits | bitOf(offset) : bits), 0n);
  if (!lines.some(({ offset }) => floating.includes(offset))) {
    libc.ioctl(fd, uapi.SET_VALUES, uapi.lineValues(levels, mask));
    return;
  }
  // An input becomes an output only when all lines are configured again: the others keep their present level.
  const present = uapi.lineValues(0n, uapi.allLines(offsets.length));
  libc.ioctl(fd, uapi.GET_VALUES, present);
  const stillFloating = floating.filter((offset) => !lines.some((line) => line.offset === offset));
  const except = {
    flags: uapi.inputFlags(flags),
    mask: stillFloating.reduce((bits, offset) => bits | bitOf(offset), 0n),
  };
  const values = (present.readBigUInt64LE(0) & ~mask) | levels;
  libc.ioctl(fd, uapi.SET_CONFIG, uapi.lineConfig(offsets.length, { flags, values, except }));
}

function requestLine(chip: ChardevChip, { offset, flags, high }: SafeLine): number {
  const request = uapi.lineRequest([offset], CONSUMER, { flags, values: high ? 1n : 0n });
  chip.ioctl(uapi.GET_LINE, request);
  return uapi.requestedFd(request);
}

function createSysfsExecutor({ lines }: Extract<GpioPlan, { by: 'sysfs' }>): SafeStateExecutor {
  return {
    holds: false,
    async attempt() {
      let failure = '';
      for (const { number, high } of lines) {
        try {
          const folder = join(SYSFS_GPIO, `gpio${number}`);
          if (!existsSync(folder)) writeFileSync(join(SYSFS_GPIO, 'export'), String(number));
          // Direction and level in one step.
          writeFileSync(join(folder, 'direction'), high ? 'high' : 'low');
        } catch (error) {
          failure = messageOf(error);
        }
      }
      if (failure !== '') throw new DcsError('PORT_DOWN', failure);
    },
    release: async () => undefined,
  };
}

function isPlan(plan: unknown): plan is GpioPlan {
  return isRecord(plan) && (plan['by'] === 'chardev' || plan['by'] === 'sysfs') && Array.isArray(plan['lines']);
}
