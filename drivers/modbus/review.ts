import type { Channel, Remark } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { ModbusAddress } from './address.ts';
import { busLoad } from './bus-load.ts';
import type { ModbusOptions } from './options.ts';
import { reviewOverlaps } from './overlap.ts';
import { collectQuirks } from './quirks.ts';

/** Above this there is no room left for writes, retries and slower devices. */
const FULL = 0.9;
const USUAL_BAUDS = [9600, 19_200, 38_400, 57_600, 115_200];

/** See Driver.review: registers that overlap, and a serial bus that cannot keep its poll rates. */
export function review(options: ModbusOptions, channels: readonly Channel<ModbusAddress>[]): Remark[] {
  try {
    collectQuirks(channels.map(({ address }) => ({ unit: address.unit ?? options.unit, quirks: address.quirks })));
    return [...reviewOverlaps(channels, options), ...load(options, channels)];
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

function load(options: ModbusOptions, channels: readonly Channel<ModbusAddress>[]): Remark[] {
  const found = busLoad(
    channels.map(({ address }) => address),
    options,
  );
  if (!found || found.utilisation <= FULL) return [];
  const percent = Math.round(100 * found.utilisation);
  const times = (found.utilisation / FULL).toFixed(1);
  const faster = USUAL_BAUDS.find((baud) => {
    const line = { ...options.line, baud };
    const other = busLoad(
      channels.map(({ address }) => address),
      { ...options, line },
    );
    return baud > options.line.baud && other !== undefined && other.utilisation <= FULL;
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
