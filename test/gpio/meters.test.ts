import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EdgeKind } from '../../drivers/gpio/address.ts';
import type { Edge } from '../../drivers/gpio/backend.ts';
import { EdgeCounter, FrequencyMeter, PulseWidthMeter, Quadrature } from '../../drivers/gpio/meters.ts';

/** A wave of `edges` edges, 1 ms apart, of which those in `dropped` never arrive: the next one says how many are missing. */
function wave(edges: number, dropped: ReadonlySet<number>, watched: EdgeKind): Edge[] {
  const arrived: Edge[] = [];
  let lost = 0;
  for (let n = 0; n < edges; n++) {
    const rising = n % 2 === 0;
    if (watched !== 'both' && rising !== (watched === 'rising')) continue;
    if (dropped.has(n) && n < edges - 2) lost++;
    else {
      arrived.push({ rising, lost, at: n });
      lost = 0;
    }
  }
  return arrived;
}

const losses = fc.array(fc.nat(200), { maxLength: 150 }).map((list) => new Set(list));
const kinds = ['rising', 'falling', 'both'] as const;

describe('edge counter', () => {
  it('is exact whatever edges were lost, for every kind of edge', () => {
    fc.assert(
      fc.property(losses, fc.constantFrom(...kinds), fc.boolean(), (dropped, kind, shared) => {
        const watched = shared ? 'both' : kind;
        const counter = new EdgeCounter(kind, watched, 100);
        for (const edge of wave(200, dropped, watched)) counter.edge(edge);
        expect(counter.value).toBe(100 + (kind === 'both' ? 200 : 100));
      }),
    );
  });
});

describe('frequency meter', () => {
  it('measures by the time stamps, not by the time of reading, also with lost edges', () => {
    fc.assert(
      fc.property(losses, fc.boolean(), (dropped, both) => {
        const watched = both ? 'both' : 'rising';
        const meter = new FrequencyMeter(watched);
        for (const edge of wave(201, dropped, watched)) meter.edge(edge, edge.at);
        // A rising edge every 2 ms.
        expect(meter.read(900)).toBeCloseTo(500, 6);
      }),
    );
  });

  it('falls while no edge comes, and ends at 0', () => {
    const meter = new FrequencyMeter('rising');
    for (const at of [0, 10, 20]) meter.edge({ rising: true, lost: 0, at }, at);
    expect(meter.read(20)).toBe(100);
    expect(meter.read(25)).toBe(100);
    expect(meter.read(1020)).toBe(1);
    expect(meter.read(10_020)).toBe(0);
  });

  it('begins a new measurement after silence instead of averaging over it', () => {
    const meter = new FrequencyMeter('rising');
    for (const at of [0, 10]) meter.edge({ rising: true, lost: 0, at }, at);
    meter.read(10);
    meter.read(20_000);
    for (const at of [30_000, 30_020]) meter.edge({ rising: true, lost: 0, at }, at);
    expect(meter.read(30_020)).toBe(50);
  });
});

describe('pulse width meter', () => {
  it('measures the last complete pulse, and none with a lost edge in it', () => {
    const meter = new PulseWidthMeter(true);
    expect(meter.seconds).toBeUndefined();
    meter.edge({ rising: false, lost: 0, at: 5 });
    expect(meter.seconds).toBeUndefined();
    meter.edge({ rising: true, lost: 0, at: 10 });
    meter.edge({ rising: false, lost: 0, at: 12.5 });
    expect(meter.seconds).toBe(0.0025);
    meter.edge({ rising: true, lost: 0, at: 20 });
    meter.edge({ rising: false, lost: 2, at: 90 });
    expect(meter.seconds).toBe(0.0025);
  });
});

describe('quadrature encoder', () => {
  const forward = [
    [false, false],
    [true, false],
    [true, true],
    [false, true],
  ] as const;

  it('follows every walk of single steps exactly', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean()), (walk) => {
        const position = new Quadrature(false, false, 0);
        let at = 0;
        for (const up of walk) {
          at += up ? 1 : -1;
          const [a, b] = forward[((at % 4) + 4) % 4] ?? forward[0];
          position.move(a, b);
        }
        expect(position.value).toBe(at);
        expect(position.errors).toBe(0);
      }),
    );
  });

  it('counts a step of unknown direction as an error, and does not guess', () => {
    const position = new Quadrature(false, false, 0);
    position.move(true, true);
    expect([position.value, position.errors]).toEqual([0, 1]);
  });
});
