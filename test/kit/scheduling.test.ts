import { describe, expect, it } from 'vitest';
import type { Span } from '../../src/driver/kit/block-planner.ts';
import { Poller } from '../../src/driver/kit/poller.ts';
import type { Lane, QueuedTask } from '../../src/driver/kit/task-queue.ts';
import { TaskQueue } from '../../src/driver/kit/task-queue.ts';

const limits = { gap: 0, maxItems: 125, merge: true, forbidden: [] };
const task = (lane: Lane, queuedAt: number, unit = 1): QueuedTask<string, string> => ({
  lane,
  unit,
  key: undefined,
  queuedAt,
  expiresAt: queuedAt + 60_000,
  run: async () => undefined,
  reject: () => undefined,
});

describe('the queue of a bus', () => {
  it('lets writes go before verification and that before reads, each in the order they came', () => {
    const queue = new TaskQueue<string, string>();
    const tasks = [task('demand', 0), task('verify', 1), task('write', 2), task('write', 3)];
    for (const one of tasks) queue.add(one);
    const order = tasks.map(() => queue.take(() => true, 10));
    expect(order).toEqual([tasks[2], tasks[3], tasks[1], tasks[0]]);
  });

  it('starves no lane: under endless writes a read has its turn after a second or so', () => {
    const queue = new TaskQueue<string, string>();
    const read = task('demand', 0);
    queue.add(read);
    let now = 0;
    for (; now < 5000; now += 10) {
      // More writes than are carried out.
      queue.add(task('write', now));
      queue.add(task('write', now));
      if (queue.take(() => true, now) === read) break;
    }
    expect(now).toBeGreaterThanOrEqual(1000);
    expect(now).toBeLessThan(1100);
  });

  it('passes over units that are not free, however long they have waited', () => {
    const queue = new TaskQueue<string, string>();
    const [held, free] = [task('write', 0, 1), task('demand', 4000, 2)];
    queue.add(held);
    queue.add(free);
    expect(queue.take((unit) => unit === 2, 5000)).toBe(free);
  });
});

describe('polling', () => {
  const item = (unit: number, periodMs: number, first = 0) => ({
    span: { unit, table: 'holding' as const, first, count: 1 },
    periodMs,
    neverRead: false,
    deliver: () => undefined,
    fail: () => undefined,
  });

  it('spreads all reads of one period over it, whatever their units, and keeps to that grid', () => {
    const poller = new Poller<Span, Buffer>({ limits: () => limits, count: () => undefined });
    poller.plan(
      Array.from({ length: 10 }, (_, unit) => item(unit + 1, 1000)),
      5000,
    );
    const turns: number[] = [];
    for (let now = 5000; now <= 8000; now += 10) {
      const block = poller.nextBlock(now, () => true);
      if (!block) continue;
      turns.push(now);
      poller.markSent(block);
      poller.markDone(block, now + 7, false, false);
    }
    expect(turns).toEqual(Array.from({ length: 30 }, (_, turn) => 5100 + 100 * turn));
  });

  it('lets the fast go before the slow when both are due, and starves none', () => {
    const poller = new Poller<Span, Buffer>({ limits: () => limits, count: () => undefined });
    poller.plan([item(1, 1000), item(2, 100)], 0);
    const units: number[] = [];
    // A bus on which a read takes 60 ms: the fast one alone nearly fills it.
    for (let now = 1000; now < 7000; now += 60) {
      const block = poller.nextBlock(now, () => true);
      if (!block) continue;
      units.push(block.span.unit);
      poller.markSent(block);
      poller.markDone(block, now + 60, false, false);
    }
    expect(units[0]).toBe(2);
    expect(units.filter((unit) => unit === 1).length).toBeGreaterThanOrEqual(5);
  });
});
