import { describe, expect, it } from 'vitest';
import { Patience } from '../../src/mesh/patience.ts';

describe('patience with a silent peer', () => {
  it('is what was promised in a sound network, whatever small hold-ups there are', () => {
    const patience = new Patience(1800);
    for (let now = 0; now < 60_000; now += 100) {
      patience.heldUp(now % 90, now);
      expect(patience.limit(now)).toBe(1800);
    }
  });

  it('grows with the longest recent hold-up, has a limit, and is forgotten', () => {
    const patience = new Patience(1800);
    patience.heldUp(600, 1000);
    patience.heldUp(200, 1500);
    expect(patience.limit(2000)).toBe(4800);
    patience.heldUp(60_000, 3000);
    expect(patience.limit(4000)).toBe(8000);
    expect(patience.limit(24_000)).toBe(1800);
  });
});
