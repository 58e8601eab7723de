import { describe, expect, it } from 'vitest';
import { modbus } from '../../drivers/modbus/driver.ts';
import type { Fault } from '../../drivers/modbus/simulator/faults.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { channelOf } from './owner.ts';
import { SimBus, seeded } from './sim-bus.ts';

const SILENT: Fault = { kind: 'silent' };

/** What is said of a reading: its quality, and why. */
function qualityOf(reading: Reading): string {
  if (!reading.ok) return `bad ${reading.error.message}`;
  return reading.uncertain === undefined ? 'good' : `uncertain ${reading.uncertain}`;
}

/** A level and an output of unit 1, far apart, and a pin of unit 2; requests take their time of the line. */
async function plant(keys: Record<string, unknown> = {}, timeoutMs = 500) {
  const clock = new ManualClock();
  const store = new SimulatedMemory(clock);
  const level = channelOf({ holding: 10, unit: 1 });
  const output = {
    ...channelOf({ holding: 500, unit: 1 }, { direction: 'out' as const }),
    returnValue: () => 77,
  };
  const other = channelOf({ holding: 10, unit: 2 });
  const channels = [level, output, other];
  const options = { store, channels, clock, echo: 'off', poll: '1s', timeoutMs, keys } as const;
  const bus = await new SimBus(options).open();
  const told = new Map(channels.map((channel) => [channel.key, [] as { at: number; what: string }[]]));
  for (const channel of channels)
    bus.listen(channel, (reading) => told.get(channel.key)?.push({ at: clock.now(), what: qualityOf(reading) }));
  await clock.advance(2500);
  const said = (channel: { key: string }) => told.get(channel.key)?.map(({ what }) => what) ?? [];
  /** Time of the first report of this quality. */
  const first = (channel: { key: string }, quality: string) =>
    told.get(channel.key)?.find(({ what }) => what.startsWith(quality))?.at;
  const fail = (unit: number, count: number, fault: Fault = SILENT) => {
    let left = count;
    bus.slave.script = (request) => (request.unit === unit && left-- > 0 ? fault : undefined);
  };
  return { bus, clock, store, level, output, other, said, first, fail };
}

describe('lost replies', () => {
  it.each([
    ['lost', SILENT],
    ['damaged', { kind: 'wrong-checksum' }],
    ['cut short', { kind: 'truncated', bytes: 4 }],
    ['from another unit', { kind: 'wrong-unit', unit: 9 }],
    ['refused by a gateway', { kind: 'exception', code: 11 }],
    ['put off by a busy device', { kind: 'exception', code: 6 }],
  ] as const)('%s three times in a row say nothing to any pin and write nothing', async (_what, fault) => {
    const { bus, clock, store, level, output, said, fail } = await plant();
    fail(1, 3, fault);
    await clock.advance(30_000);
    expect([said(level), said(output)]).toEqual([['good'], ['good']]);
    expect(store.get(1, 'holding', 500)).toEqual([0]);
    expect(bus.counters.get('units_lost')).toBeUndefined();
    await bus.port.close();
  });

  it('of 8 %, at random, make no pin anything but good and no unit lost, however long', async () => {
    const faults: readonly Fault[] = [SILENT, SILENT, { kind: 'wrong-checksum' }, { kind: 'truncated', bytes: 4 }];
    for (const seed of [1, 2, 3, 4]) {
      const random = seeded(seed);
      const { bus, clock, level, output, other, said } = await plant();
      let lost = 0;
      bus.slave.script = () => (random() < 0.08 ? faults[lost++ % faults.length] : undefined);
      await clock.advance(3_600_000);
      expect(lost).toBeGreaterThan(500);
      expect([said(level), said(output), said(other)]).toEqual([['good'], ['good'], ['good']]);
      expect(bus.counters.get('units_lost')).toBeUndefined();
      await bus.port.close();
    }
  });

  it('of as many requests in a row as `misses` make the unit lost, and of one less do not', async () => {
    for (const [count, lost] of [
      [2, undefined],
      [3, 1],
    ] as const) {
      const { bus, clock, store, fail } = await plant({ misses: 3 });
      fail(1, count);
      await clock.advance(20_000);
      expect(bus.counters.get('units_lost')).toBe(lost);
      // The output of a lost unit gets its return value.
      expect(store.get(1, 'holding', 500)).toEqual([lost ? 77 : 0]);
      await bus.port.close();
    }
  });

  it('count once for all requests of a moment: what a gateway says ten times within a timeout is one silence', async () => {
    const { bus, clock, fail } = await plant({ misses: 3, poll: '20ms' });
    fail(1, 10, { kind: 'exception', code: 10 });
    await clock.advance(10_000);
    expect(bus.counters.get('units_lost')).toBeUndefined();
    await bus.port.close();
  });

  it('are the declared number for one device and another for the rest of the port', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const channels = [channelOf({ holding: 1, unit: 1, quirks: { misses: 2 } }), channelOf({ holding: 1, unit: 2 })];
    const bus = await new SimBus({ store, channels, clock, echo: 'off', poll: '1s' }).open();
    await clock.advance(2500);
    bus.slave.script = () => SILENT;
    await clock.advance(2000);
    expect(bus.port.metrics()['units_off_line']).toBe(1);
    await bus.port.close();
  });

  it('of a read are repeated as often as `retries` says before its next turn', async () => {
    for (const [retries, expected] of [
      [0, 1],
      [3, 4],
    ] as const) {
      const clock = new ManualClock();
      const channels = [channelOf({ holding: 1, poll: '1h' })];
      const options = { store: new SimulatedMemory(clock), channels, clock, timeoutMs: 100, keys: { retries } };
      const bus = await new SimBus({ ...options, poll: '1h' }).open();
      let asked = 0;
      bus.slave.script = () => {
        asked++;
        return { kind: 'wrong-checksum' };
      };
      await clock.advance(500);
      expect(asked).toBe(expected);
      await bus.port.close();
    }
  });
});

describe('a device that is dead', () => {
  it('is known within the declared time, each pin with its own request as the reason', async () => {
    const { clock, bus, level, output, said, first, fail } = await plant();
    const began = clock.now();
    fail(1, Number.POSITIVE_INFINITY);
    await clock.advance(60_000);
    // The poll period, then 8 requests of 500 ms, each but the last followed by 1.5 s in which the late reply may come.
    expect((first(level, 'bad') ?? 0) - began).toBeLessThanOrEqual(17_000);
    expect((first(output, 'bad') ?? 0) - began).toBeLessThanOrEqual(17_000);
    expect(said(level)).toEqual(['good', expect.stringMatching(/^bad unit 1 holding 10:/)]);
    expect(said(output)).toEqual(['good', expect.stringMatching(/^bad unit 1 holding 500:/)]);
    expect(bus.counters.get('units_lost')).toBe(1);
    await bus.port.close();
  });

  it('behind a gateway that says so at once is lost within the declared time, however fast it is polled', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const channels = [channelOf({ holding: 10 }), channelOf({ holding: 500 })];
    const options = { store, channels, clock, echo: 'off', poll: '100ms', timeoutMs: 500 } as const;
    const bus = await new SimBus(options).open();
    await clock.advance(2500);
    bus.slave.script = () => ({ kind: 'exception', code: 10 });
    await clock.advance(10_000);
    expect(bus.counters.get('units_lost')).toBe(1);
    await bus.port.close();
  });

  it('after it was busy for long is lost within the declared time', async () => {
    const { clock, bus } = await plant();
    bus.slave.script = ({ unit }) => (unit === 1 ? { kind: 'exception', code: 6 } : undefined);
    await clock.advance(20_000);
    bus.slave.script = ({ unit }) => (unit === 1 ? SILENT : undefined);
    await clock.advance(17_000);
    expect(bus.counters.get('units_lost')).toBe(1);
    await bus.port.close();
  });

  it('in part is asked at its own rate while it is busy there', async () => {
    const { clock, bus } = await plant();
    let asked = 0;
    bus.slave.script = ({ unit, pdu }) => {
      if (unit !== 1 || pdu.readUInt16BE(1) !== 500) return undefined;
      asked++;
      return { kind: 'exception', code: 6 };
    };
    await clock.advance(60_000);
    expect(asked).toBeGreaterThanOrEqual(59);
    await bus.port.close();
  });

  it('has uncertain and bad values at the ages that the port declares, though it is not lost', async () => {
    const keys = { misses: 1000, uncertain_after: '3s', bad_after: '5s' };
    const { clock, bus, level, other, said, first, fail } = await plant(keys);
    const lastAnswer = clock.now();
    fail(1, Number.POSITIVE_INFINITY);
    await clock.advance(20_000);
    const [uncertain = 0, bad = 0] = [first(level, 'uncertain'), first(level, 'bad')];
    expect(bad - uncertain).toBe(2000);
    expect(uncertain - lastAnswer).toBeGreaterThan(3000);
    expect(uncertain - lastAnswer).toBeLessThanOrEqual(4000);
    expect(said(level).slice(1)).toEqual([
      expect.stringMatching(/^uncertain .*holding.10: .*; the value is 4\.0 s old$/),
      expect.stringMatching(/^bad unit 1 holding 10: no answer in time; the value is 6\.0 s old$/),
    ]);
    expect(said(other)).toEqual(['good']);
    bus.slave.script = () => undefined;
    await clock.advance(4000);
    expect(said(level).at(-1)).toBe('good');
    await bus.port.close();
  });

  it('makes only the pins bad whose own read is not answered', async () => {
    const { clock, bus, level, output, said } = await plant({ uncertain_after: '2s', bad_after: '3s' });
    bus.slave.script = ({ unit, pdu }) => (unit === 1 && pdu.readUInt16BE(1) === 500 ? SILENT : undefined);
    await clock.advance(60_000);
    expect(said(level)).toEqual(['good']);
    expect(said(output).at(-1)).toMatch(/^bad unit 1 holding 500:/);
    expect(bus.counters.get('units_lost')).toBeUndefined();
    await bus.port.close();
  });

  it('has bad values at that age also when a value before them in the same read has never been valid', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const absent = channelOf({ holding: 10, unit: 1, invalid: [0xffff] });
    const level = channelOf({ holding: 11, unit: 1 });
    store.put(1, 'holding', 10, 0xffff, 5);
    const keys = { misses: 1000, uncertain_after: '3s', bad_after: '5s' };
    const bus = await new SimBus({ store, channels: [absent, level], clock, echo: 'off', poll: '1s', keys }).open();
    const said: string[] = [];
    bus.listen(level, (reading) => said.push(qualityOf(reading).split(' ')[0] ?? ''));
    await clock.advance(3000);
    bus.slave.script = () => SILENT;
    await clock.advance(20_000);
    expect(said).toEqual(['good', 'uncertain', 'bad']);
    await bus.port.close();
  });

  it('and four more at once leave a unit that answers half of the bus until they are known', async () => {
    const clock = new ManualClock();
    const channels = [1, 2, 3, 4, 5, 6].map((unit) => channelOf({ holding: 1, unit, poll: '100ms' }));
    const bus = await new SimBus({
      store: new SimulatedMemory(clock),
      channels,
      clock,
      poll: '1s',
      timeoutMs: 500,
    }).open();
    await clock.advance(2000);
    let answered = 0;
    bus.slave.script = ({ unit }) => {
      if (unit > 1) return SILENT;
      answered++;
      return undefined;
    };
    await clock.advance(20_000);
    // 10 a second while nobody is in the way.
    expect(answered).toBeGreaterThan(90);
    await clock.advance(120_000);
    expect(bus.counters.get('units_lost')).toBe(5);
    await bus.port.close();
  });
});

describe('a pin whose own read is never answered', () => {
  it('is uncertain and bad by default after two and four times the time of 8 requests without answer', async () => {
    const { clock, bus, output, first } = await plant();
    bus.slave.script = ({ unit, pdu }) => (unit === 1 && pdu.readUInt16BE(1) === 500 ? SILENT : undefined);
    const began = clock.now();
    await clock.advance(90_000);
    const since = (quality: string) => Math.ceil(((first(output, quality) ?? 0) - began) / 1000);
    expect([since('uncertain'), since('bad')]).toEqual([33, 65]);
    await bus.port.close();
  });

  it('is asked rarely while its unit answers other reads, which keep their rate', async () => {
    const { clock, bus } = await plant();
    const asked = new Map<number, number>();
    bus.slave.script = ({ unit, pdu }) => {
      const at = pdu.readUInt16BE(1);
      if (unit === 1) asked.set(at, (asked.get(at) ?? 0) + 1);
      return unit === 1 && at === 500 ? SILENT : undefined;
    };
    await clock.advance(60_000);
    asked.clear();
    await clock.advance(60_000);
    expect(asked.get(500)).toBeLessThanOrEqual(6);
    expect(asked.get(10)).toBeGreaterThan(45);
    await bus.port.close();
  });
});

describe('a register that says it has no value', () => {
  it.each([
    { what: 'for long', loses: false },
    { what: 'and whose read is lost now and then', loses: true },
  ])('$what has that one reason', async ({ loses }) => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const level = channelOf({ holding: 10, unit: 1, invalid: [0xffff] });
    if (loses) store.put(1, 'holding', 10, 0xffff);
    const keys = { uncertain_after: '3s', bad_after: '5s', retries: 0 };
    const bus = await new SimBus({ store, channels: [level], clock, echo: 'off', poll: '1s', keys }).open();
    const said: string[] = [];
    bus.listen(level, (reading) => said.push(reading.ok ? 'good' : reading.error.message));
    await clock.advance(3000);
    store.put(1, 'holding', 10, 0xffff);
    bus.slave.script = (_request, index) => (loses && index % 5 === 4 ? SILENT : undefined);
    await clock.advance(30_000);
    expect(said.filter((one) => one !== 'good')).toHaveLength(1);
    await bus.port.close();
  });
});

describe('a value that the bus has no time to read', () => {
  it('is uncertain by its age, with that reason', async () => {
    const { clock, bus, level, said } = await plant({ uncertain_after: '2s', bad_after: '30s' });
    // Somebody holds the unit for longer than its values may be old.
    const task = bus.port.run({
      lane: 'demand',
      unit: 1,
      ttlMs: 1000,
      work: () => new Promise<void>((done) => clock.after(5000, done)),
    });
    await clock.advance(4000);
    expect(said(level).at(-1)).toMatch(
      /^uncertain u1\/holding\/10: its turn to be read has not come; the value is 3\.\d s old$/,
    );
    await clock.advance(3000);
    await task;
    expect(said(level).at(-1)).toBe('good');
    await bus.port.close();
  });
});

describe('a register that the device refuses to let be read while it starts', () => {
  it('is read back after each write once it has been read', async () => {
    const { clock, bus, output } = await plant();
    bus.slave.script = ({ pdu }) => (pdu[0] === 3 ? { kind: 'exception', code: 2 } : undefined);
    expect(await bus.settle(bus.port.write(output, 1))).toEqual({});
    bus.slave.script = () => undefined;
    await clock.advance(5000);
    expect(await bus.settle(bus.port.write(output, 2))).toEqual({ readBack: 2 });
    await bus.port.close();
  });
});

describe('a demanded read', () => {
  it('that fails makes nobody take the next equal reading for no news', async () => {
    const { clock, bus, level, said, fail } = await plant({ retries: 0 });
    fail(1, 1);
    expect(await bus.settle(bus.port.read([level]))).toMatchObject([{ ok: false, error: { code: 'TIMEOUT' } }]);
    await clock.advance(4000);
    expect(said(level)).toEqual(['good', 'good']);
    await bus.port.close();
  });

  it('that shows another value for a moment tells it, and the next poll tells that it is over', async () => {
    const { clock, bus, store, level } = await plant();
    const values: unknown[] = [];
    bus.listen(level, (reading) => values.push(reading.ok && reading.value));
    await clock.advance(100);
    store.put(1, 'holding', 10, 6);
    expect(await bus.settle(bus.port.read([level]))).toEqual([{ ok: true, value: 6 }]);
    store.put(1, 'holding', 10, 0);
    await clock.advance(2000);
    expect(values).toEqual([0, 6, 0]);
    await bus.port.close();
  });

  it('that is answered makes a bad pin good for all, and the loss of the unit makes it bad again', async () => {
    const { clock, bus, level, said } = await plant({ uncertain_after: '2s', bad_after: '3s' });
    const dead = ({ unit, pdu }: { unit: number; pdu: Buffer }) => unit === 1 && pdu.readUInt16BE(1) === 10;
    bus.slave.script = (request) => (dead(request) ? SILENT : undefined);
    await clock.advance(20_000);
    expect(said(level).at(-1)).toMatch(/^bad /);
    bus.slave.script = () => undefined;
    await bus.settle(bus.port.read([level]), 1);
    expect(said(level).at(-1)).toBe('good');
    bus.slave.script = ({ unit }) => (unit === 1 ? SILENT : undefined);
    await clock.advance(30_000);
    expect(said(level).at(-1)).toMatch(/^bad /);
    await bus.port.close();
  });
});

describe('the keys of a loss', () => {
  const mistake = (keys: object) => modbus.options.safeParse({ tcp: 'plc', ...keys }).error?.issues[0];

  it.each([
    [{ uncertain_after: '500ms' }, 'uncertain_after', '800 ms'],
    [{ bad_after: '500ms' }, 'bad_after', '800 ms'],
    [{ uncertain_after: '5s', bad_after: '4s' }, 'bad_after', 'at least uncertain_after'],
    [{ misses: 0 }, 'misses', '>=1'],
    [{ retries: -1 }, 'retries', '>=0'],
  ])('%j is refused at %s', (keys, key, message) => {
    expect(mistake(keys)).toMatchObject({ path: [key], message: expect.stringContaining(message) });
  });

  it('of a device must fit the keys of its port', () => {
    const options = modbus.options.parse({ tcp: 'plc', uncertain_after: '2s' });
    const channel = channelOf({ holding: 1, quirks: { timeout: '3s' } });
    expect(modbus.review?.(options, [channel])).toMatchObject([
      { key: 'quirks.timeout', expected: expect.stringContaining('3000 ms'), fatal: true },
    ]);
  });
});
