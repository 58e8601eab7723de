import { closeSync } from 'node:fs';
import type { HeldDescriptors } from '../../src/driver/contract.ts';
import { isRecord } from '../../src/message/envelope.ts';
import { type Located, lineFlags, onePlan, type RequestPlan, unwanted } from './line-plan.ts';

/** Outputs that one descriptor of the kernel holds, in the order of their request. */
export interface HeldLines {
  readonly offsets: readonly number[];
  /** As they were requested: output, with drive and bias. */
  readonly flags: number;
  /** Those of them that are inputs for the time being: driven by nobody. */
  readonly floating: readonly number[];
}

/** A descriptor another process has passed on, and what it holds. */
export interface PassedLines extends HeldLines {
  readonly fd: number;
}

/** What is passed on with the descriptors, one entry each. */
export interface ChipEstate {
  readonly chip: string;
  readonly name: string;
  readonly held: readonly HeldLines[];
}

/**
 * The lines of this chip among what was passed on. Everything else is let go: another chip's (it has been exchanged since),
 * or from a version of this driver that says it in another way.
 */
export function passedLines(estates: readonly HeldDescriptors[], chip: { label: string; name: string }): PassedLines[] {
  return estates.flatMap(({ plan, descriptors }) => {
    const ours = isChipEstate(plan) && plan.chip === chip.label && plan.name === chip.name;
    const held = ours && plan.held.length === descriptors.length ? plan.held : [];
    return descriptors.flatMap((fd, at) => {
      const lines = held[at];
      if (lines) return [{ fd, ...lines }];
      closeSync(fd);
      return [];
    });
  });
}

/** How the lines of a descriptor go on. */
export interface Continuation {
  /** In the descriptor's order; a place of NOBODY where a line is not wanted any more. */
  readonly plan: RequestPlan;
  /** Bits of the lines nobody wants: they cannot be given back alone, so they are driven no more. */
  readonly idle: bigint;
}

/**
 * How the lines of a descriptor go on, whatever became of their pins. Undefined when it has to be let go: nobody wants any
 * of them, one is to be an input, or their settings differ now.
 */
export function continuation({ offsets }: HeldLines, located: readonly Located[]): Continuation | undefined {
  const found = offsets.map((offset) => located.find((line) => line.offset === offset));
  const wanted = found.flatMap((line) => line ?? []);
  const [first] = wanted;
  const settings = new Set(wanted.map(({ wish }) => lineFlags(wish)));
  if (!first || settings.size > 1 || wanted.some(({ wish }) => wish.channel.direction === 'in')) return undefined;
  const plan = onePlan(offsets.map((offset, at) => found[at] ?? unwanted(offset, first)));
  const idle = found.reduce((bits, line, at) => (line ? bits : bits | (1n << BigInt(at))), 0n);
  return { plan, idle };
}

export function isHeldLines(found: unknown): found is HeldLines {
  if (!isRecord(found) || typeof found['flags'] !== 'number') return false;
  return [found['offsets'], found['floating']].every(
    (list) => Array.isArray(list) && list.every((offset) => typeof offset === 'number'),
  );
}

function isChipEstate(plan: unknown): plan is ChipEstate {
  if (!isRecord(plan) || typeof plan['chip'] !== 'string' || typeof plan['name'] !== 'string') return false;
  return Array.isArray(plan['held']) && plan['held'].every(isHeldLines);
}
