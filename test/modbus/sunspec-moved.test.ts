import { describe, expect, it } from 'vitest';
import type { ModbusAddress } from '../../drivers/modbus/address.ts';
import { prepare } from '../../drivers/modbus/crash-plan.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Channel, Reading } from '../../src/driver/contract.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { channelOf } from './owner.ts';
import { SimBus, type SimBusOptions, seeded } from './sim-bus.ts';
import { clearChain, common, putChain, type SimulatedModel } from './sunspec-device.ts';

const other: SimulatedModel = { model: 120, length: 26 };
/** A power of 1234, a limit of 100 %, a factor of 1/10 for both. */
const controls = (limit = 1000, factor = 0xffff): SimulatedModel => ({
  model: 123,
  length: 24,
  values: { 5: limit, 23: factor },
});
const limit = (extra: { start?: RawValue } = {}) =>
  channelOf({ holding: 5, scale_from: 23, sunspec: 123 }, { direction: 'out', ...extra });

async function busWith(channels: readonly Channel<ModbusAddress>[], more: Partial<SimBusOptions> = {}) {
  const clock = new ManualClock();
  const store = new SimulatedMemory(clock, { everywhere: false });
  const bus = new SimBus({ store, channels, clock, echo: 'off', poll: '1s', ...more });
  const told = new Map<string, Reading[]>(channels.map(({ key }) => [key, []]));
  for (const channel of channels) bus.listen(channel, (reading) => told.get(channel.key)?.push(reading));
  const state = { silent: false };
  const writes: string[] = [];
  bus.slave.script = ({ pdu }) => {
    if (state.silent) return { kind: 'silent' };
    if (pdu[0] === 6) writes.push(`${pdu.readUInt16BE(1)}=${pdu.readInt16BE(3)}`);
    return undefined;
  };
  return { clock, store, bus, state, writes, of: ({ key }: Channel) => told.get(key) ?? [] };
}

/** Values told as good. */
function goodOf(readings: readonly Reading[]): RawValue[] {
  return readings.flatMap((reading) => (reading.ok && reading.uncertain === undefined ? [reading.value] : []));
}

describe('a device that comes back with its SunSpec models elsewhere', () => {
  it('after it was off line: no value of the old place is told, and none is written there', async () => {
    const safe = { ...limit(), returnValue: () => 50 };
    const { clock, store, bus, state, writes, of } = await busWith([safe]);
    const [, , before = 0] = putChain(store, [common, other, controls()]);
    await bus.open();
    await clock.advance(3000);
    expect(of(safe)).toEqual([{ ok: true, value: 100 }]);
    state.silent = true;
    await clock.advance(10_000);
    expect(of(safe).at(-1)).toMatchObject({ ok: false });
    clearChain(store);
    const [, now = 0] = putChain(store, [common, controls(777)]);
    // A model that looks the same is left where the old one was.
    store.put(1, 'holding', before, 123, 24, 0, 0, 0, 999);
    state.silent = false;
    await clock.advance(10_000);
    expect(writes).toEqual([`${now + 5}=500`]);
    expect(goodOf(of(safe))).toEqual([100, 50]);
    await bus.port.close();
  });

  it('without a pause: its points are bad at the next read, and good again from the new place', async () => {
    const { clock, store, bus, of } = await busWith([limit()]);
    putChain(store, [common, other, controls()]);
    await bus.open();
    await clock.advance(3000);
    clearChain(store);
    putChain(store, [common, controls(333)]);
    await clock.advance(5000);
    expect(of(limit())).toMatchObject([
      { ok: true, value: 100 },
      { ok: false, error: { code: 'BAD_REPLY', message: expect.stringContaining('have moved') } },
      { ok: true, value: 33.3 },
    ]);
    await bus.port.close();
  });

  it('without a pause: a command finds the new place first', async () => {
    const { clock, store, bus, writes } = await busWith([limit()], { poll: '1h' });
    putChain(store, [common, other, controls()]);
    await bus.open();
    await clock.advance(3000);
    clearChain(store);
    const [, now = 0] = putChain(store, [common, controls(333)]);
    expect(await bus.settle(bus.port.write(limit(), 60))).toEqual({ readBack: 60 });
    expect(writes).toEqual([`${now + 5}=600`]);
    await bus.port.close();
  });

  it('after one lost reply: the models are looked for before anything is told, although the unit never counted as lost', async () => {
    const { clock, store, bus, state, of } = await busWith([limit()]);
    const [, , before = 0] = putChain(store, [common, other, controls()]);
    await bus.open();
    await clock.advance(3500);
    state.silent = true;
    await clock.advance(1000);
    clearChain(store);
    putChain(store, [common, controls(333)]);
    store.put(1, 'holding', before, 123, 24, 0, 0, 0, 999);
    state.silent = false;
    await clock.advance(5000);
    expect(goodOf(of(limit()))).toEqual([100, 33.3]);
    await bus.port.close();
  });

  it('behind a new connection: the same', async () => {
    const { clock, store, bus, of } = await busWith([limit()]);
    const [, , before = 0] = putChain(store, [common, other, controls()]);
    await bus.open();
    await clock.advance(3500);
    clearChain(store);
    putChain(store, [common, controls(333)]);
    store.put(1, 'holding', before, 123, 24, 0, 0, 0, 999);
    bus.port.reconnected();
    await clock.advance(5000);
    expect(goodOf(of(limit()))).toEqual([100, 33.3]);
    await bus.port.close();
  });

  it('with its model gone: its commands are refused, and nothing is written', async () => {
    const { clock, store, bus, state, writes, of } = await busWith([limit()]);
    putChain(store, [common, other, controls()]);
    await bus.open();
    await clock.advance(3000);
    state.silent = true;
    await clock.advance(10_000);
    clearChain(store);
    putChain(store, [common, other]);
    state.silent = false;
    await clock.advance(10_000);
    expect(of(limit()).at(-1)).toMatchObject({ ok: false, error: { code: 'NO_SUCH_CHANNEL' } });
    await expect(bus.settle(bus.port.write(limit(), 60))).rejects.toMatchObject({ code: 'NO_SUCH_CHANNEL' });
    expect(writes).toEqual([]);
    await bus.port.close();
  });
});

describe('a device that stays as it is', () => {
  it('and closes its connections is walked ever more rarely', async () => {
    const { clock, store, bus, of } = await busWith([limit()]);
    putChain(store, [common, other, controls()]);
    await bus.open();
    let walks = 0;
    const count = bus.slave.script;
    bus.slave.script = (request, index) => {
      if (request.pdu.readUInt16BE(1) === 40_000) walks++;
      return count(request, index);
    };
    for (let second = 0; second < 600; second++) {
      bus.port.reconnected();
      await clock.advance(1000);
    }
    expect(walks).toBeLessThan(12);
    expect(of(limit())).toEqual([{ ok: true, value: 100 }]);
    await bus.port.close();
  });
});

describe('a line that loses 8 % of the replies', () => {
  it('makes no SunSpec point bad, and gives no output its safe value', async () => {
    const safe = { ...limit(), returnValue: () => 50 };
    const { clock, store, bus, writes, of } = await busWith([safe]);
    putChain(store, [common, other, { model: 121, length: 30 }, { model: 122, length: 44 }, controls()]);
    const random = seeded(4);
    const { script } = bus.slave;
    await bus.open();
    await clock.advance(3000);
    bus.slave.script = (request, index) => (random() < 0.08 ? { kind: 'silent' } : script(request, index));
    await clock.advance(1_200_000);
    expect(bus.counters.get('timeouts')).toBeGreaterThan(100);
    expect(of(safe)).toEqual([{ ok: true, value: 100 }]);
    expect(writes).toEqual([]);
    await bus.port.close();
  });
});

describe('writing through a scale factor', () => {
  it('takes the factor that the device has then, and the read-back confirms it', async () => {
    const { clock, store, bus, writes } = await busWith([limit()], { poll: '1h' });
    const [, at = 0] = putChain(store, [common, controls()]);
    await bus.open();
    await clock.advance(3000);
    expect(await bus.settle(bus.port.write(limit(), 42.5))).toEqual({ readBack: 42.5 });
    store.put(1, 'holding', at + 23, 0xfffe);
    expect(await bus.settle(bus.port.write(limit(), 42.5))).toEqual({ readBack: 42.5 });
    store.put(1, 'holding', at + 23, 0);
    expect(await bus.settle(bus.port.write(limit(), 42.5))).toEqual({ readBack: 43 });
    expect(bus.port.resolution(limit(), 42.5)).toBe(1);
    store.put(1, 'holding', at + 23, 1);
    expect(await bus.settle(bus.port.write(limit(), 40))).toEqual({ readBack: 40 });
    expect(writes).toEqual([`${at + 5}=425`, `${at + 5}=4250`, `${at + 5}=43`, `${at + 5}=4`]);
    await bus.port.close();
  });

  it('is refused when the value does not fit, and when there is no factor', async () => {
    const { clock, store, bus, writes } = await busWith([limit()], { poll: '1h' });
    const [, at = 0] = putChain(store, [common, controls()]);
    await bus.open();
    await clock.advance(3000);
    await expect(bus.settle(bus.port.write(limit(), 7000))).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    await expect(bus.settle(bus.port.write(limit(), true))).rejects.toMatchObject({ code: 'BAD_VALUE' });
    store.put(1, 'holding', at + 23, 0x8000);
    await expect(bus.settle(bus.port.write(limit(), 5))).rejects.toMatchObject({ code: 'DEVICE_REFUSED' });
    expect(writes).toEqual([]);
    await bus.port.close();
  });

  it('also works beside a register at a fixed address', async () => {
    const fixed = channelOf({ holding: 10, scale_from: 12, type: 'int16' }, { direction: 'out' });
    const { clock, store, bus } = await busWith([fixed], { poll: '1h' });
    store.put(1, 'holding', 10, 0, 0, 2);
    await bus.open();
    await clock.advance(1000);
    expect(await bus.settle(bus.port.write(fixed, -1200))).toEqual({ readBack: -1200 });
    expect(store.get(1, 'holding', 10)).toEqual([-12 & 0xffff]);
    await bus.port.close();
  });

  it('is verified by a register of the same model, with the same factor', async () => {
    const keys = { holding: 5, scale_from: 23, sunspec: 123, verify: { holding: 6 } };
    const verified = channelOf(keys, { direction: 'out' });
    const { clock, store, bus } = await busWith([verified], { poll: '1h' });
    const [, at = 0] = putChain(store, [common, controls()]);
    store.put(1, 'holding', at + 6, 425);
    await bus.open();
    await clock.advance(3000);
    expect(await bus.settle(bus.port.write(verified, 42.5))).toEqual({ readBack: 42.5 });
    await expect(bus.settle(bus.port.write(verified, 50))).rejects.toMatchObject({ code: 'NOT_TAKEN' });
    await bus.port.close();
  });
});

describe('opening values and safe values of SunSpec points', () => {
  it('an opening value is written where the model is found', async () => {
    const first = limit({ start: 30 });
    const { clock, store, bus, writes } = await busWith([first]);
    const [, , at = 0] = putChain(store, [common, other, controls()]);
    await bus.open();
    await clock.advance(3000);
    expect(writes).toEqual([`${at + 5}=300`]);
    await bus.port.close();
  });

  it('the crash plan is there before the model has been found, and finds it itself', async () => {
    const { bus } = await busWith([limit()]);
    const plan = bus.port.crashPlan([{ channel: limit(), value: 0 }]);
    expect(structuredClone(plan)).toMatchObject({ plan: { writes: [{ value: 0 }] } });
    expect(typeof prepare).toBe('function');
  });
});
