import { closeSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HeldDescriptors } from '../../src/driver/contract.ts';
import type { Prepare, SafeStateExecutor } from '../../src/driver/crash-plan.ts';
import { DcsError, messageOf } from '../../src/errors/errors.ts';
import { loadLibc } from '../../src/linux/libc.ts';
import type { Log } from '../../src/log/log.ts';
import { isRecord } from '../../src/message/envelope.ts';
import { type ChardevChip, findChardevChip } from './chardev-chip.ts';
import { type HandedOverLines, type HeldChipLines, handedOverLines } from './line-plan.ts';
import { SYSFS_GPIO } from './onoff.ts';
import type { LineLibc } from './uapi.ts';
import * as uapi from './uapi.ts';
import { kernelError } from './uapi.ts';

/** A line and the level that is safe. */
export interface SafeLine {
  readonly offset: number;
  /** As it was requested: output, with its drive and bias. */
  readonly flags: number;
  readonly high: boolean;
}

export type GpioPlan =
  /** `held`: what the descriptors hold that come with it, if they do. */
  | ({ readonly by: 'chardev'; readonly lines: readonly SafeLine[] } & HeldChipLines)
  /** Lines exported by sysfs stay so when a process ends, and keep their level. */
  | { readonly by: 'sysfs'; readonly lines: readonly { readonly number: number; readonly high: boolean }[] };

/** What gpioinfo shows while the guardian holds a line. */
const CONSUMER = 'dcs-io guardian';

export const prepare: Prepare = async (plan, { log }, descriptors) => {
  if (!isPlan(plan)) throw new DcsError('INTERNAL', 'no last will of a gpio port', { found: plan });
  return plan.by === 'chardev'
    ? new ChardevExecutor(await loadLibc('backend chardev'), plan, descriptors, log)
    : createSysfsExecutor(plan);
};

/**
 * Drives lines to their safe levels through the descriptors it was passed. Lines without one it takes, driving them in the
 * same step, and keeps.
 */
class ChardevExecutor implements SafeStateExecutor {
  readonly #libc: LineLibc;
  readonly #log: Log;
  readonly #plan: Extract<GpioPlan, { by: 'chardev' }>;
  #held: HandedOverLines[];
  /** Lines that have their safe level. */
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

  /** Lines that are held already: nothing but their level changes. */
  #drive(held: HandedOverLines): void {
    const lines = this.#plan.lines.filter(({ offset }) => held.offsets.includes(offset) && !this.#driven.has(offset));
    if (lines.length === 0) return;
    try {
      driveLines(this.#libc, held, lines);
      for (const { offset } of lines) this.#driven.add(offset);
    } catch (thrown) {
      // Of a chip that has gone: its lines may be had anew where it is back.
      const { chip, name } = this.#plan;
      const { message } = kernelError(thrown, `${chip} lines ${held.offsets.join(', ')}`, `/dev/${name}`);
      this.#log.warn({ chip }, `what was held is of no use any more: ${message}`);
      closeSync(held.fd);
      this.#held = this.#held.filter((one) => one !== held);
    }
  }

  /** One descriptor a line, so that one in foreign hands harms no other. */
  #requestLines(lines: readonly SafeLine[]): void {
    const { chip, name } = this.#plan;
    const opened = this.#open();
    let trouble: DcsError | undefined;
    for (const line of lines) {
      const { offset, flags } = line;
      try {
        this.#held.push({ fd: requestLine(opened, line), offsets: [offset], flags, floating: [] });
        this.#driven.add(offset);
      } catch (thrown) {
        trouble = kernelError(thrown, `${chip} line ${offset}`, `/dev/${name}`);
      }
    }
    opened.close();
    if (trouble) throw trouble;
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

/** Those of a request's lines that are to be safe; the others stay as they are. Throws a SystemCallError. */
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
  // An input becomes an output only with all the others configured anew: those keep the level they show.
  const shown = uapi.lineValues(0n, uapi.allLines(offsets.length));
  libc.ioctl(fd, uapi.GET_VALUES, shown);
  const still = floating.filter((offset) => !lines.some((line) => line.offset === offset));
  const except = { flags: uapi.inputFlags(flags), mask: still.reduce((bits, offset) => bits | bitOf(offset), 0n) };
  const values = (shown.readBigUInt64LE(0) & ~mask) | levels;
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
