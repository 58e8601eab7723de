import { closeSync } from 'node:fs';
import type { HeldDescriptors } from '../../src/driver/contract.ts';
import { isRecord } from '../../src/message/envelope.ts';
import type { GpioChannel, LineRequestSpec } from './backend.ts';
import type { ChardevChip } from './chardev-chip.ts';
import * as uapi from './uapi.ts';
import { flags, type LineLibc, MAX_LINES } from './uapi.ts';

/** A wish whose line has been found. */
export interface LocatedLine {
  readonly spec: LineRequestSpec;
  readonly offset: number;
  /** The wish's place in the list it came in. */
  readonly index: number;
}

/** Lines of equal settings, which share one request and so one descriptor. */
export interface RequestPlan {
  readonly lines: readonly LocatedLine[];
  readonly direction: 'in' | 'out';
  readonly flags: number;
  readonly debounceUs: number;
  /** Outputs: their level is to be kept, so it must be read before they are driven. */
  readonly keepLevel: boolean;
  readonly bothEdges: boolean;
  /** Stamped by the monotonic clock. */
  readonly timed: boolean;
}

/** Puts lines of equal settings together, at most 64 a request. */
export function planRequests(lines: readonly LocatedLine[]): RequestPlan[] {
  const plans = new Map<string, LocatedLine[]>();
  for (const line of lines) {
    const { channel, timed } = line.spec;
    const key = [channel.direction, lineFlags(line.spec), debounceUs(channel), keepsLevel(channel), timed].join('/');
    plans.set(key, [...(plans.get(key) ?? []), line]);
  }
  return [...plans.values()].flatMap((alike) => {
    const requests: RequestPlan[] = [];
    for (let from = 0; from < alike.length; from += MAX_LINES)
      requests.push(planRequest(alike.slice(from, from + MAX_LINES)));
    return requests;
  });
}

/** The same plan for some of its lines only. */
export function planRequest(lines: readonly LocatedLine[]): RequestPlan {
  const wish = lines[0]?.spec;
  const channel = wish?.channel;
  return {
    lines,
    direction: channel?.direction ?? 'in',
    flags: wish ? lineFlags(wish) : 0,
    debounceUs: channel ? debounceUs(channel) : 0,
    keepLevel: channel ? keepsLevel(channel) : false,
    bothEdges: wish?.edges === 'both',
    timed: wish?.timed ?? false,
  };
}

/** The place of a wish that is nobody's. */
export const UNUSED = -1;

/** In the place of a line that is held together with another one, and that nobody wants. */
export function unusedLine(offset: number, { spec: wish }: LocatedLine): LocatedLine {
  const { bias, drive } = wish.channel.address;
  const address = { gpio: offset, ...(bias && { bias }), ...(drive && { drive }) };
  const channel: GpioChannel = { key: `line ${offset}`, kind: 'digital', direction: 'out', address, debounceMs: 0 };
  return { spec: { channel, edges: 'both', timed: false, events: { level() {}, lost() {} } }, offset, index: UNUSED };
}

function keepsLevel({ direction, openingValue: start }: GpioChannel): boolean {
  return direction === 'out' && start === undefined;
}

function debounceUs({ direction, debounceMs }: GpioChannel): number {
  return direction === 'in' ? Math.round(debounceMs * 1000) : 0;
}

const EDGES = {
  rising: flags.risingEdge,
  falling: flags.fallingEdge,
  both: flags.risingEdge | flags.fallingEdge,
} as const;

/** The kernel's flags of a line, without its clock. */
export function lineFlags({ channel, edges }: Pick<LineRequestSpec, 'channel' | 'edges'>): number {
  const { direction } = channel;
  const { bias, drive } = channel.address;
  let bits: number = direction === 'in' ? flags.input | EDGES[edges] : flags.output;
  if (bias === 'pull-up') bits |= flags.pullUp;
  if (bias === 'pull-down') bits |= flags.pullDown;
  if (bias === 'off') bits |= flags.biasDisabled;
  if (direction === 'out' && drive === 'open-drain') bits |= flags.openDrain;
  if (direction === 'out' && drive === 'open-source') bits |= flags.openSource;
  return bits;
}

/** Outputs that one descriptor of the kernel holds, in the order of their request. */
export interface HeldLines {
  readonly offsets: readonly number[];
  /** As they were requested: output, with drive and bias. */
  readonly flags: number;
  /** Those of them that are inputs for the time being: driven by nobody. */
  readonly floating: readonly number[];
}

/** A descriptor another process has passed on, and what it holds. */
export interface HandedOverLines extends HeldLines {
  readonly fd: number;
}

/** What is passed on with the descriptors, one entry each. */
export interface HeldChipLines {
  readonly chip: string;
  readonly name: string;
  readonly held: readonly HeldLines[];
}

/**
 * The lines of this chip among what was passed on. Everything else is let go: another chip's (it has been exchanged since),
 * or from a version of this driver that says it in another way.
 */
export function handedOverLines(
  estates: readonly HeldDescriptors[],
  chip: { label: string; name: string },
): HandedOverLines[] {
  return estates.flatMap(({ plan, descriptors }) => {
    const ours = isHeldChipLines(plan) && plan.chip === chip.label && plan.name === chip.name;
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
export interface AdoptionPlan {
  /** In the descriptor's order; a place of NOBODY where a line is not wanted any more. */
  readonly plan: RequestPlan;
  /** Bits of the lines nobody wants: they cannot be given back alone, so they are driven no more. */
  readonly idle: bigint;
}

/**
 * How the lines of a descriptor go on, whatever became of their pins. Undefined when it has to be let go: nobody wants any
 * of them, one is to be an input, or their settings differ now.
 */
export function planAdoption({ offsets }: HeldLines, located: readonly LocatedLine[]): AdoptionPlan | undefined {
  const found = offsets.map((offset) => located.find((line) => line.offset === offset));
  const wanted = found.flatMap((line) => line ?? []);
  const [first] = wanted;
  const settings = new Set(wanted.map(({ spec: wish }) => lineFlags(wish)));
  if (!first || settings.size > 1 || wanted.some(({ spec: wish }) => wish.channel.direction === 'in')) return undefined;
  const plan = planRequest(offsets.map((offset, at) => found[at] ?? unusedLine(offset, first)));
  const idle = found.reduce((bits, line, at) => (line ? bits : bits | (1n << BigInt(at))), 0n);
  return { plan, idle };
}

export function isHeldLines(found: unknown): found is HeldLines {
  if (!isRecord(found) || typeof found['flags'] !== 'number') return false;
  return [found['offsets'], found['floating']].every(
    (list) => Array.isArray(list) && list.every((offset) => typeof offset === 'number'),
  );
}

function isHeldChipLines(plan: unknown): plan is HeldChipLines {
  if (!isRecord(plan) || typeof plan['chip'] !== 'string' || typeof plan['name'] !== 'string') return false;
  return Array.isArray(plan['held']) && plan['held'].every(isHeldLines);
}

// Bit n is the n-th line of the request.

/** The levels outputs are to start with. */
export function openingLevels({ lines }: RequestPlan): bigint {
  return lines.reduce(
    (bits, { spec: wish }, at) => (wish.channel.openingValue === true ? bits | (1n << BigInt(at)) : bits),
    0n,
  );
}

/** The levels lines go on with that have been held all along: those to start with, or what they show. Throws a SystemCallError. */
export function adoptedLevels(libc: LineLibc, chip: ChardevChip, fd: number, plan: RequestPlan): bigint {
  const kept = plan.lines.reduce(
    (bits, { spec: wish }, at) => (wish.channel.openingValue === undefined ? bits | (1n << BigInt(at)) : bits),
    0n,
  );
  return openingLevels(plan) | (kept === 0n ? 0n : currentLevels(libc, chip, fd, plan) & kept);
}

/** The levels held lines show, to be driven from now on. Throws a SystemCallError. */
export function currentLevels(libc: LineLibc, chip: ChardevChip, fd: number, { lines }: RequestPlan): bigint {
  const values = uapi.lineValues(0n, uapi.allLines(lines.length));
  libc.ioctl(fd, uapi.GET_VALUES, values);
  let levels = values.readBigUInt64LE(0);
  lines.forEach(({ offset, spec: wish }, at) => {
    const { drive } = wish.channel.address;
    if (drive === undefined || drive === 'push-pull') return;
    if (chip.line(offset).flags & uapi.flags.output) return;
    // Not driven so far: it stays so, whatever others do to the wire. Open-drain lets go with high, open-source with low.
    const bit = 1n << BigInt(at);
    levels = drive === 'open-drain' ? levels | bit : levels & ~bit;
  });
  return levels;
}
