import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';
import { type Span, splitBlock } from './block-planner.ts';

/** A refused read is tried whole again after this time, then after twice as long, and so on up to the maximum. */
const FIRST_WAIT_MS: DurationMs = 10_000;
const MAX_WAIT_MS: DurationMs = 300_000;
/** So long after the last refusal the reads are joined again as far as they are known to be accepted. */
const SETTLE_MS: DurationMs = 1000;

/** How long a read that cannot be split waits after it was refused so often in a row. */
export function refusedWait(times: number): DurationMs {
  return Math.min(FIRST_WAIT_MS * 2 ** (times - 1), MAX_WAIT_MS);
}

/** A read and the items that it serves, in address order. */
export interface ReadBlock<Item> {
  readonly span: Span;
  readonly items: readonly Item[];
}

/**
 * Knows which items of one poll class the device refuses to read, and plans the reads around them. A refused read is split
 * until only the refused items are left. Then items are joined again: those that are read, and those that are refused. What
 * was refused is tried whole again, ever more rarely, because a device may refuse only while it starts.
 */
export class RefusedReads<Item extends { readonly span: Span }> {
  /** Items that begin a read of their own. */
  readonly #heads = new Set<Item>();
  /** Items that were refused when read alone. */
  readonly #refused = new Set<Item>();
  /** Items that were refused before the last whole read: they are split off first. */
  readonly #suspects = new Set<Item>();
  /** An item has been refused since items were last joined. */
  #news = false;
  #settleAt = Number.POSITIVE_INFINITY;
  #wholeAt = Number.POSITIVE_INFINITY;
  #wait: DurationMs = FIRST_WAIT_MS;
  /** Earliest time of the next whole read, whatever the device does. */
  #notBefore: MonotonicMs = 0;

  /** Whether nothing is known to be refused. */
  get empty(): boolean {
    return this.#heads.size + this.#refused.size + this.#suspects.size === 0;
  }

  /** When `revise` has something to do. */
  get reviseAt(): MonotonicMs {
    return Math.min(this.#settleAt, this.#wholeAt);
  }

  /** Whether the item was refused, and has not been asked for since reads were last joined. */
  isSuspect(item: Item): boolean {
    return this.#suspects.has(item);
  }

  /** Whether the item must not be read with the items before it. */
  beginsRead(item: Item): boolean {
    return this.#heads.has(item);
  }

  /** Whether the read only asks for refused items that were split off others. It rests until all are read whole again. */
  rests({ items }: ReadBlock<Item>, next: ReadBlock<Item> | undefined): boolean {
    const [first] = items;
    const [after] = next?.items ?? [];
    const apart = (first && this.#heads.has(first)) || (after && this.#heads.has(after));
    return apart === true && items.every((item) => this.#refused.has(item));
  }

  /** The device refuses a read. Returns whether it must be read in parts from now on; otherwise its items are refused. */
  split({ span, items }: ReadBlock<Item>, now: MonotonicMs): boolean {
    if (items.every((item) => this.#refused.has(item))) return false;
    let heads = this.#headsByMark(items);
    if (heads.length === 0) heads = splitBlock({ span, items }, (item) => item.span);
    // Nothing is gained by remembering a read that cannot be split.
    if (heads.length === 0 && this.#heads.size === 0) return false;
    for (const head of heads) this.#heads.add(head);
    if (heads.length === 0) this.#markRefused(items);
    this.#settleAt = now + SETTLE_MS;
    return heads.length > 0;
  }

  /** The device has answered a read. What it refused before and gives now shows that the rest is worth a new try. */
  accept({ items }: ReadBlock<Item>, now: MonotonicMs): void {
    let changed = false;
    for (const item of items) {
      this.#suspects.delete(item);
      if (this.#refused.delete(item)) changed = true;
    }
    if (!changed) return;
    this.#wait = FIRST_WAIT_MS;
    this.#wholeAt = Math.min(this.#wholeAt, Math.max(now, this.#notBefore));
  }

  /** The unit has been away: it may have started anew. */
  forget(now: MonotonicMs): void {
    if (this.empty) return;
    this.#wait = FIRST_WAIT_MS;
    this.#wholeAt = now;
  }

  /** Joins reads that were split, when it is time. `wholes`: the reads of the class if nothing were refused. */
  revise(wholes: readonly ReadBlock<Item>[], now: MonotonicMs): void {
    if (now >= this.#wholeAt) this.#tryWhole(now);
    else if (now >= this.#settleAt) this.#settle(wholes, now);
  }

  #tryWhole(now: MonotonicMs): void {
    for (const item of this.#refused) this.#suspects.add(item);
    this.#refused.clear();
    this.#heads.clear();
    this.#news = false;
    this.#settleAt = this.#wholeAt = Number.POSITIVE_INFINITY;
    this.#notBefore = now + FIRST_WAIT_MS;
    this.#wait = Math.min(2 * this.#wait, MAX_WAIT_MS);
  }

  #settle(wholes: readonly ReadBlock<Item>[], now: MonotonicMs): void {
    if (this.#news) {
      this.#heads.clear();
      for (const { items } of wholes) for (const head of this.#headsByMark(items)) this.#heads.add(head);
    }
    this.#news = false;
    this.#settleAt = Number.POSITIVE_INFINITY;
    this.#wholeAt = Math.min(this.#wholeAt, now + this.#wait);
  }

  #markRefused(items: readonly Item[]): void {
    this.#news = true;
    for (const item of items) {
      this.#refused.add(item);
      this.#suspects.delete(item);
    }
  }

  /** Items at which refused ones begin or end. */
  #headsByMark(items: readonly Item[]): Item[] {
    const marked = (item: Item) => this.#refused.has(item) || this.#suspects.has(item);
    return items.filter((item, at) => {
      const before = items[at - 1];
      return before !== undefined && marked(before) !== marked(item);
    });
  }
}
