import { describe, expect, it } from 'vitest';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';

/** Two units on one line; the first can be switched off. What it is given when it is back: `again` of its outputs. */
async function busWith(again: Readonly<Record<number, RawValue>>) {
  const clock = new ManualClock();
  const store = new SimulatedMemory(clock);
  const outputs = [4, 5].map((holding) => ({
    ...channelOf({ holding, unit: 1 }, { direction: 'out' as const }),
    returnValue: () => again[holding],
  }));
  const other = channelOf({ holding: 0, unit: 2 });
  const bus = await new SimBus({
    store,
    channels: [...outputs, other],
    clock,
    echo: 'off',
    poll: '200ms',
    keys: { misses: 2 },
  }).open();
  let on = true;
  const writes: string[] = [];
  bus.slave.script = ({ unit, pdu }) => {
    if (unit === 1 && !on) return { kind: 'silent' };
    if (pdu[0] === 6) writes.push(`${pdu.readUInt16BE(1)}=${pdu.readUInt16BE(3)}`);
    return undefined;
  };
  await clock.advance(1000);
  const power = async (state: boolean) => {
    on = state;
    // Without power it has forgotten everything.
    if (!state) store.put(1, 'holding', 4, 0, 0);
    await clock.advance(5000);
  };
  const [four] = outputs;
  if (!four) throw new Error('no outputs');
  return { bus, store, writes, power, four };
}

describe('a unit that was off line while its bus went on', () => {
  it('gets the return values of its outputs once, before it is read', async () => {
    const { bus, store, writes, power } = await busWith({ 4: 7 });
    await power(false);
    expect(bus.port.metrics()['units_off_line']).toBe(1);
    expect(writes).toEqual([]);
    await power(true);
    expect(writes).toEqual(['4=7']);
    expect(store.get(1, 'holding', 4, 2)).toEqual([7, 0]);
    await power(true);
    expect(writes).toEqual(['4=7']);
    await bus.port.close();
  });

  it('keeps a value commanded while it is probed', async () => {
    const { bus, store, power, four } = await busWith({ 4: 7, 5: 8 });
    await power(false);
    const script = bus.slave.script;
    let command: Promise<unknown> | undefined;
    bus.slave.script = (request, index) => {
      // The probe is under way.
      if (request.unit === 1) command ??= bus.port.write(four, 99);
      return script(request, index);
    };
    await power(true);
    expect(await command).toEqual({ readBack: 99 });
    expect(store.get(1, 'holding', 4, 2)).toEqual([99, 8]);
    await bus.port.close();
  });

  it('gets its return value later when the first write fails', async () => {
    const { bus, store, power, writes } = await busWith({ 4: 7 });
    await power(false);
    const script = bus.slave.script;
    let refusals = 1;
    bus.slave.script = (request, index) =>
      request.pdu[0] === 6 && refusals-- > 0 ? { kind: 'exception', code: 4 } : script(request, index);
    await power(true);
    expect(bus.counters.get('starts_failed')).toBe(1);
    expect(writes).toEqual(['4=7']);
    expect(store.get(1, 'holding', 4)).toEqual([7]);
    await bus.port.close();
  });
});

describe('a command that did nothing', () => {
  it('to a unit that comes back leaves the output its return value', async () => {
    const { bus, store, power, four } = await busWith({ 4: 7, 5: 8 });
    await power(false);
    const script = bus.slave.script;
    let command: Promise<unknown> | undefined;
    bus.slave.script = (request, index) => {
      // The probe is under way.
      if (request.unit === 1) command ??= bus.port.write(four, 99).catch((error: unknown) => error);
      const refused = request.pdu[0] === 6 && request.pdu.readUInt16BE(3) === 99;
      return refused ? { kind: 'exception', code: 4 } : script(request, index);
    };
    await power(true);
    expect(await command).toMatchObject({ code: 'DEVICE_REFUSED' });
    expect(store.get(1, 'holding', 4, 2)).toEqual([7, 8]);
    await bus.port.close();
  });

  it('does not replace an opening value that has not been written yet', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const four = channelOf({ holding: 4, write: { register: 6 } }, { direction: 'out', start: 7 });
    const bus = new SimBus({ store, channels: [four], clock, echo: 'off', poll: '200ms', keys: { misses: 2 } });
    // Neither the write is answered nor the reads that could settle it.
    bus.slave.script = (_request, index) => (index < 4 ? { kind: 'silent' } : undefined);
    await bus.open();
    expect(bus.counters.get('starts_failed')).toBe(1);
    store.put(1, 'holding', 4, 0);
    // By now it is only probed.
    const command = bus.port.write(four, 99, { expiresAt: clock.now() + 50 });
    await expect(bus.settle(command)).rejects.toMatchObject({ code: 'PORT_DOWN' });
    await clock.advance(4000);
    expect(store.get(1, 'holding', 4)).toEqual([7]);
    await bus.port.close();
  });
});

describe('a command that the device took and whose check failed', () => {
  it.each([
    {
      what: 'its unit was lost meanwhile',
      after: () => ({ kind: 'ignore' }) as const,
      keys: { misses: 1 },
      hold: false,
    },
    { what: 'others kept the unit busy', after: () => undefined, keys: {}, hold: true },
  ])('has an unknown outcome and stands when the device was still at work and $what', async ({ after, keys, hold }) => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const four = channelOf({ holding: 4, unit: 1, write: { register: 6 } }, { direction: 'out', start: 7 });
    const bus = new SimBus({ store, channels: [four], clock, echo: 'off', poll: '1h', keys });
    // The opening value is refused, so it waits.
    bus.slave.script = () => ({ kind: 'exception', code: 4 });
    await bus.open();
    const writes: number[] = [];
    bus.slave.script = ({ pdu }) => {
      if (pdu[0] !== 6) return writes.length > 0 ? after() : undefined;
      writes.push(pdu.readUInt16BE(3));
      return writes.length === 1 ? { kind: 'exception', code: 5 } : undefined;
    };
    const command = bus.port.write(four, 99);
    command.catch(() => undefined);
    await clock.advance(50);
    const work = () => new Promise<void>((done) => clock.after(6000, done));
    const held = hold ? bus.port.run({ lane: 'demand', unit: 1, ttlMs: 1000, work }) : undefined;
    await expect(bus.settle(command)).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringMatching(/the device accepted the value, and could not be read since/),
    });
    bus.slave.script = ({ pdu }) => {
      if (pdu[0] === 6) writes.push(pdu.readUInt16BE(3));
      return undefined;
    };
    await clock.advance(20_000);
    await held;
    expect(writes).toEqual([99]);
    await bus.port.close();
  });

  it('stands: an older opening value is not written after it', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const keys = { holding: 4, verify: { holding: 40 }, write: { register: 6 } };
    const four = channelOf(keys, { direction: 'out', start: 7 });
    const bus = new SimBus({ store, channels: [four], clock, echo: 'off', poll: '200ms' });
    // The opening value is not answered, so it waits.
    bus.slave.script = (_request, index) => (index === 0 ? { kind: 'ignore' } : undefined);
    await bus.open();
    expect(bus.counters.get('starts_failed')).toBe(1);
    await expect(bus.settle(bus.port.write(four, 99))).rejects.toThrow(/then showed 0/);
    await clock.advance(3000);
    expect(store.get(1, 'holding', 4)).toEqual([99]);
    await bus.port.close();
  });

  it('stands: a return value from before it is not written after it', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const channel = channelOf({ holding: 4, verify: { holding: 40 } }, { direction: 'out' });
    const four = { ...channel, returnValue: () => 7 };
    const bus = await new SimBus({ store, channels: [four], clock, echo: 'off', poll: '200ms' }).open();
    let on = false;
    let command: Promise<unknown> | undefined;
    bus.slave.script = () => {
      // The probe is under way.
      if (on) command ??= bus.port.write(four, 99).catch((error: unknown) => error);
      return on ? undefined : { kind: 'ignore' };
    };
    await clock.advance(5000);
    on = true;
    await clock.advance(5000);
    expect(await command).toMatchObject({ message: expect.stringMatching(/then showed 0/) });
    expect(store.get(1, 'holding', 4)).toEqual([99]);
    await bus.port.close();
  });
});

describe('a unit that its gateway reports missing (exception 10)', () => {
  it('is off line: it is asked rarely, and its outputs get their return values when it is back', async () => {
    const { bus, store, power } = await busWith({ 4: 7 });
    const script = bus.slave.script;
    let away = true;
    bus.slave.script = (request, index) =>
      away && request.unit === 1 ? { kind: 'exception', code: 10 } : script(request, index);
    await power(true);
    expect(bus.port.metrics()['units_off_line']).toBe(1);
    expect(bus.counters.get('exception_10')).toBeLessThan(8);
    away = false;
    await power(true);
    expect(store.get(1, 'holding', 4)).toEqual([7]);
    await bus.port.close();
  });

  it('gets its opening value as soon as it answers', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const four = channelOf({ holding: 4 }, { direction: 'out', start: 7 });
    const bus = new SimBus({ store, channels: [four], clock, echo: 'off', poll: '200ms', keys: { misses: 2 } });
    bus.slave.script = (_request, index) => (index === 0 ? { kind: 'exception', code: 10 } : undefined);
    await bus.open();
    await clock.advance(2000);
    expect(store.get(1, 'holding', 4)).toEqual([7]);
    await bus.port.close();
  });
});

describe('a device that ignores reads of one register alone', () => {
  it('is found again after a loss by its other reads', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const channels = [channelOf({ holding: 0 }), channelOf({ holding: 100, type: 'uint32' })];
    const keys = { misses: 2, retries: 0 };
    const bus = await new SimBus({ store, channels, clock, echo: 'off', poll: '1s', keys }).open();
    let away = true;
    bus.slave.script = ({ pdu }) => (away || pdu.readUInt16BE(1) === 0 ? { kind: 'ignore' } : undefined);
    await clock.advance(30_000);
    expect(bus.port.metrics()['units_off_line']).toBe(1);
    away = false;
    await clock.advance(10_000);
    expect(bus.counters.get('units_recovered')).toBeGreaterThan(0);
    await bus.port.close();
  });
});

describe('many off-line units', () => {
  it('are probed in turn: the last of them is found again, whatever the first do', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const channels = [1, 2, 3, 4, 5, 6].map((unit) => channelOf({ holding: 0, unit }));
    const alive = new Set([1]);
    const bus = await new SimBus({
      store,
      channels,
      clock,
      echo: 'off',
      poll: '1s',
      timeoutMs: 500,
      keys: { misses: 2 },
    }).open();
    bus.slave.script = ({ unit }) => (alive.has(unit) ? undefined : { kind: 'silent' });
    await clock.advance(60_000);
    expect(bus.port.metrics()['units_off_line']).toBe(5);
    alive.add(6);
    await clock.advance(60_000);
    expect(bus.counters.get('units_recovered')).toBe(1);
    await bus.port.close();
  });
});

describe('a unit that does not answer a command', () => {
  it('has no good value from then on, also long before it is asked again', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const output = channelOf({ holding: 0, unit: 1, poll: '1h', write: { register: 6 } }, { direction: 'out' });
    const channels = [output, ...[2, 3, 4, 5, 6].map((unit) => channelOf({ holding: 0, unit }))];
    const alive = new Set([1, 2]);
    const bus = await new SimBus({
      store,
      channels,
      clock,
      echo: 'off',
      poll: '1s',
      timeoutMs: 500,
      keys: { misses: 2 },
    }).open();
    bus.slave.script = ({ unit }) => (alive.has(unit) ? undefined : { kind: 'silent' });
    let good: boolean | undefined;
    bus.listen(output, ({ ok }) => {
      good = ok;
    });
    await clock.advance(60_000);
    expect(good).toBe(true);
    alive.delete(1);
    for (let time = 0; time < 2; time++) {
      await expect(bus.settle(bus.port.write(output, 1))).rejects.toThrow();
    }
    expect(good).toBe(false);
    await bus.port.close();
  });
});

describe('an opening value that the device refuses while it starts', () => {
  it('is tried again, ever more rarely, and told once', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const four = channelOf({ holding: 4, write: { register: 6 } }, { direction: 'out', start: 7 });
    const warnings: string[] = [];
    const warn = (_fields: object, message: string) => warnings.push(message);
    const log = { debug() {}, info() {}, warn, error() {} };
    const bus = new SimBus({ store, channels: [four], clock, echo: 'off', poll: '200ms', log });
    const tries: number[] = [];
    let refuses = true;
    bus.slave.script = ({ pdu }) => {
      if (pdu[0] !== 6) return undefined;
      tries.push(clock.now());
      return refuses ? { kind: 'exception', code: 2 } : undefined;
    };
    await bus.open();
    await clock.advance(60_000);
    expect(tries.length).toBeGreaterThan(4);
    expect(tries.length).toBeLessThan(8);
    expect(warnings).toHaveLength(1);
    refuses = false;
    await clock.advance(61_000);
    expect(store.get(1, 'holding', 4)).toEqual([7]);
    await bus.port.close();
  });
});

describe('an opening value whose write gets no answer', () => {
  async function ignored(fault: { kind: 'ignore' } | { kind: 'exception'; code: number }) {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const four = channelOf({ holding: 4, unit: 1, write: { register: 6 } }, { direction: 'out', start: 7 });
    const channels = [four, channelOf({ holding: 0, unit: 2 })];
    const bus = new SimBus({ store, channels, clock, echo: 'off', poll: '200ms', timeoutMs: 500 });
    const tries: number[] = [];
    const reads: number[] = [];
    const state = { ignores: true, on: true };
    bus.slave.script = ({ unit, pdu }) => {
      if (unit === 1 && !state.on) return { kind: 'ignore' };
      if (unit === 2) reads.push(clock.now());
      if (pdu[0] !== 6) return undefined;
      tries.push(clock.now());
      return state.ignores ? fault : undefined;
    };
    await bus.open();
    return { bus, clock, store, tries, reads, state };
  }

  it.each([
    { what: 'ignores it', fault: { kind: 'ignore' } as const },
    { what: 'never finishes it', fault: { kind: 'exception', code: 5 } as const },
  ])('by a device that $what is tried ever more rarely, and leaves the bus to others', async ({ fault }) => {
    const { bus, clock, tries, reads } = await ignored(fault);
    await clock.advance(60_000);
    tries.length = reads.length = 0;
    await clock.advance(60_000);
    expect(tries.length).toBeLessThanOrEqual(4);
    expect(reads.length).toBeGreaterThan(240);
    await bus.port.close();
  });

  it('is written at once when the device has been away', async () => {
    const { bus, clock, store, state } = await ignored({ kind: 'ignore' });
    await clock.advance(120_000);
    state.on = false;
    await clock.advance(40_000);
    expect(bus.port.metrics()['units_off_line']).toBe(1);
    Object.assign(state, { on: true, ignores: false });
    await clock.advance(11_000);
    expect(store.get(1, 'holding', 4)).toEqual([7]);
    await bus.port.close();
  });

  it('once only is written again without a wait', async () => {
    const { bus, clock, store, tries, state } = await ignored({ kind: 'ignore' });
    state.ignores = false;
    const failed = clock.now();
    await clock.advance(3000);
    expect(store.get(1, 'holding', 4)).toEqual([7]);
    // The late answer must be waited for, and the next poll.
    expect((tries.at(-1) ?? 0) - failed).toBeLessThan(2500);
    await bus.port.close();
  });
});

describe('an opening value that was pending when another value came into force', () => {
  /** The opening value is 1; from now on `inForce` is what the output must have. */
  async function opened(script: (pdu: Buffer) => 'ignore' | 'refuse' | undefined) {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const state = { inForce: 1 };
    const four = {
      ...channelOf({ holding: 4, write: { register: 6 } }, { direction: 'out' as const, start: 1 }),
      returnValue: () => state.inForce,
      valueInForce: () => state.inForce,
    };
    const keys = { misses: 2, retries: 0 };
    const bus = new SimBus({ store, channels: [four], clock, echo: 'off', poll: '200ms', keys });
    const writes: number[] = [];
    bus.slave.script = ({ pdu }) => {
      const does = script(pdu);
      if (does === 'ignore') return { kind: 'ignore' };
      if (pdu[0] === 6) writes.push(pdu.readUInt16BE(3));
      return does === 'refuse' && pdu[0] === 6 ? { kind: 'exception', code: 2 } : undefined;
    };
    await bus.open();
    return { bus, clock, four, writes, state };
  }

  it('is not written after a command that found the unit away', async () => {
    let away = true;
    const { bus, clock, four, writes, state } = await opened(() => (away ? 'ignore' : undefined));
    await clock.advance(5000);
    state.inForce = 0;
    await expect(bus.settle(bus.port.write(four, 0))).rejects.toMatchObject({ code: 'PORT_DOWN' });
    away = false;
    await clock.advance(5000);
    expect(writes).toEqual([0]);
    await bus.port.close();
  });

  it('gives way to the return value, at once, when its unit was lost and is back', async () => {
    let does: 'ignore' | 'refuse' | undefined = 'refuse';
    const { bus, clock, writes, state } = await opened(() => does);
    await clock.advance(60_000);
    does = 'ignore';
    await clock.advance(3000);
    expect(bus.port.metrics()['units_off_line']).toBe(1);
    state.inForce = 0;
    writes.length = 0;
    does = undefined;
    await clock.advance(3000);
    expect(writes).toEqual([0]);
    await bus.port.close();
  });
});

describe('a return value whose write fails', () => {
  it('is asked for once, because asking counts as a loss; what is in force by then is written', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const state = { asked: 0, inForce: 1 };
    const four = {
      ...channelOf({ holding: 4, unit: 1 }, { direction: 'out' as const }),
      // As an output without a safe value does: a second loss leaves nothing in force.
      returnValue: () => (state.asked++ === 0 ? 0 : undefined),
      valueInForce: () => (state.inForce === 0 ? undefined : state.inForce),
    };
    const other = channelOf({ holding: 0, unit: 2 });
    const keys = { misses: 2 };
    const bus = await new SimBus({ store, channels: [four, other], clock, echo: 'off', poll: '200ms', keys }).open();
    let does: 'ignore' | 'refuse' | undefined;
    bus.slave.script = ({ unit, pdu }) => {
      if (unit !== 1) return undefined;
      if (does === 'ignore') return { kind: 'ignore' };
      return does === 'refuse' && pdu[0] === 6 ? { kind: 'exception', code: 4 } : undefined;
    };
    await clock.advance(1000);
    store.put(1, 'holding', 4, 1);
    does = 'ignore';
    await clock.advance(5000);
    state.inForce = 0;
    does = 'refuse';
    await clock.advance(3000);
    expect(store.get(1, 'holding', 4)).toEqual([1]);
    does = undefined;
    await clock.advance(10_000);
    expect(store.get(1, 'holding', 4)).toEqual([0]);
    expect(state.asked).toBe(1);
    await bus.port.close();
  });
});

describe('a repetition of the value in force', () => {
  /** Writes the value again every second, as an output with `repeat` does; `value` is what is in force. */
  async function repeated(keys: object) {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    let value: RawValue = 30;
    const four = {
      ...channelOf({ holding: 4, unit: 1, ...keys }, { direction: 'out' as const }),
      returnValue: () => {
        value = 7;
        return value;
      },
    };
    const other = channelOf({ holding: 0, unit: 2 });
    const bus = await new SimBus({ store, channels: [four, other], clock, echo: 'off', poll: '200ms' }).open();
    let on = true;
    const writes: number[] = [];
    bus.slave.script = ({ unit, pdu }) => {
      if (unit === 1 && !on) return { kind: 'ignore' };
      if (pdu[0] === 6) writes.push(pdu.readUInt16BE(3));
      return undefined;
    };
    const outcomes: string[] = [];
    const repeat = () => {
      bus.port.write(four, value, { repetition: true }).then(
        () => outcomes.push('done'),
        (error: unknown) => outcomes.push(error instanceof DcsError ? error.code : 'defect'),
      );
      clock.after(1000, repeat);
    };
    repeat();
    await clock.advance(2500);
    const power = (state: boolean) => {
      on = state;
    };
    return { bus, clock, writes, outcomes, power };
  }

  it.each([
    { what: 'is not what a device gets that was away: that is its return value', keys: {} },
    { what: 'is not what a device gets that is never read', keys: { read: false } },
  ])('$what', async ({ keys }) => {
    const { bus, clock, writes, outcomes, power } = await repeated(keys);
    expect(new Set(writes)).toEqual(new Set([30]));
    power(false);
    await clock.advance(30_000);
    expect(bus.port.metrics()['units_off_line']).toBe(1);
    expect(outcomes.at(-1)).toBe('PORT_DOWN');
    writes.length = 0;
    power(true);
    await clock.advance(20_000);
    expect(writes.length).toBeGreaterThan(2);
    expect(new Set(writes)).toEqual(new Set([7]));
    expect(outcomes.at(-1)).toBe('done');
    await bus.port.close();
  });

  it('that was waiting when its device was lost does not stand against the return value', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const four = { ...channelOf({ holding: 4 }, { direction: 'out' as const }), returnValue: () => 7 };
    const keys = { misses: 1, retries: 0 };
    const bus = await new SimBus({ store, channels: [four], clock, echo: 'off', poll: '200ms', keys }).open();
    await clock.advance(1000);
    let repetition: Promise<unknown> | undefined;
    const writes: number[] = [];
    bus.slave.script = ({ pdu }) => {
      if (pdu[0] === 6) writes.push(pdu.readUInt16BE(3));
      if (repetition) return undefined;
      repetition = bus.port.write(four, 30, { repetition: true });
      return { kind: 'ignore' };
    };
    await clock.advance(10_000);
    expect(await repetition).toEqual({ readBack: 30 });
    expect(writes).toEqual([30, 7]);
    expect(store.get(1, 'holding', 4)).toEqual([7]);
    await bus.port.close();
  });
});
