import type { DurationMs } from '../../src/clock/clock.ts';
import type { Channel, Remark } from '../../src/driver/contract.ts';
import { type PlanLimits, planBlocks } from '../../src/driver/kit/block-planner.ts';
import { DcsError, messageOf } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { type AddressDefaults, type ModbusAddress, pollSpanOf, registerFormat, spanOf } from './address.ts';
import { isNoOrder } from './levels.ts';
import { lossMistakes } from './loss.ts';
import type { ModbusOptions } from './options.ts';
import { mayReadWhole, piecesOf } from './pieces.ts';
import type { TableSpan } from './protocol/request.ts';
import { collectQuirks, type Quirks, readLimits } from './quirks.ts';
import { DEFAULT_RESPONSE_MS, lineTiming, readGap, readTime } from './transport/line-timing.ts';

/** Above this share of the bus no time is left for writes, retries and slower devices. */
const MAX_UTILISATION = 0.9;
const COMMON_BAUDS = [9600, 19_200, 38_400, 57_600, 115_200];

/** See Driver.review: registers that overlap, and a serial bus that cannot keep its poll rates. */
export function review(options: ModbusOptions, channels: readonly Channel<ModbusAddress>[]): Remark[] {
  try {
    collectQuirks(channels.map(({ address }) => ({ unit: address.unit ?? options.unit, quirks: address.quirks })));
    return [
      ...reviewQuirks(channels, options),
      ...reviewModels(channels),
      ...reviewValues(channels),
      ...reviewOverlaps(channels, options),
      ...reviewLoad(options, channels),
    ];
  } catch (error) {
    if (error instanceof DcsError)
      return [{ message: error.message, fatal: true, ...(error.expected ? { expected: error.expected } : {}) }];
    throw error;
  }
}

/** Finds safe and initial values that cannot be written: an output that can never be made safe. */
function reviewValues(channels: readonly Channel<ModbusAddress>[]): Remark[] {
  return channels.flatMap((channel) =>
    (
      [
        ['safe', channel.returnValue?.()],
        ['initial', channel.openingValue],
      ] as const
    ).flatMap(([key, value]): Remark[] => {
      const message = value === undefined ? undefined : encodingMistake(channel.address, value);
      return message === undefined ? [] : [{ channel: channel.key, key, message, fatal: true }];
    }),
  );
}

/** Why a raw value cannot be written. `undefined` when it can, as far as that is known without the device. */
function encodingMistake(address: ModbusAddress, value: RawValue): string | undefined {
  try {
    for (const one of [address, ...address.alternatives]) {
      // Only the device knows its power of ten.
      if (one.scaleOffset === undefined && !isNoOrder(one, value)) registerFormat(one)?.encode(value);
    }
    return undefined;
  } catch (error) {
    return `this value cannot be written: ${messageOf(error)}`;
  }
}

/** Finds quirks that have no effect on this port, or contradict it; each unit is reported once. */
function reviewQuirks(channels: readonly Channel<ModbusAddress>[], options: ModbusOptions): Remark[] {
  const units = new Set<number>();
  return channels.flatMap(({ key, address: { unit = options.unit, quirks } }): Remark[] => {
    if (!quirks || units.has(unit)) return [];
    units.add(unit);
    return quirkMistakes(quirks, options).map(([quirk, message, expected]) => ({
      channel: key,
      key: `quirks.${quirk}`,
      message: `unit ${unit}: ${message}`,
      expected,
      fatal: true,
    }));
  });
}

/** SunSpec models that have the same points at the same places: for one, two and three phases. */
const SIMILAR_MODELS = [
  [101, 102, 103],
  [111, 112, 113],
  [201, 202, 203, 204],
  [211, 212, 213, 214],
];

/** Finds pins that expect the same registers in SunSpec models that are not laid out alike. */
function reviewModels(channels: readonly Channel<ModbusAddress>[]): Remark[] {
  const layout = (model = 0) => SIMILAR_MODELS.find((models) => models.includes(model))?.[0] ?? model;
  return channels.flatMap(({ key, address }): Remark[] => {
    const { first, type, model } = address;
    const other = address.alternatives.find(
      (one) => one.first === first && one.type === type && layout(one.model) !== layout(model),
    );
    if (!other) return [];
    return [
      {
        channel: key,
        key: 'sunspec',
        message: `SunSpec models ${model} and ${other.model} have different points at ${first}`,
        expected: `keys of its own for each: sunspec: {${model}: {holding: ${first}, …}, ${other.model}: {…}}`,
      },
    ];
  });
}

/** Each as the quirk, what is wrong with it, and what would be right. */
function quirkMistakes(quirks: Quirks, options: ModbusOptions): [keyof Quirks, string, string][] {
  const { link, framing, in_flight } = options;
  const mistakes = lossQuirkMistakes(quirks, options);
  if (quirks.line && link.by !== 'serial')
    mistakes.push(['line', 'line has no effect over a network', 'a serial port, or line settings in the gateway']);
  if (quirks.transaction_id && framing !== 'tcp')
    mistakes.push(['transaction_id', `${framing} frames have no transaction id`, 'a port with tcp frames']);
  if (quirks.transaction_id && link.by === 'udp')
    mistakes.push(['transaction_id', 'over UDP only the transaction id tells a late reply', 'tcp in place of udp']);
  for (const items of ['registers', 'bits'] as const) {
    const [least, most] = [quirks[`min_${items}`] ?? 1, quirks[`max_${items}`] ?? Number.POSITIVE_INFINITY];
    if (least > most)
      mistakes.push([`min_${items}`, `no read has ${least} and at most ${most} ${items}`, `up to ${most}`]);
  }
  for (const quirk of ['transaction_id', 'unit_id', 'pause'] as const) {
    if (quirks[quirk] && in_flight > 1)
      mistakes.push([quirk, `${quirk} does not go with several requests under way`, 'in_flight: 1']);
  }
  return mistakes;
}

/** Ages of a device's values that do not fit its response timeout or each other, be they its own or its port's. */
function lossQuirkMistakes(quirks: Quirks, options: ModbusOptions): [keyof Quirks, string, string][] {
  const { timeout = options.timeout } = quirks;
  const { uncertain_after = options.uncertain_after, bad_after = options.bad_after } = quirks;
  return lossMistakes({ timeout, uncertain_after, bad_after }).map(({ key, message }) => {
    const at = quirks[key] === undefined ? 'timeout' : key;
    return [at, `${key} is too short for this device`, message];
  });
}

/** See Driver.estimate: the load that polling puts on a serial bus. */
export function estimate(options: ModbusOptions, channels: readonly Channel<ModbusAddress>[]): string | undefined {
  const load = busLoad(addressesOf(channels), options);
  if (!load || load.requests === 0) return undefined;
  const { utilisation, requests, cycleMs } = load;
  const reads = `${requests} read${requests === 1 ? '' : 's'}`;
  return `${Math.round(100 * utilisation)} % of the bus; ${reads}, all of them one after the other in ${Math.ceil(cycleMs)} ms`;
}

function reviewLoad(options: ModbusOptions, channels: readonly Channel<ModbusAddress>[]): Remark[] {
  const addresses = addressesOf(channels);
  const load = busLoad(addresses, options);
  if (!load || load.utilisation <= MAX_UTILISATION) return [];
  const percent = Math.round(100 * load.utilisation);
  const times = (load.utilisation / MAX_UTILISATION).toFixed(1);
  const faster = COMMON_BAUDS.find((baud) => {
    const other = busLoad(addresses, { ...options, line: { ...options.line, baud } });
    return baud > options.line.baud && other !== undefined && other.utilisation <= MAX_UTILISATION;
  });
  const instead = faster === undefined ? '' : `, or ${faster} baud`;
  return [
    {
      message: `polling takes ${percent} % of the bus: ${load.requests} requests, ${Math.round(load.cycleMs)} ms a round`,
      expected: `poll periods ${times} times as long${instead}`,
      // Above 100 % no value comes at its rate.
      ...(load.utilisation > 1 && { fatal: true }),
    },
  ];
}

function addressesOf(channels: readonly Channel<ModbusAddress>[]): ModbusAddress[] {
  return channels.map(({ address }) => address);
}

/** Load that polling puts on a serial bus. */
export interface BusLoad {
  /** Share of the line's time that the reads take; above 1 the bus cannot keep the poll rates. */
  readonly utilisation: number;
  /** Time to read everything once: the longest wait of a value behind all the others. */
  readonly cycleMs: DurationMs;
  /** Number of requests per cycle. */
  readonly requests: number;
}

/**
 * Computes the load of a serial bus from the read times and from the plan that the port would make. `responseMs`: response
 * delay of the devices. `undefined` for networks, which have no baud rate.
 */
export function busLoad(
  addresses: readonly ModbusAddress[],
  options: ModbusOptions,
  responseMs: DurationMs = DEFAULT_RESPONSE_MS,
): BusLoad | undefined {
  if (options.link.by !== 'serial') return undefined;
  const quirks = collectQuirks(addresses.map((one) => ({ unit: one.unit ?? options.unit, quirks: one.quirks })));
  const gap = options.max_gap ?? readGap(lineTiming(options.line));
  const classes = new Map<string, ModbusAddress[]>();
  for (const address of addresses.filter(({ read }) => read !== false)) {
    const { unit, table } = pollSpanOf(address, options);
    const { pollMs = options.poll, registerBytes, model, instance } = address;
    // Nobody knows which SunSpec models a device has side by side.
    const apart = [registerBytes, model, model && instance].join('/');
    const name = `${unit}/${table}/${pollMs}/${apart}`;
    classes.set(name, [...(classes.get(name) ?? []), address]);
  }
  let [utilisation, cycleMs, requests] = [0, 0, 0];
  for (const [first, ...others] of classes.values()) {
    if (!first) continue;
    const own = quirks.get(first.unit ?? options.unit);
    const timing = lineTiming(own?.line ?? options.line);
    for (const span of plannedReads(
      [first, ...others],
      options,
      readLimits(pollSpanOf(first, options), gap, own),
      own,
    )) {
      const time = readTime(span, timing, responseMs) + (own?.pause ?? options.pause);
      utilisation += time / (first.pollMs ?? options.poll);
      cycleMs += time;
      requests++;
    }
  }
  return { utilisation, cycleMs, requests };
}

/** The reads that the port would send for addresses of one table and period. */
function plannedReads(
  addresses: readonly ModbusAddress[],
  options: ModbusOptions,
  limits: PlanLimits,
  quirks: Quirks | undefined,
): TableSpan[] {
  const spread = addresses.flatMap((address) => {
    const span = pollSpanOf(address, options);
    const pieces = piecesOf(address)?.map((piece) => ({
      ...span,
      first: span.first + piece.first,
      count: piece.count,
    }));
    return pieces && !mayReadWhole(span, pieces, options, quirks) ? [{ address, pieces }] : [];
  });
  const others = addresses.filter((one) => !spread.some(({ address }) => address === one));
  return [
    ...planBlocks(others, (one) => pollSpanOf(one, options), limits).map(({ span }) => span),
    // All pieces but the last are read twice.
    ...spread.flatMap(({ pieces }) => [...pieces, ...pieces.slice(0, -1)]),
  ].map((span) => ({ ...span, count: Math.max(span.count, limits.minItems ?? 1) }));
}

interface LocatedChannel {
  readonly channel: Channel<ModbusAddress>;
  readonly span: TableSpan;
}

/**
 * Finds pins whose registers overlap. That is nearly always a wrong address or type, so that one of the two values is
 * wrong. Bits and bytes of one register share it on purpose.
 */
export function reviewOverlaps(channels: readonly Channel<ModbusAddress>[], defaults: AddressDefaults): Remark[] {
  const located = channels
    // Only the device knows the address of a SunSpec model.
    // An order to a device may share its address with a state.
    .filter(({ address }) => address.model === undefined && !address.selfClearing)
    .map((channel): LocatedChannel => ({ channel, span: spanOf(channel.address, defaults) }))
    .sort((a, b) => compareSpans(a.span, b.span));
  const remarks: Remark[] = [];
  let last: LocatedChannel | undefined;
  for (const next of located) {
    if (last && spansOverlap(last.span, next.span) && sharesRegisters(last, next)) {
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

/**
 * Returns whether a register belongs to both. Parts of one register share it on purpose, and a pin that only reads a field may lie
 * in a value with fields.
 */
function sharesRegisters(a: LocatedChannel, b: LocatedChannel): boolean {
  const [one, other] = [a.channel.address, b.channel.address];
  if (one.bits && other.bits) return false;
  const reads = (own: LocatedChannel, of: LocatedChannel) =>
    of.channel.address.fields && own.channel.direction === 'in';
  if (reads(a, b) || reads(b, a)) return false;
  const [mine, theirs] = [registerFormat(one)?.own, registerFormat(other)?.own];
  if (!mine || !theirs || one.registerBytes !== undefined) return true;
  const shift = 2 * (b.span.first - a.span.first);
  return theirs.some((byte, at) => (byte & (mine[at + shift] ?? 0)) !== 0);
}

function compareSpans(a: TableSpan, b: TableSpan): number {
  if (a.unit !== b.unit) return a.unit - b.unit;
  if (a.table !== b.table) return a.table < b.table ? -1 : 1;
  return a.first - b.first || b.count - a.count;
}

function spansOverlap(a: TableSpan, b: TableSpan): boolean {
  return a.unit === b.unit && a.table === b.table && b.first < endOf(a);
}

function endOf({ first, count }: TableSpan): number {
  return first + count;
}

function spanText({ first, count }: TableSpan): string {
  return count === 1 ? String(first) : `${first} to ${first + count - 1}`;
}
