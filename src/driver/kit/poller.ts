import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';
import type { DcsError } from '../../errors/errors.ts';
import { type PlanLimits, planBlocks, type Span, splitBlock } from './block-planner.ts';

/** Something that is read periodically. */
export interface PolledItem<Where extends Span, Reply> {
  readonly span: Where;
  readonly periodMs: DurationMs;
  /** Only items with the same text, or none, are read in one request. */
  readonly readWith?: string | undefined;
  /** It has never been read, so it is read at once. */
  readonly neverRead: boolean;
  /** Takes the reply of a read that covers the span; the span begins `offset` items after that read's first. */
  deliver(reply: Reply, offset: number): void;
  fail(error: DcsError): void;
}

/** One periodic read and the items it serves. */
export interface PollBlock<Where extends Span, Reply> {
  readonly span: Where;
  readonly items: readonly PolledItem<Where, Reply>[];
  readonly periodMs: DurationMs;
  /** Monotonic time of the next read. */
  due: MonotonicMs;
  /** The next time on the grid of its period; `due` differs from it for a first read or a retry. */
  grid: MonotonicMs;
  busy: boolean;
}

/** Properties of the bus that a poller works on. */
export interface PollerOptions<Where extends Span> {
  /** Bounds of the reads of the unit and table that a span lies in. */
  limits(span: Where): PlanLimits;
  count(name: string, by?: number): void;
  /** The device refuses this read; from now on it is read in parts. */
  onSplit?(span: Where): void;
}

/** Longest wait of units that need other line settings, for units that need no change of the line. */
const BATCH_MS = 250;
/** A failed read is repeated after this time when its period is longer. */
const RETRY_MS = 1000;

/**
 * Decides which block is read when. Every poll class (unit, table, period) is planned into blocks, and every block keeps
 * to the grid of its period. Of the blocks that are due, the one with the earliest deadline goes first: fast
 * classes go before slow ones and none starves.
 */
export class Poller<Where extends Span, Reply> {
  #blocks: PollBlock<Where, Reply>[] = [];
  readonly #options: PollerOptions<Where>;
  /** Items that must not be read together with the items before them: `unit/table/first`. */
  readonly #boundaries = new Set<string>();
  #items: readonly PolledItem<Where, Reply>[] = [];

  constructor(options: PollerOptions<Where>) {
    this.#options = options;
  }

  get blocks(): readonly PollBlock<Where, Reply>[] {
    return this.#blocks;
  }

  /** Plans anew for these items. Reads under way still serve the items they were sent for. */
  plan(items: readonly PolledItem<Where, Reply>[], now: MonotonicMs): void {
    this.#items = items;
    const old = new Map(this.#blocks.map((block) => [blockKey(block), block]));
    const planned = this.#planClasses(now);
    const counts = new Map<DurationMs, number>();
    for (const { periodMs } of planned) counts.set(periodMs, (counts.get(periodMs) ?? 0) + 1);
    const placed = new Map<DurationMs, number>();
    for (const block of planned) {
      const { periodMs } = block;
      const place = (placed.get(periodMs) ?? 0) + 1;
      placed.set(periodMs, place);
      const before = old.get(blockKey(block));
      // Reads of one period are spread over it, which leaves room in between for writes and for other units.
      block.grid = before?.grid ?? now + (periodMs * place) / (counts.get(periodMs) ?? 1);
      block.due = block.items.some((item) => item.neverRead) ? now : (before?.due ?? block.grid);
    }
    this.#blocks = planned;
  }

  /**
   * The due block with the earliest deadline among the units that may be asked. Units that need other line settings
   * (`ready` is false) wait up to 250 ms, so that they are served in batches.
   */
  nextBlock(
    now: MonotonicMs,
    usable: (unit: number) => boolean,
    ready: (unit: number) => boolean = () => true,
  ): PollBlock<Where, Reply> | undefined {
    let best: PollBlock<Where, Reply> | undefined;
    let other: PollBlock<Where, Reply> | undefined;
    for (const block of this.#blocks) {
      if (block.busy || block.due > now || !usable(block.span.unit)) continue;
      if (ready(block.span.unit)) best = earlierDeadline(best, block);
      else other = earlierDeadline(other, block);
    }
    return other && (!best || other.due + BATCH_MS < now) ? other : best;
  }

  /** The unit's shortest read, to find out whether the unit answers again. */
  probe(unit: number): PollBlock<Where, Reply> | undefined {
    const own = this.#blocks.filter((block) => block.span.unit === unit && !block.busy);
    return own.sort((a, b) => a.span.count - b.span.count)[0];
  }

  /** Time of the next read after now, among the units accepted. */
  nextDue(now: MonotonicMs, accept: (unit: number) => boolean): MonotonicMs | undefined {
    let next: MonotonicMs | undefined;
    for (const block of this.#blocks) {
      if (block.busy || block.due <= now || !accept(block.span.unit)) continue;
      if (next === undefined || block.due < next) next = block.due;
    }
    return next;
  }

  markSent(block: PollBlock<Where, Reply>): void {
    block.busy = true;
  }

  /**
   * Moves the block to its next time on the grid. Reads that were due meanwhile are skipped and counted. With `offline` they
   * are not counted, because they were left out on purpose.
   */
  markDone(block: PollBlock<Where, Reply>, now: MonotonicMs, failed: boolean, offline: boolean): void {
    block.busy = false;
    const missed = Math.floor((now - block.grid) / block.periodMs);
    if (missed >= 1 && !offline) this.#options.count('polls_overrun', missed);
    if (block.grid <= now) block.grid += block.periodMs * (missed + 1);
    block.due = failed ? Math.min(block.grid, now + RETRY_MS) : block.grid;
  }

  /** Splits a block in which the device refuses an address. Returns whether it could be split. */
  split(block: PollBlock<Where, Reply>, now: MonotonicMs): boolean {
    const heads = splitBlock(block, spanOf);
    if (heads.length === 0) return false;
    for (const head of heads) this.#boundaries.add(startKey(head.span));
    this.#options.count('blocks_divided');
    this.#options.onSplit?.(block.span);
    this.plan(this.#items, now);
    const served = new Set(block.items);
    for (const part of this.#blocks) if (part.items.some((item) => served.has(item))) part.due = now;
    return true;
  }

  /** Reads everything of the unit at once, because it answers again. */
  pollNow(unit: number, now: MonotonicMs): void {
    for (const block of this.#blocks) if (block.span.unit === unit) block.due = Math.min(block.due, now);
  }

  /** Fails the unit's items; with `dueBy` only those that should have been read by then. */
  failUnit(unit: number, error: DcsError, dueBy = Number.POSITIVE_INFINITY): void {
    for (const block of this.#blocks) {
      if (block.span.unit !== unit || block.due > dueBy) continue;
      for (const item of block.items) item.fail(error);
    }
  }

  #planClasses(now: MonotonicMs): PollBlock<Where, Reply>[] {
    const classes = new Map<string, PolledItem<Where, Reply>[]>();
    for (const item of this.#items) {
      const name = `${item.span.unit}/${item.span.table}/${item.periodMs}/${item.readWith ?? ''}`;
      const members = classes.get(name);
      if (members) members.push(item);
      else classes.set(name, [item]);
    }
    return [...classes.values()].flatMap((members) => {
      const [first] = members;
      if (!first) return [];
      const limits = this.#options.limits(first.span);
      const blocks = planBlocks(members, spanOf, limits, (item) => this.#boundaries.has(startKey(item.span)));
      const { periodMs } = first;
      return blocks.map(({ span, items }) => ({ span, items, periodMs, due: now, grid: now, busy: false }));
    });
  }
}

function earlierDeadline<Block extends { readonly due: number; readonly periodMs: number }>(
  best: Block | undefined,
  block: Block,
): Block {
  return best && best.due + best.periodMs <= block.due + block.periodMs ? best : block;
}

function spanOf<Where extends Span>(item: { readonly span: Where }): Where {
  return item.span;
}

function startKey(span: Span): string {
  return `${span.unit}/${span.table}/${span.first}`;
}

function blockKey({ span, periodMs }: { readonly span: Span; readonly periodMs: number }): string {
  return `${startKey(span)}/${span.count}/${periodMs}`;
}
