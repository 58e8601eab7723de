import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { monotonic, realtime, stampMs } from '../../drivers/gpio/edges.ts';
import type { Clock } from '../../src/clock/clock.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';

/** A wall clock in whole milliseconds, as JavaScript's is, that can be set. */
class WallClock extends ManualClock implements Clock {
  setBy = 0;
  override unix(): number {
    return Date.now() / 1000 + this.setBy;
  }
}

const halves = (ns: bigint): [number, number] => [Number(ns >> 32n), Number(ns & 0xffff_ffffn)];

describe('time of an edge', () => {
  it('from the monotonic clock is in order, keeps the kernel’s distances, and is within milliseconds of the wall clock', () => {
    const gaps = fc.array(fc.integer({ min: 1000, max: 300_000 }), { minLength: 2, maxLength: 300 });
    fc.assert(
      fc.property(gaps, (gapsNs) => {
        const time = monotonic(new WallClock());
        let stamp = process.hrtime.bigint();
        const first = time(...halves(stamp));
        let [before, at] = [first, 0];
        for (const gap of gapsNs) {
          stamp += BigInt(gap);
          at += gap;
          const now = time(...halves(stamp));
          expect(now).toBeGreaterThan(before);
          // A double holds the time since 1970 to a quarter of a microsecond.
          expect(Math.abs(now - first - at / 1e9)).toBeLessThan(1e-6);
          before = now;
        }
      }),
    );
    const time = monotonic(new WallClock());
    const before = Date.now();
    const told = time(...halves(process.hrtime.bigint())) * 1000;
    expect(told).toBeGreaterThan(before - 2);
    expect(told).toBeLessThan(Date.now() + 2);
  });

  it('follows a wall clock that is set, within a second', () => {
    const clock = new WallClock();
    const time = monotonic(clock);
    const stamp = process.hrtime.bigint();
    const before = time(...halves(stamp));
    clock.setBy = 3600;
    expect(time(...halves(stamp + 500_000_000n)) - before).toBeCloseTo(0.5, 5);
    expect(time(...halves(stamp + 1_500_000_000n)) - before).toBeCloseTo(3601.5, 1);
  });

  it('from the realtime clock is the kernel’s time stamp', () => {
    const ns = 1_795_344_194_690_123_456n;
    expect(realtime(...halves(ns))).toBeCloseTo(1_795_344_194.690123, 5);
    expect(stampMs(...halves(1_234_567_890_123n))).toBeCloseTo(1_234_567.890123, 5);
  });
});
