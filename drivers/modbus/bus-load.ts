import type { DurationMs } from '../../src/clock/clock.ts';
import type { ModbusAddress } from './address.ts';
import { readSpanOf } from './address.ts';
import { planLimits, readTime, USUAL_SLAVE_MS } from './bus-time.ts';
import type { ModbusOptions } from './options.ts';
import { collectQuirks, limitsOf } from './quirks.ts';
import { planBlocks } from './schedule/plan.ts';
import { lineTiming } from './transport/line-timing.ts';

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
  slaveMs: DurationMs = USUAL_SLAVE_MS,
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
    for (const { span } of planBlocks(members, (one) => readSpanOf(one, options), limitsOf(limits, own))) {
      const time = readTime(span, timing, slaveMs) + (own?.pause ?? options.pause);
      utilisation += time / (members[0]?.pollMs ?? options.poll);
      cycleMs += time;
      requests++;
    }
  }
  return { utilisation, cycleMs, requests };
}
