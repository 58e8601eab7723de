import { describe, expect, it } from 'vitest';
import { FailureDetector, type PingEvidence } from '../../src/mesh/liveness/failure-detector.ts';

/** How long a silence is borne at this time (ms). */
function limit(patience: FailureDetector, now: number, witness?: PingEvidence): number {
  for (let silence = 0; ; silence += 50) if (patience.verdict(silence, now, witness) === 'lost') return silence - 50;
}

const witness = (alive: boolean, lossy: boolean): PingEvidence => ({
  confirmed: true,
  alive: () => alive,
  lossy: () => lossy,
});

describe('patience with a silent peer', () => {
  it('is what was promised in a sound network, whatever small hold-ups there are', () => {
    const patience = new FailureDetector(1800);
    for (let now = 0; now < 60_000; now += 100) {
      patience.noteDelay(now % 90, now);
      expect(limit(patience, now)).toBe(1800);
    }
  });

  it('without datagrams grows with the longest recent hold-up, has a limit, and is forgotten', () => {
    const patience = new FailureDetector(1800);
    patience.noteDelay(600, 1000);
    patience.noteDelay(200, 1500);
    expect(limit(patience, 2000)).toBe(4800);
    patience.noteDelay(60_000, 3000);
    expect(limit(patience, 4000)).toBe(8000);
    expect(limit(patience, 24_000)).toBe(1800);
  });

  it('is never longer than promised with a peer that answers no datagrams any more, however bad the network was', () => {
    const patience = new FailureDetector(1800);
    patience.noteDelay(5000, 1000);
    expect(limit(patience, 1500, witness(false, true))).toBe(1800);
  });

  it('is never longer than promised when every datagram passes: then the connection alone is cut', () => {
    expect(limit(new FailureDetector(1800), 1500, witness(true, false))).toBe(1800);
  });

  it('is long with a peer that answers datagrams, some of which are lost; its connection is called stalled', () => {
    const patience = new FailureDetector(1800);
    expect(patience.verdict(1900, 5000, witness(true, true))).toBe('stalled');
    expect(limit(patience, 5000, witness(true, true))).toBe(15_000);
  });
});
