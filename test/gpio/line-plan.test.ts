import { describe, expect, it } from 'vitest';
import type { GpioChannel } from '../../drivers/gpio/backend.ts';
import { type LocatedLine, planAdoption, UNUSED } from '../../drivers/gpio/line-plan.ts';

function wanted(offset: number, changed: Partial<GpioChannel> = {}): LocatedLine {
  const channel: GpioChannel = {
    ...{ key: `line ${offset}`, kind: 'digital', direction: 'out', address: { gpio: offset }, debounceMs: 0 },
    ...changed,
  };
  return { spec: { channel, edges: 'both', timed: false, events: { level() {}, lost() {} } }, offset, index: offset };
}

const held = { offsets: [3, 8, 5], flags: 0, floating: [] };

describe('lines of a handed-over descriptor', () => {
  it('go on in its order, whatever their opening values', () => {
    const found = planAdoption(held, [
      wanted(5, { openingValue: true }),
      wanted(1),
      wanted(3),
      wanted(8, { openingValue: false }),
    ]);
    expect(found?.plan.lines.map(({ index: at }) => at)).toEqual([3, 8, 5]);
    expect(found?.idle).toBe(0n);
  });

  it('go on without those that no channel uses any more', () => {
    const found = planAdoption(held, [wanted(8), wanted(9)]);
    expect(found?.plan.lines.map(({ index: at, offset }) => [at, offset])).toEqual([
      [UNUSED, 3],
      [8, 8],
      [UNUSED, 5],
    ]);
    expect(found?.idle).toBe(0b101n);
  });

  it('are closed when no channel uses any, one has become an input, or their settings differ', () => {
    expect(planAdoption(held, [wanted(1)])).toBeUndefined();
    expect(planAdoption(held, [wanted(3), wanted(5, { direction: 'in' })])).toBeUndefined();
    expect(planAdoption(held, [wanted(3), wanted(5, { address: { gpio: 5, drive: 'open-drain' } })])).toBeUndefined();
  });
});
