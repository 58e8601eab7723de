import { isBitTable, MAX_READ_BITS, MAX_READ_REGISTERS, type Span } from '../../../drivers/modbus/protocol/request.ts';

export interface PlanLimits {
  /** Registers nobody asked for that are worth reading along rather than sending another request. */
  readonly gapRegisters: number;
  /** The same for bits. */
  readonly gapBits: number;
  readonly maxRegisters: number;
  readonly maxBits: number;
  /** False: one request for every item. */
  readonly merge: boolean;
  /** Ranges, first and last address, that must not be read along. */
  readonly forbidden: readonly (readonly [number, number])[];
}

/** What the standard allows, with the gap that is worth reading along. */
export function standardLimits(gapRegisters: number, gapBits = 16 * gapRegisters): PlanLimits {
  return {
    gapRegisters,
    gapBits,
    maxRegisters: MAX_READ_REGISTERS,
    maxBits: MAX_READ_BITS,
    merge: true,
    forbidden: [],
  };
}

/** One read and what it serves. */
export interface PlannedBlock<Item> {
  readonly span: Span;
  readonly items: readonly Item[];
}

/**
 * The fewest and shortest reads that cover every item, all of one unit and table: a hole is read along when it is not
 * larger than the gap, no value is split, no read is longer than the device may be asked. `cut` says that an item must
 * not be read together with what lies before it.
 *
 * A dynamic programme over the items in address order: `gap` is what a request costs more than its registers, so the
 * cheapest cover in registers is the cheapest in time.
 */
export function planBlocks<Item>(
  items: readonly Item[],
  spanOf: (item: Item) => Span,
  limits: PlanLimits,
  cut: (item: Item) => boolean = () => false,
): PlannedBlock<Item>[] {
  const sorted = [...items].sort((a, b) => spanOf(a).first - spanOf(b).first || spanOf(a).count - spanOf(b).count);
  const head = sorted[0];
  if (head === undefined) return [];
  const { unit, table } = spanOf(head);
  const bits = isBitTable(table);
  const longest = bits ? limits.maxBits : limits.maxRegisters;
  // Half an item decides for fewer requests where both are equal.
  const request = (bits ? limits.gapBits : limits.gapRegisters) + 0.5;
  const best: { cost: number; from: number; first: number; end: number }[] = [];
  for (let last = 0; last < sorted.length; last++) {
    let end = 0;
    let next = 0;
    for (let from = last; from >= 0; from--) {
      const item = sorted[from];
      if (item === undefined) break;
      const span = spanOf(item);
      if (from < last && (!limits.merge || hasForbidden(limits, span.first + span.count, next))) break;
      next = span.first;
      end = Math.max(end, span.first + span.count);
      const length = end - span.first;
      // A single value longer than the limit must still be asked for: the device may surprise us.
      if (length > longest && from < last) break;
      const cost = (best[from - 1]?.cost ?? 0) + request + length;
      const known = best[last];
      if (known === undefined || cost < known.cost) best[last] = { cost, from, first: span.first, end };
      if (cut(item)) break;
    }
  }
  const blocks: PlannedBlock<Item>[] = [];
  for (let last = sorted.length - 1; last >= 0; ) {
    const chosen = best[last];
    if (chosen === undefined) break;
    const { from, first, end } = chosen;
    blocks.unshift({ span: { unit, table, first, count: end - first }, items: sorted.slice(from, last + 1) });
    last = from - 1;
  }
  return blocks;
}

/** Whether the hole from `from` up to, without, `to` has a forbidden address in it. */
function hasForbidden({ forbidden }: PlanLimits, from: number, to: number): boolean {
  return forbidden.some(([first, last]) => first < to && last >= from);
}

/**
 * Takes a read apart that the device refused because of an address in it: at its holes if it has any, else in halves.
 * Returns the items that must no longer be read with what lies before them; none when the block cannot be divided.
 */
export function splitBlock<Item>(block: PlannedBlock<Item>, spanOf: (item: Item) => Span): Item[] {
  const heads: Item[] = [];
  let end = block.span.first;
  for (const item of block.items) {
    const span = spanOf(item);
    if (span.first > end) heads.push(item);
    end = Math.max(end, span.first + span.count);
  }
  const middle = block.items[block.items.length >> 1];
  return heads.length > 0 || block.items.length < 2 || middle === undefined ? heads : [middle];
}
