import { describe, expect, it } from 'vitest';
import {
  DelayEstimate,
  FailureDetector,
  type PingEvidence,
  StallDetector,
} from '../../src/mesh/liveness/failure-detector.ts';

/** The longest silence that is tolerated at this time (ms). */
function limit(detector: FailureDetector, now: number, pings?: PingEvidence): number {
  for (let silence = 0; ; silence += 50) if (detector.verdict(silence, now, pings) === 'lost') return silence - 50;
}

const pings = (alive: boolean, lossy: boolean): PingEvidence => ({
  confirmed: true,
  alive: () => alive,
  lossy: () => lossy,
});

describe('the silence of a peer that is tolerated', () => {
  it('is what was promised in a sound network, whatever small delays there are', () => {
    const detector = new FailureDetector(1800);
    for (let now = 0; now < 60_000; now += 100) {
      detector.noteDelay(now % 90, now);
      expect(limit(detector, now)).toBe(1800);
    }
  });

  it('without pings grows with the longest recent delay, has a limit, and is forgotten', () => {
    const detector = new FailureDetector(1800);
    detector.noteDelay(600, 1000);
    detector.noteDelay(200, 1500);
    expect(limit(detector, 2000)).toBe(4800);
    detector.noteDelay(60_000, 3000);
    expect(limit(detector, 4000)).toBe(8000);
    expect(limit(detector, 24_000)).toBe(1800);
  });

  it('is never longer than promised with a peer that answers no pings any more, however bad the network was', () => {
    const detector = new FailureDetector(1800);
    detector.noteDelay(5000, 1000);
    expect(limit(detector, 1500, pings(false, true))).toBe(1800);
  });

  it('is never longer than promised when every ping is answered: then the connection alone is cut', () => {
    expect(limit(new FailureDetector(1800), 1500, pings(true, false))).toBe(1800);
  });

  it('is long with a peer that answers pings, some of which are lost; its connection is called stalled', () => {
    const detector = new FailureDetector(1800);
    expect(detector.verdict(1900, 5000, pings(true, true))).toBe('stalled');
    expect(limit(detector, 5000, pings(true, true))).toBe(15_000);
  });
});

describe('the estimate of a queueing delay', () => {
  it('is what a frame took longer than the fastest one, whatever the clocks of both ends show', () => {
    const delay = new DelayEstimate();
    expect(delay.queueingDelay(5_000_000, 100)).toBe(0);
    expect(delay.queueingDelay(5_000_100, 260)).toBe(60);
    expect(delay.queueingDelay(5_000_200, 290)).toBe(0);
    expect(delay.queueingDelay(5_000_300, 400)).toBe(10);
  });

  it('follows clocks that drift apart: an offset older than a minute counts no more', () => {
    const delay = new DelayEstimate();
    delay.queueingDelay(0, 0);
    for (let now = 1000; now <= 70_000; now += 1000) delay.queueingDelay(now - now / 10_000, now);
    expect(delay.queueingDelay(80_000 - 8, 80_000)).toBeLessThan(5);
  });
});

describe('a process that did not run', () => {
  it('knows so at its next tick: after 0.45 s the silence of others means nothing', () => {
    const stalls = new StallDetector(150, 0);
    expect([stalls.tick(150), stalls.tick(600), stalls.tick(1051), stalls.tick(1201)]).toEqual([
      false,
      false,
      true,
      false,
    ]);
    expect(stalls.resumedRecently(1201)).toBe(false);
  });

  it('for longer than 1.5 s may read old messages for 0.5 s after that', () => {
    const stalls = new StallDetector(150, 0);
    stalls.tick(1500);
    expect(stalls.resumedRecently(1500)).toBe(false);
    stalls.tick(3001);
    expect(stalls.resumedRecently(3001)).toBe(true);
    expect(stalls.resumedRecently(3500)).toBe(true);
    expect(stalls.resumedRecently(3501)).toBe(false);
  });
});
