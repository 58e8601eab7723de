import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { BusMeter, UnitHealth } from '../../src/driver/kit/index.ts';
import { MadeUpBus } from './made-up-bus.ts';

describe('the scheduler of a bus with a protocol of its own', () => {
  it('reads neighbours in one request and delivers each its own part', async () => {
    const bus = new MadeUpBus();
    bus.cells.set('1/3', 33).set('1/5', 55);
    const told = bus.poll([1, 3, 1000], [1, 5, 1000]);
    await bus.clock.advance(50);
    expect(bus.sent).toEqual(['1: get 3 3']);
    expect(told).toEqual([['33'], ['55']]);
  });

  it('lets a command go before polls that are due, and gives it its unit alone', async () => {
    const bus = new MadeUpBus();
    bus.poll([1, 0, 10], [2, 0, 10]);
    await bus.clock.advance(1000);
    bus.sent.length = 0;
    const done = bus.scheduler.submit(bus.set(1, 7, 5));
    await bus.clock.advance(30);
    await expect(done).resolves.toEqual([]);
    // One poll was under way; the write follows it at once.
    expect(bus.sent.indexOf('1: set 7 5')).toBeLessThanOrEqual(1);
    expect(bus.counters.get('polls_overrun')).toBeGreaterThan(0);
  });

  it('sends the newest of the commands that wait with one key, and says that the older ones were not sent', async () => {
    const bus = new MadeUpBus();
    const first = bus.scheduler.submit(bus.set(1, 0, 1, 'cell 0'));
    const second = bus.scheduler.submit(bus.set(1, 0, 2, 'cell 0'));
    const third = bus.scheduler.submit(bus.set(1, 0, 3, 'cell 0'));
    await expect(second).rejects.toMatchObject({ code: 'EXPIRED' });
    await bus.clock.advance(50);
    await Promise.all([first, third]);
    expect(bus.sent).toEqual(['1: set 0 1', '1: set 0 3']);
  });

  it('splits a read that the unit refuses until only the missing cell is bad', async () => {
    const bus = new MadeUpBus();
    bus.missing.add('1/2');
    bus.cells.set('1/0', 10).set('1/1', 11).set('1/3', 13);
    const told = bus.poll([1, 0, 1000], [1, 1, 1000], [1, 2, 1000], [1, 3, 1000]);
    await bus.clock.advance(500);
    expect(told.map((one) => one[0])).toEqual(['10', '11', 'NO_SUCH_CHANNEL', '13']);
    expect(bus.counters.get('blocks_divided')).toBeGreaterThan(0);
  });

  it('takes a silent unit off line, probes it ever more rarely, and keeps the others at their rate', async () => {
    const bus = new MadeUpBus();
    bus.silent.add(2);
    const [good = [], away = []] = bus.poll([1, 0, 100], [2, 0, 100]);
    await bus.clock.advance(60_000);
    expect(away.every((told) => told === 'TIMEOUT')).toBe(true);
    expect(good.length).toBeGreaterThan(540);
    expect(bus.sent.filter((text) => text.startsWith('2:')).length).toBeLessThan(15);
    expect(bus.scheduler.metrics['units_off_line']).toBe(1);
    await expect(bus.scheduler.submit(bus.set(2, 0, 1))).rejects.toMatchObject({ code: 'PORT_DOWN' });
    bus.silent.delete(2);
    await bus.clock.advance(11_000);
    expect(bus.answers).toEqual(['2 is back']);
    expect(away.at(-1)).toBe('0');
  });

  it('rejects what waits when it is closed, and sends nothing afterwards', async () => {
    const bus = new MadeUpBus();
    const [told = []] = bus.poll([1, 0, 10]);
    const waiting = bus.scheduler.submit(bus.set(1, 0, 1));
    bus.scheduler.close();
    await expect(waiting).rejects.toMatchObject({ code: 'PORT_DOWN' });
    const sent = bus.sent.length;
    await bus.clock.advance(20);
    bus.scheduler.dispatch();
    await bus.clock.advance(1000);
    expect(bus.sent.length).toBe(sent);
    expect(told.length).toBeLessThanOrEqual(1);
  });
});

describe('the health of a unit', () => {
  it('is off line after two requests without an answer; the wait for its probe doubles up to 10 s', () => {
    const health = new UnitHealth();
    expect([health.noteSilence(0, true), health.offline]).toEqual([false, false]);
    expect([health.noteSilence(0, true), health.probeAt]).toEqual([true, 500]);
    const waits = Array.from({ length: 6 }, () => {
      health.noteSilence(0, true);
      return health.probeAt;
    });
    expect(waits).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000]);
    expect([health.noteAnswer(), health.offline, health.noteAnswer()]).toEqual([true, false, false]);
  });

  it('counts requests that were under way together, or began within `missMs` of each other, as one', () => {
    const health = new UnitHealth({ retries: 0, misses: 2, missMs: 50 });
    for (let at = 0; at < 8; at++) health.noteSilence(100, true, 0);
    expect(health.offline).toBe(false);
    health.noteAnswer();
    for (const began of [200, 220, 240]) health.noteSilence(began + 5, true, began);
    expect(health.offline).toBe(false);
    expect(health.noteSilence(255, true, 250)).toBe(true);
  });

  it('waits for 2 s at most when no other unit of the bus answers', () => {
    const health = new UnitHealth();
    for (let miss = 0; miss < 10; miss++) health.noteSilence(0, false);
    expect(health.probeAt).toBe(2000);
  });
});

describe('the meter of a bus', () => {
  it('tells the share of time with a request under way, and round trips of those that were answered', async () => {
    const clock = new ManualClock();
    const meter = new BusMeter(clock);
    for (let turn = 0; turn < 100; turn++) {
      const ended = meter.start();
      await clock.advance(20);
      ended(turn % 2 === 0);
      await clock.advance(80);
    }
    expect(meter.metrics['utilisation']).toBeCloseTo(0.2, 2);
    expect(meter.metrics['round_trip_p50_ms']).toBe(20);
  });
});
