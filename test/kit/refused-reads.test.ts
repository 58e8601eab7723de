import { describe, expect, it } from 'vitest';
import { MadeUpBus } from './made-up-bus.ts';

const cells = (from: number, count: number): [number, number, number][] =>
  Array.from({ length: count }, (_, at) => [1, from + at, 500]);

/** Cells 0 to 7 of unit 1 in one read every 500 ms. */
async function eightCells(refused: readonly number[]) {
  const bus = new MadeUpBus();
  for (const cell of refused) bus.missing.add(`1/${cell}`);
  const told = bus.poll(...cells(0, 8));
  /** The requests of the next time span, each once. */
  const sentIn = async (ms: number) => {
    bus.sent.length = 0;
    await bus.clock.advance(ms);
    return bus.sent.slice();
  };
  const last = () => told.map((one) => one.at(-1));
  return { bus, told, last, sentIn };
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

describe('reads that a device refuses', () => {
  it('are as few as promised while the device refuses everything, and after it has started', async () => {
    const { bus, last, sentIn } = await eightCells(range(0, 7));
    await bus.clock.advance(5000);
    expect(last()).toEqual(Array(8).fill('NO_SUCH_CHANNEL'));
    expect(await sentIn(4000)).toEqual(Array(8).fill('1: get 0 8'));
    bus.missing.clear();
    await bus.clock.advance(600);
    expect(last()).toEqual(Array(8).fill('0'));
    expect(await sentIn(60_000)).toEqual(Array(120).fill('1: get 0 8'));
  });

  it('are joined again around the refused cells, which cost next to nothing', async () => {
    const { bus, last, sentIn } = await eightCells([3, 4]);
    await bus.clock.advance(5000);
    expect(last()).toEqual(['0', '0', '0', 'NO_SUCH_CHANNEL', 'NO_SUCH_CHANNEL', '0', '0', '0']);
    expect(new Set(await sentIn(4000))).toEqual(new Set(['1: get 0 3', '1: get 5 3']));
    const hour = await sentIn(3_600_000);
    expect(hour.length).toBeLessThan(2 * 7200 * 1.03);
    expect(last()).toEqual(['0', '0', '0', 'NO_SUCH_CHANNEL', 'NO_SUCH_CHANNEL', '0', '0', '0']);
  });

  it('are tried whole again, ever more rarely, every five minutes at least', async () => {
    const { bus, sentIn } = await eightCells([3]);
    const tries: number[] = [];
    for (let second = 0; second < 1500; second++) {
      if ((await sentIn(1000)).includes('1: get 0 8')) tries.push(second);
    }
    const waits = tries.map((at, index) => at - (tries[index - 1] ?? 0));
    expect(waits.slice(0, 5)).toEqual([11, 21, 41, 81, 161]);
    expect(Math.max(...waits)).toBeLessThan(305);
    expect(bus.counters.get('blocks_divided')).toBeLessThan(60);
  });

  it('are one read again once the device takes it', async () => {
    const { bus, last, sentIn } = await eightCells([3]);
    await bus.clock.advance(5000);
    bus.missing.clear();
    await bus.clock.advance(7000);
    expect(last()).toEqual(Array(8).fill('0'));
    expect(new Set(await sentIn(10_000))).toEqual(new Set(['1: get 0 8']));
  });

  it('find cells that appear one after the other', async () => {
    const { bus, last } = await eightCells(range(0, 7));
    for (const cell of range(0, 7)) {
      await bus.clock.advance(60_000);
      bus.missing.delete(`1/${cell}`);
    }
    await bus.clock.advance(310_000);
    expect(last()).toEqual(Array(8).fill('0'));
    await bus.clock.advance(20_000);
    bus.sent.length = 0;
    await bus.clock.advance(5000);
    expect(new Set(bus.sent)).toEqual(new Set(['1: get 0 8']));
  });

  it('are split at a hole that must not be read along, with all cells good', async () => {
    const bus = new MadeUpBus();
    bus.missing.add('1/2');
    const told = bus.poll([1, 0, 500], [1, 1, 500], [1, 3, 500], [1, 4, 500]);
    await bus.clock.advance(5000);
    bus.sent.length = 0;
    await bus.clock.advance(4000);
    expect(new Set(bus.sent)).toEqual(new Set(['1: get 0 2', '1: get 3 2']));
    expect(told.flat()).not.toContain('NO_SUCH_CHANNEL');
  });

  it('keep pins of one cell together: they are refused in one request', async () => {
    const bus = new MadeUpBus();
    bus.missing.add('1/0');
    bus.poll(...Array.from({ length: 8 }, (): [number, number, number] => [1, 0, 500]), [1, 1, 500]);
    await bus.clock.advance(100);
    expect(bus.sent).toEqual(['1: get 0 2', '1: get 0 1', '1: get 1 1']);
  });

  it('that are separate anyway are asked at their own rate', async () => {
    const bus = new MadeUpBus();
    for (const cell of [40, 3]) bus.missing.add(`1/${cell}`);
    const told = bus.poll(...cells(0, 8), [1, 40, 500]);
    await bus.clock.advance(8000);
    bus.missing.delete('1/40');
    await bus.clock.advance(600);
    expect(told.at(-1)?.at(-1)).toBe('0');
  });

  it('are tried at once when the unit has been away', async () => {
    const { bus, last } = await eightCells([3]);
    await bus.clock.advance(400_000);
    bus.silent.add(1);
    await bus.clock.advance(20_000);
    bus.missing.clear();
    bus.silent.clear();
    await bus.clock.advance(4000);
    expect(last()).toEqual(Array(8).fill('0'));
  });

  it('with a long period are repeated ever more rarely while they cannot be split', async () => {
    const bus = new MadeUpBus();
    bus.missing.add('1/0');
    const [told] = bus.poll([1, 0, 3_600_000]);
    expect(bus.sent).toHaveLength(1);
    const sent: number[] = [];
    for (let second = 0; second < 1200; second++) {
      bus.sent.length = 0;
      await bus.clock.advance(1000);
      if (bus.sent.length > 0) sent.push(second);
    }
    expect(sent).toEqual([10, 30, 70, 150, 310, 610, 910]);
    bus.missing.clear();
    await bus.clock.advance(301_000);
    expect(told?.at(-1)).toBe('0');
  });

  it('with a long period are tried whole after 10 s, not when the period is over', async () => {
    const bus = new MadeUpBus();
    for (const cell of [3, 4]) bus.missing.add(`1/${cell}`);
    const told = bus.poll(...cells(0, 8).map(([unit, cell]): [number, number, number] => [unit, cell, 3_600_000]));
    await bus.clock.advance(5000);
    expect(told.map((one) => one.at(-1))).toEqual(['0', '0', '0', 'NO_SUCH_CHANNEL', 'NO_SUCH_CHANNEL', '0', '0', '0']);
    bus.missing.clear();
    await bus.clock.advance(8000);
    expect(told.map((one) => one.at(-1))).toEqual(Array(8).fill('0'));
  });
});
