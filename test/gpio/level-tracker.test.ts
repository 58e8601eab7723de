import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Edge } from '../../drivers/gpio/backend.ts';
import { LevelTracker } from '../../drivers/gpio/edges.ts';

function watched(level: boolean) {
  const told: boolean[] = [];
  const counters = new Map<string, number>();
  const edges: Edge[] = [];
  const watch = new LevelTracker(
    { level: (high) => void told.push(high), edge: (edge) => void edges.push(edge), lost() {} },
    (name, by = 1) => void counters.set(name, (counters.get(name) ?? 0) + by),
  );
  watch.start(level);
  return { watch, told, edges, counters };
}

describe('level tracker', () => {
  it('counts exactly the edges that the kernel dropped', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 500 }), { minLength: 1 }), (numbers) => {
        const arrived = [...numbers].sort((a, b) => a - b);
        const { watch, told, counters } = watched(false);
        for (const seqno of arrived) watch.edge(seqno % 2 === 1, seqno, 0, 0);
        expect(told.length).toBe(arrived.length);
        expect(counters.get('edges_lost') ?? 0).toBe((arrived.at(-1) ?? 0) - arrived.length);
      }),
    );
  });

  it('counts two edges of one kind in a row as a merged one between them', () => {
    const { watch, counters } = watched(false);
    watch.edge(true, 1, 0, 0);
    watch.edge(true, 2, 0, 0);
    expect(Object.fromEntries(counters)).toEqual({ edges_merged: 1 });
  });

  it('counts two merged edges when an interrupt without a number finds the same level', () => {
    const { watch, told, counters, edges } = watched(false);
    watch.interrupt(true, 1);
    watch.interrupt(true, 2);
    expect(told).toEqual([true, true]);
    expect(edges).toEqual([
      { rising: true, lost: 0, at: 1 },
      { rising: true, lost: 1, at: 2 },
    ]);
    expect(Object.fromEntries(counters)).toEqual({ edges_merged: 2 });
  });

  it('tells a missed level only after two checks, and counts it', () => {
    const { watch, told, counters } = watched(false);
    expect(watch.inspect(true)).toBe(true);
    expect(told).toEqual([]);
    expect(watch.inspect(true)).toBe(false);
    expect(told).toEqual([true]);
    expect(Object.fromEntries(counters)).toEqual({ levels_missed: 1 });
  });

  it('does not count an edge that is on its way as missed', () => {
    const { watch, told, counters } = watched(false);
    watch.inspect(true);
    watch.edge(true, 1, 0, 0);
    watch.inspect(true);
    watch.inspect(true);
    expect(told).toEqual([true]);
    expect(counters.size).toBe(0);
  });

  it('tells the real level after lost edges, once', () => {
    const { watch, told } = watched(false);
    watch.edge(false, 6, 0, 0);
    watch.resync(true);
    watch.resync(true);
    expect(told).toEqual([false, true]);
  });
});
