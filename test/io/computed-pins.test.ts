import { describe, expect, it, vi } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { PinState } from '../../src/io/pin-state.ts';
import { startAgent } from '../../src/testing/index.ts';
import { pinSpec } from '../support/pin-bench.ts';

const plant = (pins: Readonly<Record<string, unknown>>) => ({
  node: 'plant',
  board: 'none',
  ports: { plc: { driver: 'modbus', tcp: '192.0.2.1:502' } },
  pins: {
    a: { port: 'plc', holding: 1 },
    b: { port: 'plc', holding: 2 },
    ct: { port: 'plc', holding: 6 },
    ...pins,
  },
});

/** An agent with everything that one pin reports. */
async function running(pins: Readonly<Record<string, unknown>>, watched: string) {
  const agent = await startAgent(plant(pins));
  const reports: unknown[] = [];
  const actor = new Actor('watcher');
  actor.onReport(watched, ({ val, quality }) => {
    reports.push(quality === 'good' ? val : quality);
  });
  agent.bus.join(actor);
  const settle = () => agent.clock.advance(0);
  return Object.assign(agent, { reports, settle, [Symbol.asyncDispose]: () => agent.stop() });
}

describe('a computed pin', () => {
  it('follows its sources in the turn in which they change, and mixes no old value with new ones', async () => {
    await using agent = await running(
      { sum: { expr: '(a + b) * ct', uom: 'W' }, twice: { expr: 'sum * 2 - a' } },
      'twice',
    );
    const { hardware, settle, reports } = agent;
    hardware.set('a', 100);
    hardware.set('b', 200);
    hardware.set('ct', 20);
    await settle();
    expect(await agent.pins.get('sum')).toMatchObject({ val: 6000, quality: 'good', simulated: true });
    reports.length = 0;
    hardware.set('a', 300);
    hardware.set('b', 400);
    await settle();
    expect(reports).toEqual([27_700]);
  });

  it('is bad with its source and says why, keeps the last value, and is good again with it', async () => {
    await using agent = await running({ sum: { expr: 'a + b' }, next: { expr: 'sum + 1' } }, 'next');
    const { hardware, settle } = agent;
    hardware.set('a', 1);
    hardware.set('b', 2);
    await settle();
    hardware.fault('b', { kind: 'timeout' });
    await agent.clock.advance(5000);
    expect(await agent.pins.get('sum')).toMatchObject({ val: 3, quality: 'bad' });
    const { reason } = await agent.pins.get('next');
    expect(reason).toMatch(/^BAD_SOURCE: sum is bad: b is bad: TIMEOUT/);
    hardware.fault('b', undefined);
    await agent.clock.advance(5000);
    expect(await agent.pins.get('next')).toMatchObject({ val: 4, quality: 'good' });
  });

  it('is bad where its expression has no value, and never reports infinity', async () => {
    await using agent = await running({ share: { expr: 'a / b' } }, 'share');
    agent.hardware.set('a', 1);
    await agent.settle();
    expect(await agent.pins.get('share')).toMatchObject({ quality: 'bad', reason: 'BAD_VALUE: 1 / 0 has no value' });
  });

  it('is bad where a part of its expression has no value, and compares no such part', async () => {
    await using agent = await running(
      { root: { expr: 'sqrt(a) != 0' }, same: { expr: 'sqrt(a) == 0' }, spare: { expr: 'otherwise(sqrt(a), 7)' } },
      'root',
    );
    agent.hardware.set('a', 65_535);
    await agent.settle();
    expect(await agent.pins.get('root')).toMatchObject({ val: true, quality: 'good' });
    agent.hardware.set('a', -4);
    await agent.settle();
    const reason = 'BAD_VALUE: the result of sqrt is no number';
    expect(await agent.pins.get('root')).toMatchObject({ quality: 'bad', reason });
    expect(await agent.pins.get('same')).toMatchObject({ quality: 'bad', reason });
    expect(await agent.pins.get('spare')).toMatchObject({ val: 7, quality: 'good' });
  });

  it('takes the quality of the pins that it is told to', async () => {
    await using agent = await running(
      { all: { expr: 'a + b' }, one: { expr: 'a + b', quality_from: ['a'] }, rest: { expr: 'a + otherwise(b, 0)' } },
      'all',
    );
    agent.hardware.set('a', 1);
    agent.hardware.set('b', 2);
    await agent.settle();
    agent.hardware.fault('b', { kind: 'timeout' });
    await agent.clock.advance(5000);
    expect(await agent.pins.get('all')).toMatchObject({ quality: 'bad' });
    expect(await agent.pins.get('one')).toMatchObject({ val: 3, quality: 'good' });
    expect(await agent.pins.get('rest')).toMatchObject({ val: 1, quality: 'good' });
  });

  it('counts for the rules of an output as any pin does', async () => {
    await using agent = await running(
      {
        ok: { expr: 'a > 10 and b < 5' },
        pump: { port: 'plc', coil: 1, direction: 'out', safe: false, requires: 'ok' },
        lamp: { port: 'plc', coil: 2, direction: 'out', safe: false, follow: 'ok' },
      },
      'pump',
    );
    await expect(agent.pins.set('pump', true)).rejects.toMatchObject({ code: 'RULE' });
    agent.hardware.set('a', 11);
    await agent.settle();
    await agent.pins.set('pump', true);
    expect(agent.hardware.get('lamp')).toBe(true);
    agent.hardware.set('b', 7);
    await agent.settle();
    expect(agent.hardware.get('pump')).toBe(false);
    expect(agent.hardware.get('lamp')).toBe(false);
  });

  const guarded = {
    'guard-a': { port: 'plc', discrete: 1 },
    'guard-b': { port: 'plc', discrete: 2 },
    ok: { expr: 'guard-a and guard-b' },
    free: { expr: 'ok and not alarm' },
    alarm: { port: 'plc', discrete: 3 },
    either: { expr: 'guard-a or guard-b' },
    saw: { port: 'plc', coil: 1, direction: 'out', safe: false, requires: 'ok' },
    drill: { port: 'plc', coil: 2, direction: 'out', safe: false, requires: 'free' },
    fan: { port: 'plc', coil: 3, direction: 'out', safe: false, requires: 'either' },
  };

  it('shows rules an interruption that begins and ends within one turn', async () => {
    await using agent = await running(guarded, 'ok');
    const { hardware, settle, reports } = agent;
    hardware.set('guard-a', true);
    hardware.set('guard-b', true);
    hardware.set('alarm', false);
    await settle();
    for (const pin of ['saw', 'drill', 'fan']) await agent.pins.set(pin, true);
    reports.length = 0;
    // Both open, so that the pin that rules read is evaluated for the moment at which they were.
    hardware.set('guard-b', false);
    hardware.set('guard-a', false);
    hardware.set('guard-a', true);
    hardware.set('guard-b', true);
    await settle();
    expect(reports).toEqual([false, true]);
    for (const pin of ['saw', 'drill', 'fan']) expect([pin, hardware.get(pin)]).toEqual([pin, false]);
  });

  it('takes changes of one time for one moment, and those of two times for two', async () => {
    await using agent = await running(guarded, 'either');
    const { hardware, settle } = agent;
    hardware.set('guard-a', true);
    await settle();
    await agent.pins.set('fan', true);
    hardware.set('guard-a', false);
    hardware.set('guard-b', true);
    await settle();
    expect(hardware.get('fan')).toBe(true);
    let later = 1;
    const time = vi.spyOn(agent.clock, 'unix').mockImplementation(() => later++);
    hardware.set('guard-b', false);
    hardware.set('guard-a', true);
    time.mockRestore();
    await settle();
    expect(hardware.get('fan')).toBe(false);
  });

  it('takes a value whose quality alone is new for one of the same moment', () => {
    const state = new PinState(pinSpec({ name: 'b', kind: 'analog' }));
    state.start(0);
    state.update({ val: 5, quality: 'good', sourceTime: 1 }, 1);
    state.update({ val: 5, quality: 'bad', reason: 'no answer' }, 2);
    state.update({ val: 5, quality: 'good', sourceTime: 3 }, 3);
    expect(state.sourceTime).toBe(3);
    expect(state.report(undefined, undefined).source_time).toBe(1);
  });

  it('refuses a command when it is computed, and debounces when asked to', async () => {
    await using agent = await running({ high: { expr: 'a > 10', debounce: '1s' } }, 'high');
    await expect(agent.pins.set('high', true)).rejects.toMatchObject({ code: 'READ_ONLY' });
    agent.hardware.set('a', 20);
    await agent.clock.advance(500);
    agent.hardware.set('a', 5);
    await agent.clock.advance(2000);
    agent.hardware.set('a', 20);
    await agent.clock.advance(2000);
    expect(agent.reports).toEqual([true]);
  });
});

describe('an output that scales another one', () => {
  const outputs = {
    hz: { port: 'plc', holding: 9, type: 'float32', direction: 'out', range: [0, 50], safe: 0, max_on: '1h' },
    percent: { expr: 'hz * 2', direction: 'out', range: [0, 100], uom: '%' },
    down: { expr: '100 - hz', direction: 'out' },
  };

  it('commands it by the inverse, and answers with what it then has', async () => {
    await using agent = await running(outputs, 'percent');
    expect(await agent.pins.set('percent', 60)).toMatchObject({
      val: 60,
      quality: 'good',
      output: { desired: 60, by: 'command', command: { val: 60, state: 'verified', actor: 'pin percent' } },
    });
    expect(agent.hardware.get('hz')).toBe(30);
    expect(await agent.pins.get('hz')).toMatchObject({ val: 30 });
    expect(await agent.pins.get('down')).toMatchObject({ val: 70 });
    await agent.pins.set('down', 99.9);
    expect(agent.hardware.get('hz')).toBeCloseTo(0.1, 6);
  });

  it('obeys the rules of the scaled output, and passes its refusal on', async () => {
    await using agent = await running(outputs, 'percent');
    await expect(agent.pins.set('percent', 101)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    await expect(agent.pins.set('down', 10)).rejects.toMatchObject({ code: 'OUT_OF_RANGE', rule: 'range' });
    agent.hardware.fault('hz', { kind: 'timeout' });
    const failing = expect(agent.pins.set('percent', 10, { timeoutMs: 60_000 })).rejects.toMatchObject({
      code: 'TIMEOUT',
    });
    await agent.clock.advance(5000);
    await failing;
  });

  it('passes leases and overrides on, so that they end at the scaled output', async () => {
    await using agent = await running(outputs, 'percent');
    await agent.pins.set('percent', 40, { hold: 2 });
    expect(agent.hardware.get('hz')).toBe(20);
    await agent.clock.advance(2100);
    expect(agent.hardware.get('hz')).toBe(0);
    expect(await agent.pins.get('percent')).toMatchObject({ val: 0 });
    await agent.pins.set('percent', 80, { override: 60 });
    expect(await agent.pins.get('percent')).toMatchObject({ output: { override: { val: 80 } } });
    await expect(agent.pins.set('hz', 5)).rejects.toMatchObject({ code: 'OVERRIDDEN' });
    await agent.clock.advance(61_000);
    expect(agent.hardware.get('hz')).toBe(0);
  });
});
