import type { DurationMs } from '../../src/clock/clock.ts';
import type { Channel, Remark } from '../../src/driver/contract.ts';
import { planBlocks } from '../../src/driver/kit/block-planner.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { type AddressDefaults, type ModbusAddress, readSpanOf, spanOf } from './address.ts';
import type { ModbusOptions } from './options.ts';
import type { Span } from './protocol/request.ts';
import { collectQuirks, unitLimits } from './quirks.ts';
import { DEFAULT_RESPONSE_MS, lineTiming, planLimits, readTime } from './transport/line-timing.ts';

/** Above this there is no room left for writes, retries and slower devices. */
const MAX_UTILISATION = 0.9;
const COMMON_BAUDS = [9600, 19_200, 38_400, 57_600, 115_200];

/** See Driver.review: registers that overlap, and a serial bus that cannot keep its poll rates. */
export function review(options: ModbusOptions, channels: readonly Channel<ModbusAddress>[]): Remark[] {
  try {
    collectQuirks(channels.map(({ address }) => ({ unit: address.unit ?? options.unit, quirks: address.quirks })));
    return [...reviewOverlaps(channels, options), ...reviewLoad(options, channels)];
  } catch (error) {
    if (error instanceof DcsError)
      return [{ message: error.message, fatal: true, ...(error.expected ? { expected: error.expected } : {}) }];
    throw error;
  }
}

/** See Driver.estimate: what polling takes of a serial bus, by the formula of the line's time. */
export function outlook(options: ModbusOptions, channels: readonly Channel<ModbusAddress>[]): string | undefined {
  const found = busLoad(
    channels.map(({ address }) => address),
    options,
  );
  if (!found || found.requests === 0) return undefined;
  const { utilisation, requests, cycleMs } = found;
  const reads = `${requests} read${requests === 1 ? '' : 's'}`;
  return `${Math.round(100 * utilisation)} % of the bus; ${reads}, all of them one after the other in ${Math.ceil(cycleMs)} ms`;
}

function reviewLoad(options: ModbusOptions, channels: readonly Channel<ModbusAddress>[]): Remark[] {
  const found = busLoad(
    channels.map(({ address }) => address),
    options,
  );
  if (!found || found.utilisation <= MAX_UTILISATION) return [];
  const percent = Math.round(100 * found.utilisation);
  const times = (found.utilisation / MAX_UTILISATION).toFixed(1);
  const faster = COMMON_BAUDS.find((baud) => {
    const line = { ...options.line, baud };
    const other = busLoad(
      channels.map(({ address }) => address),
      { ...options, line },
    );
    return baud > options.line.baud && other !== undefined && other.utilisation <= MAX_UTILISATION;
  });
  const instead = faster === undefined ? '' : `, or ${faster} baud`;
  return [
    {
      message: `polling takes ${percent} % of the bus: ${found.requests} requests, ${Math.round(found.cycleMs)} ms a round`,
      expected: `poll periods ${times} times as long${instead}`,
      // Beyond the whole bus no value comes as often as asked for.
      ...(found.utilisation > 1 && { fatal: true }),
    },
  ];
}

/** What polling asks of a serial bus. */
export interface BusLoad {
  /** Share of the line's time that the reads take; above 1 the bus cannot keep the rates asked for. */
  readonly utilisation: number;
  /** Time to read everything once: the longest a value may wait behind all the others. */
  readonly cycleMs: DurationMs;
  /** Requests per round. */
  readonly requests: number;
}

/**
 * The load of a serial bus, from the formula of the line's time and the very plan the port would make. `slaveMs`: how
 * long a device thinks, unless more is known. Undefined for networks, which have no rate to reckon with.
 */
export function busLoad(
  addresses: readonly ModbusAddress[],
  options: ModbusOptions,
  slaveMs: DurationMs = DEFAULT_RESPONSE_MS,
): BusLoad | undefined {
  if (options.way.by !== 'serial') return undefined;
  const quirks = collectQuirks(addresses.map((one) => ({ unit: one.unit ?? options.unit, quirks: one.quirks })));
  const limits = planLimits(options.max_gap, lineTiming(options.line));
  const classes = new Map<string, ModbusAddress[]>();
  for (const address of addresses) {
    const { unit, table } = readSpanOf(address, options);
    const name = `${unit}/${table}/${address.pollMs ?? options.poll}`;
    classes.set(name, [...(classes.get(name) ?? []), address]);
  }
  let [utilisation, cycleMs, requests] = [0, 0, 0];
  for (const members of classes.values()) {
    const unit = members[0]?.unit ?? options.unit;
    const own = quirks.get(unit);
    const timing = lineTiming(own?.line ?? options.line);
    for (const { span } of planBlocks(members, (one) => readSpanOf(one, options), unitLimits(limits, own))) {
      const time = readTime(span, timing, slaveMs) + (own?.pause ?? options.pause);
      utilisation += time / (members[0]?.pollMs ?? options.poll);
      cycleMs += time;
      requests++;
    }
  }
  return { utilisation, cycleMs, requests };
}

interface LocatedChannel {
  readonly channel: Channel<ModbusAddress>;
  readonly span: Span;
}

/**
 * Pins whose registers overlap: nearly always a wrong address or a wrong type, and then one of the two values is
 * nonsense. Parts of one register (bits, bytes) are meant to share it.
 */
export function reviewOverlaps(channels: readonly Channel<ModbusAddress>[], defaults: AddressDefaults): Remark[] {
  const placed = channels
    // Where a SunSpec model lies is known only to the device.
    .filter(({ address }) => address.model === undefined)
    .map((channel): LocatedChannel => ({ channel, span: spanOf(channel.address, defaults) }))
    .sort((a, b) => compareSpans(a.span, b.span));
  const remarks: Remark[] = [];
  let last: LocatedChannel | undefined;
  for (const next of placed) {
    if (last && spansOverlap(last.span, next.span) && !(last.channel.address.bits && next.channel.address.bits)) {
      remarks.push({
        channel: next.channel.key,
        message: `${next.channel.key} lies in the registers of ${last.channel.key} (${spanText(last.span)})`,
        expected: 'registers of their own; look at the address and the type of both',
      });
    }
    if (last === undefined || !spansOverlap(last.span, next.span) || endOf(next.span) > endOf(last.span)) last = next;
  }
  return remarks;
}

function compareSpans(a: Span, b: Span): number {
  if (a.unit !== b.unit) return a.unit - b.unit;
  if (a.table !== b.table) return a.table < b.table ? -1 : 1;
  return a.first - b.first || b.count - a.count;
}

function spansOverlap(a: Span, b: Span): boolean {
  return a.unit === b.unit && a.table === b.table && b.first < endOf(a);
}

function endOf({ first, count }: Span): number {
  return first + count;
}

function spanText({ first, count }: Span): string {
  return count === 1 ? String(first) : `${first} to ${first + count - 1}`;
}
