import type { DurationMs, MonotonicMs } from '../../clock/clock.ts';
import { DcsError, type ErrorCode } from '../../errors/errors.ts';
import { type PlanLimits, type PlannedBlock, planBlocks, type Span } from './block-planner.ts';
import { RefusedReads, refusedWait } from './refused-reads.ts';
import type { LossLimits } from './unit-health.ts';

/** Items may share a read that agree in unit, table, period and `readWith`. */
interface PollClass {
  readonly span: Span;
  readonly periodMs: DurationMs;
  readonly readWith?: string | undefined;
}

/** Something that is read periodically. */
export interface PolledItem<Where extends Span, Reply> {
  readonly span: Where;
  readonly periodMs: DurationMs;
  /** Items with different texts are never read together. */
  readonly readWith?: string | undefined;
  /** It has never been read, so it is read at once. */
  readonly neverRead: boolean;
  /** Takes the reply of a read that covers the span; the span begins `offset` items after that read's first. */
  deliver(reply: Reply, offset: number): void;
  /** The value is unknown: the device refuses to be read, or its unit is off line. */
  fail(error: DcsError): void;
  /** Its read got no answer. Without this method the item fails. */
  unanswered?(error: DcsError): void;
  /** Makes a value uncertain or bad that is too old by now. Returns when to look again; `undefined`: not before its next read. */
  age?(now: MonotonicMs): MonotonicMs | undefined;
}

/** One periodic read and the items it serves. */
export interface PollBlock<Where extends Span, Reply> {
  readonly span: Where;
  readonly items: readonly PolledItem<Where, Reply>[];
  readonly periodMs: DurationMs;
  readonly readWith: string | undefined;
  /** Monotonic time of the next read. */
  due: MonotonicMs;
  /** The next time on the grid of its period; `due` differs from it for a first read or a retry. */
  grid: MonotonicMs;
  busy: boolean;
  /** Number of reads in a row without an answer. */
  unanswered: number;
  /** Beginning of the last of them. */
  silentAt: MonotonicMs;
  /** Number of reads in a row that the device has refused. */
  refusals: number;
  /** Number of reads in a row that got no answer while the unit was off line. */
  probes: number;
  /** Why the last read got no answer. */
  error: DcsError | undefined;
  /** Its items are known to be refused: it is not read by itself. */
  readonly rests: boolean;
}

/** Properties of the bus that a poller works on. */
export interface PollerOptions<Where extends Span> {
  /** Bounds of the reads of the unit and table that a span lies in. */
  limits(span: Where): PlanLimits;
  count(name: string, by?: number): void;
  /** The device refuses this read. It is read in parts, and tried whole again later. */
  onSplit?(span: Where): void;
}

/** Longest wait of units that need other line settings, for units that need no change of the line. */
const BATCH_MS = 250;
/** A failed read is repeated after this time when its period is longer. */
const RETRY_MS = 1000;
/** Shortest time between two reads of a block that stays silent while others of its unit are answered. */
const SILENT_BLOCK_MS = 10_000;

/**
 * Decides which block is read when. Every poll class (unit, table, period) is planned into blocks, and every block keeps
 * to the grid of its period. Of the blocks that are due, the one with the earliest deadline goes first: fast
 * classes go before slow ones and none starves.
 */
export class Poller<Where extends Span, Reply> {
  #blocks: PollBlock<Where, Reply>[] = [];
  readonly #options: PollerOptions<Where>;
  /** What the devices refuse to read, by poll class. */
  readonly #refused = new Map<string, RefusedReads<PolledItem<Where, Reply>>>();
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
    const dueBefore = new Map(this.#blocks.flatMap(({ items: own, due }) => own.map((item) => [item, due])));
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
      block.due = before?.due ?? Math.min(block.grid, ...block.items.map((item) => dueBefore.get(item) ?? block.grid));
      if (block.items.some((item) => item.neverRead)) block.due = now;
      if (block.rests) block.due = Number.POSITIVE_INFINITY;
      block.unanswered = before?.unanswered ?? 0;
      block.refusals = before?.refusals ?? 0;
      block.silentAt = before?.silentAt ?? Number.POSITIVE_INFINITY;
      block.probes = before?.probes ?? 0;
      block.error = before?.error;
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
    this.#reviseRefused(now);
    let best: PollBlock<Where, Reply> | undefined;
    let other: PollBlock<Where, Reply> | undefined;
    for (const block of this.#blocks) {
      if (block.busy || block.due > now || !usable(block.span.unit)) continue;
      if (ready(block.span.unit)) best = earlierDeadline(best, block);
      else other = earlierDeadline(other, block);
    }
    return other && (!best || other.due + BATCH_MS < now) ? other : best;
  }

  /**
   * A read to find out whether the unit answers again: the shortest first, then the others in turn, because a device may
   * ignore some of them.
   */
  probe(unit: number): PollBlock<Where, Reply> | undefined {
    const own = this.#blocks.filter((block) => block.span.unit === unit && !block.busy);
    return own.sort((a, b) => a.probes - b.probes || a.span.count - b.span.count)[0];
  }

  /** Time of the next read after now, among the units accepted. */
  nextDue(now: MonotonicMs, accept: (unit: number) => boolean): MonotonicMs | undefined {
    let next = Number.POSITIVE_INFINITY;
    for (const block of this.#blocks) {
      if (!block.busy && block.due > now && accept(block.span.unit)) next = Math.min(next, block.due);
    }
    for (const refused of this.#refused.values()) next = Math.min(next, refused.reviseAt);
    return next === Number.POSITIVE_INFINITY ? undefined : next;
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
    if (block.rests) block.due = Number.POSITIVE_INFINITY;
    block.probes = failed && offline ? block.probes + 1 : 0;
    if (!failed) block.error = undefined;
  }

  /**
   * The read of a block that began at `began` got no answer. It is repeated at `at`, as often as `retries` says until it is
   * answered. One that stays silent while others of its unit are answered is asked rarely; `answeredAt`: the last such answer.
   */
  noteUnanswered(
    block: PollBlock<Where, Reply>,
    { began, at, answeredAt }: { began: MonotonicMs; at: MonotonicMs; answeredAt: MonotonicMs },
    { retries, misses }: Pick<LossLimits, 'retries' | 'misses'>,
  ): void {
    const othersAnswer = answeredAt >= block.silentAt;
    block.unanswered++;
    block.silentAt = began;
    if (block.unanswered <= retries) block.due = at;
    else if (block.unanswered >= misses && othersAnswer) block.due = Math.max(block.due, at + SILENT_BLOCK_MS);
  }

  /** The device refuses the read of a block, which cannot be split. It is repeated ever more rarely, or at its next turn. */
  noteRefused(block: PollBlock<Where, Reply>, now: MonotonicMs): void {
    block.unanswered = 0;
    block.refusals++;
    if (!block.rests) block.due = Math.min(block.grid, now + refusedWait(block.refusals));
  }

  /** The read was answered: from now on what it asked for is not taken for refused. */
  accept(block: PollBlock<Where, Reply>, now: MonotonicMs): void {
    block.unanswered = 0;
    block.refusals = 0;
    const name = className(block);
    const refused = this.#refused.get(name);
    refused?.accept(block, now);
    if (refused?.empty) this.#refused.delete(name);
  }

  /** Splits a block in which the device refuses an address. Returns whether it could be split. */
  split(block: PollBlock<Where, Reply>, now: MonotonicMs): boolean {
    const name = className(block);
    const known = this.#refused.get(name);
    const refused = known ?? new RefusedReads<PolledItem<Where, Reply>>();
    if (!refused.split(block, now)) return false;
    this.#refused.set(name, refused);
    this.#options.count('blocks_divided');
    if (!known) this.#options.onSplit?.(block.span);
    this.plan(this.#items, now);
    const served = new Set(block.items);
    for (const part of this.#blocks) if (!part.rests && part.items.some((item) => served.has(item))) part.due = now;
    return true;
  }

  /** Reads everything of the unit at once, because it answers again. What it refused before may be there now. */
  pollNow(unit: number, now: MonotonicMs): void {
    for (const block of this.#blocks) {
      if (block.span.unit !== unit) continue;
      if (!block.rests) block.due = Math.min(block.due, now);
      block.unanswered = 0;
      block.refusals = 0;
      this.#refused.get(className(block))?.forget(now);
    }
  }

  /** Fails the unit's items, each with the error of its own read; with `dueBy` only those that should have been read by then. */
  failUnit(unit: number, error: DcsError, dueBy = Number.POSITIVE_INFINITY): void {
    for (const block of this.#blocks) {
      if (block.span.unit !== unit || block.due > dueBy) continue;
      const own = block.error ?? notAskedError(block.span, error.code);
      for (const item of block.items) item.fail(own);
    }
  }

  /** See PolledItem.age. Returns when to call it again. */
  age(now: MonotonicMs): MonotonicMs | undefined {
    let next = Number.POSITIVE_INFINITY;
    for (const { items } of this.#blocks) for (const item of items) next = Math.min(next, item.age?.(now) ?? next);
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  /** Joins refused reads again, those for which it is time. */
  #reviseRefused(now: MonotonicMs): void {
    const due = [...this.#refused].filter(([, { reviseAt }]) => reviseAt <= now);
    if (due.length === 0) return;
    const classes = this.#classes();
    for (const [name, refused] of due) refused.revise(this.#blocksOf(classes.get(name) ?? []), now);
    this.plan(this.#items, now);
    // What was refused is asked now, not when its period ends.
    for (const block of this.#blocks) {
      const refused = this.#refused.get(className(block));
      if (!block.rests && block.items.some((item) => refused?.isSuspect(item)))
        block.due = Math.min(block.due, now + RETRY_MS);
    }
  }

  #planClasses(now: MonotonicMs): PollBlock<Where, Reply>[] {
    return [...this.#classes()].flatMap(([name, members]) => {
      const refused = this.#refused.get(name);
      const blocks = this.#blocksOf(members, refused);
      return blocks.map(({ span, items }, at) => ({
        span,
        items,
        periodMs: items[0]?.periodMs ?? 0,
        readWith: items[0]?.readWith,
        due: now,
        grid: now,
        busy: false,
        unanswered: 0,
        probes: 0,
        silentAt: Number.POSITIVE_INFINITY,
        refusals: 0,
        error: undefined,
        rests: refused?.rests({ span, items }, blocks[at + 1]) ?? false,
      }));
    });
  }

  #classes(): Map<string, PolledItem<Where, Reply>[]> {
    const classes = new Map<string, PolledItem<Where, Reply>[]>();
    for (const item of this.#items) {
      const name = className(item);
      const members = classes.get(name);
      if (members) members.push(item);
      else classes.set(name, [item]);
    }
    return classes;
  }

  /** The reads of one class. */
  #blocksOf(
    members: readonly PolledItem<Where, Reply>[],
    refused?: RefusedReads<PolledItem<Where, Reply>>,
  ): PlannedBlock<PolledItem<Where, Reply>, Where>[] {
    const [first] = members;
    if (!first) return [];
    return planBlocks(members, spanOf, this.#options.limits(first.span), (item) => refused?.beginsRead(item) ?? false);
  }
}

function className({ span, periodMs, readWith = '' }: PollClass): string {
  return `${span.unit}/${span.table}/${periodMs}/${readWith}`;
}

/** A read that was not sent again, because others of its unit got no answer. */
function notAskedError({ unit, table, first, count }: Span, code: ErrorCode): DcsError {
  const range = count === 1 ? `${first}` : `${first}..${first + count - 1}`;
  return new DcsError(code, `unit ${unit} ${table} ${range}: not asked, because the unit has stopped answering`);
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

function blockKey(block: PollClass & { readonly span: Span }): string {
  return `${className(block)}/${block.span.first}/${block.span.count}`;
}
