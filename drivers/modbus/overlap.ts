import type { Channel, Remark } from '../../src/driver/contract.ts';
import { type AddressDefaults, type ModbusAddress, spanOf } from './address.ts';
import type { Span } from './protocol/request.ts';

interface Placed {
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
    .map((channel): Placed => ({ channel, span: spanOf(channel.address, defaults) }))
    .sort((a, b) => order(a.span, b.span));
  const remarks: Remark[] = [];
  let last: Placed | undefined;
  for (const next of placed) {
    if (last && overlap(last.span, next.span) && !(last.channel.address.bits && next.channel.address.bits)) {
      remarks.push({
        channel: next.channel.key,
        message: `${next.channel.key} lies in the registers of ${last.channel.key} (${range(last.span)})`,
        expected: 'registers of their own; look at the address and the type of both',
      });
    }
    if (last === undefined || !overlap(last.span, next.span) || endOf(next.span) > endOf(last.span)) last = next;
  }
  return remarks;
}

function order(a: Span, b: Span): number {
  if (a.unit !== b.unit) return a.unit - b.unit;
  if (a.table !== b.table) return a.table < b.table ? -1 : 1;
  return a.first - b.first || b.count - a.count;
}

function overlap(a: Span, b: Span): boolean {
  return a.unit === b.unit && a.table === b.table && b.first < endOf(a);
}

function endOf({ first, count }: Span): number {
  return first + count;
}

function range({ first, count }: Span): string {
  return count === 1 ? String(first) : `${first} to ${first + count - 1}`;
}
