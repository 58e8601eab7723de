import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PlanLimits, planBlocks, type Span, splitBlock } from '../../src/driver/kit/block-planner.ts';

const limits = (over: Partial<PlanLimits> = {}): PlanLimits => ({
  gap: 10,
  maxItems: 125,
  merge: true,
  forbidden: [],
  ...over,
});
const span = (first: number, count = 1): Span => ({ unit: 1, table: 'holding', first, count });
const plan = (items: readonly Span[], over: Partial<PlanLimits> = {}, cut?: (item: Span) => boolean) =>
  planBlocks(items, (item) => item, limits(over), cut);
const shape = (items: readonly Span[], over: Partial<PlanLimits> = {}) =>
  plan(items, over).map(({ span: { first, count } }) => [first, count]);

describe('the planner', () => {
  const tags = fc.array(
    fc.record({ first: fc.integer({ min: 0, max: 900 }), count: fc.constantFrom(1, 1, 1, 2, 2, 4, 8) }),
    { maxLength: 60 },
  );

  it('reads every value whole and once, within the limits, and never costs more than one request a value', () => {
    fc.assert(
      fc.property(tags, fc.integer({ min: 0, max: 60 }), fc.integer({ min: 8, max: 125 }), (chosen, gap, longest) => {
        const items = chosen.map(({ first, count }) => span(first, count));
        const blocks = plan(items, { gap, maxItems: longest });
        const served = blocks.flatMap((block) => [...block.items]);
        expect(new Set(served)).toEqual(new Set(items));
        expect(served.length).toBe(items.length);
        let cost = 0;
        for (const block of blocks) {
          const { first, count } = block.span;
          expect(count).toBeLessThanOrEqual(longest);
          cost += gap + 0.5 + count;
          for (const item of block.items) {
            expect(item.first).toBeGreaterThanOrEqual(first);
            expect(item.first + item.count).toBeLessThanOrEqual(first + count);
          }
        }
        expect(cost).toBeLessThanOrEqual(items.reduce((sum, item) => sum + gap + 0.5 + item.count, 0));
        expect(blocks.length).toBeLessThanOrEqual(items.length);
      }),
      { numRuns: 500 },
    );
  });

  it('never reads along a hole larger than the gap', () => {
    fc.assert(
      fc.property(tags, fc.integer({ min: 0, max: 30 }), (chosen, gap) => {
        for (const block of plan(
          chosen.map(({ first, count }) => span(first, count)),
          { gap },
        )) {
          let end = block.span.first;
          for (const item of block.items) {
            expect(item.first - end).toBeLessThanOrEqual(gap);
            end = Math.max(end, item.first + item.count);
          }
        }
      }),
    );
  });

  it('finds a cheapest plan: as good as trying all of them', () => {
    const few = fc.array(fc.record({ first: fc.integer({ min: 0, max: 40 }), count: fc.constantFrom(1, 2) }), {
      minLength: 1,
      maxLength: 9,
    });
    fc.assert(
      fc.property(few, (chosen) => {
        const items = chosen.map(({ first, count }) => span(first, count)).sort((a, b) => a.first - b.first);
        const cost = plan(items, { gap: 3, maxItems: 12 }).reduce((sum, { span: { count } }) => sum + 3.5 + count, 0);
        let best = Number.POSITIVE_INFINITY;
        for (let pattern = 0; pattern < 1 << (items.length - 1); pattern++) {
          let total = 0;
          let from = 0;
          for (let at = 0; at < items.length; at++) {
            if (at < items.length - 1 && ((pattern >> at) & 1) === 0) continue;
            const part = items.slice(from, at + 1);
            const length = Math.max(...part.map(({ first, count }) => first + count)) - (part[0]?.first ?? 0);
            total += length > 12 ? Number.POSITIVE_INFINITY : 3.5 + length;
            from = at + 1;
          }
          best = Math.min(best, total);
        }
        expect(cost).toBe(best);
      }),
    );
  });

  it('merges neighbours, splits at wide holes and at the limit of a request', () => {
    expect(shape([span(0), span(1), span(2)])).toEqual([[0, 3]]);
    expect(shape([span(0), span(11)])).toEqual([[0, 12]]);
    expect(shape([span(0), span(12)])).toEqual([
      [0, 1],
      [12, 1],
    ]);
    expect(shape(Array.from({ length: 130 }, (_, first) => span(first))).map(([, count]) => count)).toEqual(
      expect.arrayContaining([125, 5]),
    );
  });

  it('reads every item by itself, or leaves forbidden ranges out, where the device wants it so', () => {
    expect(shape([span(0), span(1), span(2)], { merge: false })).toEqual([
      [0, 1],
      [1, 1],
      [2, 1],
    ]);
    expect(shape([span(0), span(5), span(9)], { forbidden: [[6, 7]] })).toEqual([
      [0, 6],
      [9, 1],
    ]);
    expect(shape([span(0), span(5)], { forbidden: [[5, 9]] })).toEqual([[0, 6]]);
  });

  it('keeps apart what the device refuses to read together', () => {
    const items = [span(0), span(1), span(2)];
    expect(plan(items, {}, (item) => item.first === 1).map((block) => block.span)).toEqual([span(0), span(1, 2)]);
  });

  it('divides a refused read at its holes first, then in halves, and a single value not at all', () => {
    const block = (items: Span[]) => plan(items, { gap: 100 })[0] ?? { span: span(0), items: [] };
    const heads = (items: Span[]) => splitBlock(block(items), (item) => item).map(({ first }) => first);
    expect(heads([span(0), span(1), span(5), span(9)])).toEqual([5, 9]);
    expect(heads([span(0), span(1), span(2), span(3)])).toEqual([2]);
    expect(heads([span(0, 4)])).toEqual([]);
  });
});
