import { closeSync } from 'node:fs';
import type { HeldDescriptors } from '../../src/driver/contract.ts';
import { isRecord } from '../../src/message/envelope.ts';
import type { GpioChannel, HeldChipLines, HeldLines, LineRequestSpec } from './backend.ts';
import type { ChardevChip } from './chardev-chip.ts';
import * as uapi from './uapi.ts';
import { flags, type LineLibc, MAX_LINES } from './uapi.ts';

/** A line to request whose offset is known. */
export interface LocatedLine {
  readonly spec: LineRequestSpec;
  readonly offset: number;
  /** Index in the list of requested lines; UNUSED for a line that no channel uses. */
  readonly index: number;
}

/** Lines of equal settings, which share one request and so one descriptor. */
export interface RequestPlan {
  readonly lines: readonly LocatedLine[];
  readonly direction: 'in' | 'out';
  readonly flags: number;
  readonly debounceUs: number;
  /** Outputs keep their level, so it must be read before they are driven. */
  readonly keepLevel: boolean;
  readonly bothEdges: boolean;
  /** Time stamps come from the monotonic clock. */
  readonly timed: boolean;
}

/** Groups lines of equal settings, at most 64 a request. */
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

/** The request for lines of equal settings. */
export function planRequest(lines: readonly LocatedLine[]): RequestPlan {
  const spec = lines[0]?.spec;
  const channel = spec?.channel;
  return {
    lines,
    direction: channel?.direction ?? 'in',
    flags: spec ? lineFlags(spec) : 0,
    debounceUs: channel ? debounceUs(channel) : 0,
    keepLevel: channel ? keepsLevel(channel) : false,
    bothEdges: spec?.edges === 'both',
    timed: spec?.timed ?? false,
  };
}

/** Index of a line that no channel uses. */
export const UNUSED = -1;

/** Stands for a line that no channel uses, but that is held together with `other`. */
export function unusedLine(offset: number, other: LocatedLine): LocatedLine {
  const { bias, drive } = other.spec.channel.address;
  const address = { gpio: offset, ...(bias && { bias }), ...(drive && { drive }) };
  const channel: GpioChannel = { key: `line ${offset}`, kind: 'digital', direction: 'out', address, debounceMs: 0 };
  return { spec: { channel, edges: 'both', timed: false, events: { level() {}, lost() {} } }, offset, index: UNUSED };
}

function keepsLevel({ direction, openingValue }: GpioChannel): boolean {
  return direction === 'out' && openingValue === undefined;
}

function debounceUs({ direction, debounceMs }: GpioChannel): number {
  return direction === 'in' ? Math.round(debounceMs * 1000) : 0;
}

const EDGES = {
  rising: flags.risingEdge,
  falling: flags.fallingEdge,
  both: flags.risingEdge | flags.fallingEdge,
} as const;

/** The kernel's flags of a line, without its clock (gpio_v2_line_flag). */
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

/** A descriptor that another process has handed over, and what it holds. */
export interface HandedOverLines extends HeldLines {
  readonly fd: number;
}

/**
 * The lines of this chip among the handed-over descriptors. Closes all others: they belong to another chip, or come from a
 * version of this driver with another format.
 */
export function handedOverLines(
  handedOver: readonly HeldDescriptors[],
  chip: { label: string; name: string },
): HandedOverLines[] {
  return handedOver.flatMap(({ plan, descriptors }) => {
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

/** Plan to go on with the lines of a handed-over descriptor. */
export interface AdoptionPlan {
  /** In the descriptor's order, with UNUSED lines where no channel uses a line any more. */
  readonly plan: RequestPlan;
  /** Bits of the unused lines. They cannot be released alone, so they become inputs. */
  readonly idle: bigint;
}

/**
 * Plans how to go on with the lines of a descriptor. `undefined` when it has to be closed: no channel uses any of them, one has
 * become an input, or their settings differ now.
 */
export function planAdoption({ offsets }: HeldLines, located: readonly LocatedLine[]): AdoptionPlan | undefined {
  const found = offsets.map((offset) => located.find((line) => line.offset === offset));
  const wanted = found.flatMap((line) => line ?? []);
  const [first] = wanted;
  const settings = new Set(wanted.map(({ spec }) => lineFlags(spec)));
  if (!first || settings.size > 1 || wanted.some(({ spec }) => spec.channel.direction === 'in')) return undefined;
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

// In the functions below bit n is the n-th line of the request.

/** The opening values of outputs. */
export function openingLevels({ lines }: RequestPlan): bigint {
  return lines.reduce(
    (bits, { spec }, at) => (spec.channel.openingValue === true ? bits | (1n << BigInt(at)) : bits),
    0n,
  );
}

/** Levels for adopted lines: the opening value, else the present level. Throws a SystemCallError. */
export function adoptedLevels(libc: LineLibc, chip: ChardevChip, fd: number, plan: RequestPlan): bigint {
  const kept = plan.lines.reduce(
    (bits, { spec }, at) => (spec.channel.openingValue === undefined ? bits | (1n << BigInt(at)) : bits),
    0n,
  );
  return openingLevels(plan) | (kept === 0n ? 0n : currentLevels(libc, chip, fd, plan) & kept);
}

/** The present levels of held lines, to be driven from now on. Throws a SystemCallError. */
export function currentLevels(libc: LineLibc, chip: ChardevChip, fd: number, { lines }: RequestPlan): bigint {
  const values = uapi.lineValues(0n, uapi.allLines(lines.length));
  libc.ioctl(fd, uapi.GET_VALUES, values);
  let levels = values.readBigUInt64LE(0);
  lines.forEach(({ offset, spec }, at) => {
    const { drive } = spec.channel.address;
    if (drive === undefined || drive === 'push-pull') return;
    if (chip.line(offset).flags & uapi.flags.output) return;
    // Not driven so far, and it stays so: high releases an open-drain output, low releases an open-source output.
    const bit = 1n << BigInt(at);
    levels = drive === 'open-drain' ? levels | bit : levels & ~bit;
  });
  return levels;
}
