import type { Span } from '../../../drivers/modbus/protocol/request.ts';
import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';
import type { DcsError } from '../../errors/errors.ts';
import { type PlanLimits, planBlocks, splitBlock } from './block-planner.ts';

/** Something that is read again and again. */
export interface PolledItem {
  readonly span: Span;
  readonly periodMs: DurationMs;
  /** It has never been read: do so at once. */
  readonly neverRead: boolean;
  /** The reply of a read that covers the span, in which it begins at item `offset` (register or bit). */
  deliver(data: Buffer, offset: number): void;
  fail(error: DcsError): void;
}

export interface PollBlock {
  readonly span: Span;
  readonly items: readonly PolledItem[];
  readonly periodMs: DurationMs;
  /** Monotonic time of its next read. */
  due: MonotonicMs;
  /** Its turn on the grid of its period, from which `due` may differ for a first read or a retry. */
  grid: MonotonicMs;
  busy: boolean;
}

/** How long units with other line settings may wait for those that need no change of the line. */
const BATCH_MS = 250;
/** What has just failed is tried again after this, if its period is longer. */
const RETRY_MS = 1000;

/**
 * Which block is read when: every poll class (unit, table, period) is planned into blocks, every block keeps to a grid
 * of its period whatever happens, and of those that are due the one with the earliest deadline goes first, so that
 * fast classes go before slow ones and none starves.
 */
export class Poller {
  #blocks: PollBlock[] = [];
  readonly #limits: (unit: number) => PlanLimits;
  readonly #count: (name: string, by?: number) => void;
  readonly #onSplit: (span: Span) => void;
  /** Heads of blocks that the device does not let be read together with what lies before: `unit/table/first`. */
  readonly #boundaries = new Set<string>();
  #items: readonly PolledItem[] = [];

  /** `divided`: the device does not let this be read in one go; from now on it is read in parts. */
  constructor(
    limits: (unit: number) => PlanLimits,
    count: (name: string, by?: number) => void,
    divided: (span: Span) => void = () => undefined,
  ) {
    this.#onSplit = divided;
    this.#limits = limits;
    this.#count = count;
  }

  get blocks(): readonly PollBlock[] {
    return this.#blocks;
  }

  /** Plans anew for these items. Reads under way still serve the items they were sent for. */
  plan(items: readonly PolledItem[], now: MonotonicMs): void {
    this.#items = items;
    const old = new Map(this.#blocks.map((block) => [blockKey(block), block]));
    const classes = new Map<string, PolledItem[]>();
    for (const item of items) {
      const name = `${item.span.unit}/${item.span.table}/${item.periodMs}`;
      const known = classes.get(name);
      if (known) known.push(item);
      else classes.set(name, [item]);
    }
    const made = [...classes.values()].flatMap((members) => {
      const limits = this.#limits(members[0]?.span.unit ?? 0);
      const planned = planBlocks(members, spanOf, limits, (item) => this.#boundaries.has(startKey(item.span)));
      return planned.map(({ span, items: served }): PollBlock => {
        const periodMs = served[0]?.periodMs ?? 1000;
        return { span, items: served, periodMs, due: now, grid: now, busy: false };
      });
    });
    const counts = new Map<DurationMs, number>();
    for (const { periodMs } of made) counts.set(periodMs, (counts.get(periodMs) ?? 0) + 1);
    const placed = new Map<DurationMs, number>();
    for (const block of made) {
      const { periodMs, items: served } = block;
      const place = (placed.get(periodMs) ?? 0) + 1;
      placed.set(periodMs, place);
      const before = old.get(blockKey(block));
      // All of one period are spread over it: what reads at other moments leaves room for writes and for other units.
      block.grid = before?.grid ?? now + (periodMs * place) / (counts.get(periodMs) ?? 1);
      block.due = served.some((item) => item.neverRead) ? now : (before?.due ?? block.grid);
    }
    this.#blocks = made;
  }

  /**
   * The due block with the earliest deadline among the units that may be asked. Units for which the line has to be
   * set up anew (`ready` is false) wait for a short while, so that they are served in batches.
   */
  nextBlock(
    now: MonotonicMs,
    usable: (unit: number) => boolean,
    ready: (unit: number) => boolean = () => true,
  ): PollBlock | undefined {
    let best: PollBlock | undefined;
    let other: PollBlock | undefined;
    for (const block of this.#blocks) {
      if (block.busy || block.due > now || !usable(block.span.unit)) continue;
      if (ready(block.span.unit)) best = earlierDeadline(best, block);
      else other = earlierDeadline(other, block);
    }
    return other && (!best || other.due + BATCH_MS < now) ? other : best;
  }

  /** The unit's cheapest block, to find out whether it is back. */
  probe(unit: number): PollBlock | undefined {
    const own = this.#blocks.filter((block) => block.span.unit === unit && !block.busy);
    return own.sort((a, b) => a.span.count - b.span.count)[0];
  }

  /** When, after now, the next block of the units accepted falls due. */
  nextDue(now: MonotonicMs, accept: (unit: number) => boolean): MonotonicMs | undefined {
    let next: MonotonicMs | undefined;
    for (const block of this.#blocks) {
      if (block.busy || block.due <= now || !accept(block.span.unit)) continue;
      if (next === undefined || block.due < next) next = block.due;
    }
    return next;
  }

  markSent(block: PollBlock): void {
    block.busy = true;
  }

  /**
   * Moves the block to its next turn. Turns that have passed meanwhile are not made up for; they are counted unless
   * the unit was off line (`away`) and they were left out on purpose.
   */
  markDone(block: PollBlock, now: MonotonicMs, failed: boolean, away: boolean): void {
    block.busy = false;
    const missed = Math.floor((now - block.grid) / block.periodMs);
    if (missed >= 1 && !away) this.#count('polls_overrun', missed);
    if (block.grid <= now) block.grid += block.periodMs * (missed + 1);
    block.due = failed ? Math.min(block.grid, now + RETRY_MS) : block.grid;
  }

  /** The device knows some address of the block not. Returns whether the block could be taken apart. */
  split(block: PollBlock, now: MonotonicMs): boolean {
    const heads = splitBlock(block, spanOf);
    if (heads.length === 0) return false;
    for (const head of heads) this.#boundaries.add(startKey(head.span));
    this.#count('blocks_divided');
    this.#onSplit(block.span);
    this.plan(this.#items, now);
    const served = new Set(block.items);
    for (const part of this.#blocks) if (part.items.some((item) => served.has(item))) part.due = now;
    return true;
  }

  /** Everything of the unit is read at once: it is back. */
  pollNow(unit: number, now: MonotonicMs): void {
    for (const block of this.#blocks) if (block.span.unit === unit) block.due = Math.min(block.due, now);
  }

  /** All of the unit's values are doubtful. `dueBy`: only those that should have been read by then. */
  failUnit(unit: number, error: DcsError, dueBy = Number.POSITIVE_INFINITY): void {
    for (const block of this.#blocks) {
      if (block.span.unit !== unit || block.due > dueBy) continue;
      for (const item of block.items) item.fail(error);
    }
  }
}

function earlierDeadline(best: PollBlock | undefined, block: PollBlock): PollBlock {
  return best && best.due + best.periodMs <= block.due + block.periodMs ? best : block;
}

function spanOf(item: PolledItem): Span {
  return item.span;
}

function startKey(span: Span): string {
  return `${span.unit}/${span.table}/${span.first}`;
}

function blockKey({ span, periodMs }: PollBlock): string {
  return `${startKey(span)}/${span.count}/${periodMs}`;
}
