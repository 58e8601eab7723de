/** A run of consecutive items (registers, bits, bytes) in one table of one unit of a bus. */
export interface Span {
  /** Address of the device on its bus. */
  readonly unit: number;
  readonly table: string;
  readonly first: number;
  readonly count: number;
}

/** Bounds of the reads of one table. */
export interface PlanLimits {
  /** Most unrequested items worth reading along rather than sending another request. */
  readonly gap: number;
  /** Most items one read may ask for. */
  readonly maxItems: number;
  /** `false`: one request for every item. */
  readonly merge: boolean;
  /** Ranges, first and last address, that must not be read along. */
  readonly forbidden: readonly (readonly [number, number])[];
  /** Fewest items that a read costs, however few it needs; 1 when `undefined`. */
  readonly minItems?: number;
}

/** One read and the items it serves. */
export interface PlannedBlock<Item, Where extends Span> {
  readonly span: Where;
  readonly items: readonly Item[];
}

/** The cheapest cover of all items up to one of them: its cost, and the read that ends it. */
interface Cover {
  readonly cost: number;
  /** Index of the first item of its last read. */
  readonly from: number;
  readonly first: number;
  readonly end: number;
}

/**
 * Plans the fewest and shortest reads that cover every item; all items are of one unit and table. No value is split, no
 * read is longer than `maxItems`, and a hole is read along only up to the gap. `splitBefore` says that an item must not be
 * read together with the items before it.
 *
 * A dynamic programme over the items in address order. The gap is the extra cost of a request in items, so the
 * cheapest cover in items is the cheapest in time.
 */
export function planBlocks<Item, Where extends Span>(
  items: readonly Item[],
  spanOf: (item: Item) => Where,
  limits: PlanLimits,
  splitBefore: (item: Item) => boolean = () => false,
): PlannedBlock<Item, Where>[] {
  const sorted = [...items].sort((a, b) => spanOf(a).first - spanOf(b).first || spanOf(a).count - spanOf(b).count);
  const covers: Cover[] = [];
  for (let last = 0; last < sorted.length; last++) {
    const cover = cheapestCover(sorted, spanOf, limits, splitBefore, covers, last);
    if (cover) covers[last] = cover;
  }
  const blocks: PlannedBlock<Item, Where>[] = [];
  for (let last = sorted.length - 1; last >= 0; ) {
    const [cover, item] = [covers[last], sorted[last]];
    if (cover === undefined || item === undefined) break;
    const { from, first, end } = cover;
    blocks.unshift({ span: { ...spanOf(item), first, count: end - first }, items: sorted.slice(from, last + 1) });
    last = from - 1;
  }
  return blocks;
}

/** The cheapest cover of `sorted` up to item `last`, given those of all shorter prefixes. */
function cheapestCover<Item>(
  sorted: readonly Item[],
  spanOf: (item: Item) => Span,
  limits: PlanLimits,
  splitBefore: (item: Item) => boolean,
  covers: readonly Cover[],
  last: number,
): Cover | undefined {
  let best: Cover | undefined;
  let end = 0;
  let next = 0;
  for (let from = last; from >= 0; from--) {
    const item = sorted[from];
    if (item === undefined) break;
    const { first, count } = spanOf(item);
    if (from < last && !mayMerge(limits, first + count, next)) break;
    next = first;
    end = Math.max(end, first + count);
    // A single value longer than the limit is still asked for: the device may take the request.
    if (end - first > limits.maxItems && from < last) break;
    const cost = (covers[from - 1]?.cost ?? 0) + readCost(limits, end - first);
    if (best === undefined || cost < best.cost) best = { cost, from, first, end };
    if (splitBefore(item)) break;
  }
  return best;
}

/** The cost of a read, in items. */
function readCost({ gap, minItems = 1 }: PlanLimits, items: number): number {
  // Half an item decides for fewer requests where both cost the same.
  return gap + 0.5 + Math.max(items, minItems);
}

/** Returns whether the hole from `from` up to, without, `to` may be read along: no forbidden address lies in it. */
function mayMerge({ merge, forbidden }: PlanLimits, from: number, to: number): boolean {
  return merge && !forbidden.some(([first, last]) => first < to && last >= from);
}

/**
 * Splits a read that the device refused because of an address in it: at its holes, or in halves when it has none. Returns
 * the items that must no longer be read with the items before them; an empty list when the block cannot be split.
 */
export function splitBlock<Item>(block: PlannedBlock<Item, Span>, spanOf: (item: Item) => Span): Item[] {
  const heads: Item[] = [];
  let end = block.span.first;
  for (const item of block.items) {
    const { first, count } = spanOf(item);
    if (first > end) heads.push(item);
    end = Math.max(end, first + count);
  }
  return heads.length > 0 ? heads : middleOf(block.items, spanOf);
}

/** The item nearest to the middle at which a list can be split: items of equal spans stay together. */
function middleOf<Item>(items: readonly Item[], spanOf: (item: Item) => Span): Item[] {
  const middle = items.length / 2;
  const splits = items.flatMap((item, at) => {
    const before = items[at - 1];
    return before === undefined || sameSpan(spanOf(before), spanOf(item)) ? [] : [{ item, off: Math.abs(at - middle) }];
  });
  return splits
    .sort((a, b) => a.off - b.off)
    .slice(0, 1)
    .map(({ item }) => item);
}

function sameSpan(a: Span, b: Span): boolean {
  return a.first === b.first && a.count === b.count;
}
