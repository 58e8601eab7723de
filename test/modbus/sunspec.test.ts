import { describe, expect, it } from 'vitest';
import type { ModbusAddress } from '../../drivers/modbus/address.ts';
import { modbus } from '../../drivers/modbus/driver.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Channel, Reading } from '../../src/driver/contract.ts';
import { channelOf } from './owner.ts';
import { SimBus, type SimBusOptions } from './sim-bus.ts';
import { clearChain, common, putChain, type SimulatedModel } from './sunspec-device.ts';

/** A three-phase inverter with 123.4 W. */
const inverter: SimulatedModel = { model: 103, length: 50, values: { 14: 1234, 15: 0xffff } };
const power = channelOf({ holding: 14, scale_from: 15, sunspec: 103, type: 'int16' });

/** A bus with these channels, whose readings are in `told`. */
async function busWith(channels: readonly Channel<ModbusAddress>[], more: Partial<SimBusOptions> = {}) {
  const clock = new ManualClock();
  const store = new SimulatedMemory(clock, { everywhere: false });
  const bus = new SimBus({ store, channels, clock, echo: 'off', poll: '1s', ...more });
  const told = new Map<string, Reading[]>(channels.map(({ key }) => [key, []]));
  for (const channel of channels) bus.listen(channel, (reading) => told.get(channel.key)?.push(reading));
  const last = ({ key }: Channel) => told.get(key)?.at(-1);
  const of = ({ key }: Channel) => told.get(key) ?? [];
  /** Requests on the wire, as `3@40070+16`. */
  const sent: string[] = [];
  bus.slave.script = ({ pdu }) => {
    sent.push(`${pdu[0]}@${pdu.readUInt16BE(1)}${pdu[0] === 3 ? `+${pdu.readUInt16BE(3)}` : `=${pdu.readInt16BE(3)}`}`);
    return undefined;
  };
  return { clock, store, bus, told, of, last, sent };
}

/** Makes a bus's device silent, or lets it answer again. */
function silence(bus: SimBus, silent: boolean): void {
  bus.slave.script = () => (silent ? { kind: 'silent' } : undefined);
}

describe('SunSpec models', () => {
  it.each([
    [40_000, 66],
    [40_000, 65],
    [0, 66],
    [50_000, 66],
  ])('are found wherever the chain begins and however long its models are: %i, %i', async (base, length) => {
    const absent = channelOf({ holding: 2, sunspec: 160 });
    const { store, bus, clock, of } = await busWith([power, absent]);
    putChain(store, [{ model: 1, length }, inverter], { base });
    await bus.open();
    await clock.advance(3000);
    expect(power.key).toBe('u1/sunspec103/14');
    expect(of(power)).toEqual([{ ok: true, value: 123.4 }]);
    expect(await bus.settle(bus.port.read([power, absent]))).toMatchObject([
      { ok: true, value: 123.4 },
      { ok: false, error: { code: 'NO_SUCH_CHANNEL', message: 'the device has no SunSpec model 160' } },
    ]);
    await bus.port.close();
  });

  it('are looked for again until the device answers', async () => {
    const { store, bus, clock, of, last } = await busWith([power]);
    putChain(store, [common, inverter]);
    silence(bus, true);
    await bus.open();
    await clock.advance(5000);
    expect(of(power)).toMatchObject([{ ok: false, error: { code: 'TIMEOUT' } }]);
    silence(bus, false);
    await clock.advance(10_000);
    expect(last(power)).toEqual({ ok: true, value: 123.4 });
    await bus.port.close();
  });

  it('are found at a later base when the device is silent at those before it', async () => {
    const { store, bus, clock, last } = await busWith([power]);
    putChain(store, [common, inverter], { base: 0 });
    bus.slave.script = ({ pdu }) => (pdu.readUInt16BE(1) >= 40_000 ? { kind: 'silent' } : undefined);
    await bus.open();
    await clock.advance(8000);
    expect(last(power)).toEqual({ ok: true, value: 123.4 });
    await bus.port.close();
  });

  it('that are not there do not make other pins of the unit bad, although the device is silent at every base', async () => {
    const plain = channelOf({ holding: 7 });
    const { store, bus, clock, of } = await busWith([power, plain], { keys: { misses: 1 } });
    store.put(1, 'holding', 7, 5);
    bus.slave.script = ({ pdu }) => (pdu.readUInt16BE(1) === 7 ? undefined : { kind: 'silent' });
    await bus.open();
    await clock.advance(60_000);
    expect(of(plain)).toEqual([{ ok: true, value: 5 }]);
    expect(of(power)).toMatchObject([{ ok: false, error: { code: 'TIMEOUT' } }]);
    await bus.port.close();
  });

  it('are found when the device is silent behind the last of them, where the end mark is missing', async () => {
    const { store, bus, clock, last } = await busWith([power, channelOf({ holding: 2, sunspec: 160 })]);
    putChain(store, [common, inverter]);
    bus.slave.script = ({ pdu }) => (pdu.readUInt16BE(1) >= 40_122 ? { kind: 'silent' } : undefined);
    await bus.open();
    await clock.advance(8000);
    expect(last(power)).toEqual({ ok: true, value: 123.4 });
    await bus.port.close();
  });

  it('do not keep other units waiting while the device is silent in the middle of its models', async () => {
    const plain = channelOf({ holding: 7, unit: 2 });
    const { store, bus, clock, last } = await busWith([power, plain], { timeoutMs: 500 });
    putChain(store, [common, inverter]);
    store.put(2, 'holding', 7, 5);
    const asked: number[] = [];
    let silent = true;
    bus.slave.script = ({ unit, pdu }) => {
      if (unit === 2) asked.push(clock.now());
      return unit === 1 && silent && pdu.readUInt16BE(1) > 40_000 ? { kind: 'silent' } : undefined;
    };
    await bus.open();
    await clock.advance(60_000);
    const gaps = asked.slice(1).map((at, index) => at - (asked[index] ?? 0));
    expect(Math.max(...gaps)).toBeLessThan(2500);
    expect(last(power)).toMatchObject({ ok: false });
    silent = false;
    await clock.advance(20_000);
    expect(last(power)).toEqual({ ok: true, value: 123.4 });
    await bus.port.close();
  });

  it('that are missing are looked for again, ever more rarely', async () => {
    const late = channelOf({ holding: 5, sunspec: 124 });
    const { store, bus, clock, of, last, sent } = await busWith([power, late]);
    putChain(store, [common, inverter]);
    await bus.open();
    await clock.advance(60_000);
    expect(of(late)).toMatchObject([{ ok: false, error: { code: 'NO_SUCH_CHANNEL' } }]);
    const walks = () => sent.filter((one) => one === '3@40000+2').length;
    const first = walks();
    expect(first).toBeGreaterThan(5);
    await clock.advance(300_000);
    expect(walks() - first).toBeLessThan(first);
    putChain(store, [common, inverter, { model: 124, length: 24, values: { 5: 3 } }]);
    await clock.advance(60_000);
    expect(last(late)).toEqual({ ok: true, value: 3 });
    expect(of(power)).toEqual([{ ok: true, value: 123.4 }]);
    await bus.port.close();
  });

  it('give no value from behind their end', async () => {
    const short = channelOf({ holding: 26, sunspec: 160 });
    const { store, bus, clock, last } = await busWith([short]);
    putChain(store, [common, { model: 160, length: 24 }, { model: 64_001, length: 9 }]);
    await bus.open();
    await clock.advance(3000);
    expect(last(short)).toMatchObject({ ok: false, error: { code: 'NO_SUCH_CHANNEL' } });
    await bus.port.close();
  });
});

describe('the nth instance of a SunSpec model, and alternatives', () => {
  const meter = (value: number): SimulatedModel => ({ model: 203, length: 105, values: { 18: value } });

  it('an instance is that one in the order of the chain', async () => {
    const [first, second, third] = [1, 2, 3].map((instance) => channelOf({ holding: 18, sunspec: 203, instance }));
    if (!first || !second || !third) throw new Error('no channels');
    expect([first.key, second.key]).toEqual(['u1/sunspec203/18', 'u1/sunspec203#2/18']);
    const { store, bus, clock, last } = await busWith([first, second, third]);
    putChain(store, [common, meter(11), inverter, meter(22)]);
    await bus.open();
    await clock.advance(3000);
    expect([last(first), last(second)]).toEqual([
      { ok: true, value: 11 },
      { ok: true, value: 22 },
    ]);
    expect(last(third)).toMatchObject({
      ok: false,
      error: { message: 'the device has no SunSpec model 203 number 3' },
    });
    await bus.port.close();
  });

  it.each([
    [101, 7],
    [103, 9],
  ])('of several models the first that the device has counts: %i', async (model, value) => {
    const pin = channelOf({ holding: 2, sunspec: [103, 101] });
    const { store, bus, clock, last } = await busWith([pin]);
    const models = [
      { model: 101, length: 50, values: { 2: 7 } },
      { ...inverter, values: { 2: 9 } },
    ];
    putChain(store, [common, ...models.filter((one) => model === 103 || one.model === 101)]);
    await bus.open();
    await clock.advance(3000);
    expect(last(pin)).toEqual({ ok: true, value });
    await bus.port.close();
  });

  it('each model may have keys of its own', async () => {
    const keys = { 103: { holding: 14, scale_from: 15, type: 'int16' }, 113: { holding: 22, type: 'float32' } };
    const pin = channelOf({ sunspec: keys });
    expect(pin.key).toBe('u1/sunspec103/14+sunspec113/22');
    const { store, bus, clock, last } = await busWith([pin]);
    putChain(store, [common, { model: 113, length: 60, values: { 22: 0x42f6, 23: 0xcccd } }]);
    await bus.open();
    await clock.advance(3000);
    expect(last(pin)).toEqual({ ok: true, value: expect.closeTo(123.4, 4) });
    // Its firmware has been changed: whole numbers from now on.
    putChain(store, [common, inverter]);
    await clock.advance(3000);
    expect(last(pin)).toEqual({ ok: true, value: 123.4 });
    await bus.port.close();
  });

  it('models with other points at the same place are warned of, and phases of one kind are not', () => {
    const review = (keys: object) => modbus.review?.(modbus.options.parse({ tcp: 'x' }), [channelOf({ ...keys })]);
    expect(review({ holding: 14, sunspec: [103, 113] })).toMatchObject([
      { key: 'sunspec', message: 'SunSpec models 103 and 113 have different points at 14' },
    ]);
    expect(review({ holding: 14, sunspec: [101, 102, 103] })).toEqual([]);
    expect(review({ sunspec: { 103: { holding: 14 }, 113: { holding: 22, type: 'float32' } } })).toEqual([]);
  });
});

describe("a point too far from its model's id for one request", () => {
  const far = channelOf({ holding: 140, scale_from: 4, sunspec: 701 });
  const der = (value: number): SimulatedModel => ({ model: 701, length: 153, values: { 4: 0xffff, 140: value } });

  it('is read beside id, length and factor in requests of their own, and bad at once when they have moved', async () => {
    const { store, bus, clock, of, last, sent } = await busWith([far]);
    putChain(store, [common, der(345)]);
    await bus.open();
    await clock.advance(3000);
    expect(last(far)).toEqual({ ok: true, value: 34.5 });
    expect(sent).toContain('3@40070+2');
    expect(await bus.settle(bus.port.read([far]))).toEqual([{ ok: true, value: 34.5 }]);
    clearChain(store);
    putChain(store, [{ model: 1, length: 60 }, der(567)]);
    await clock.advance(3000);
    expect(of(far)).toMatchObject([{ ok: true, value: 34.5 }, { ok: false }, { ok: true, value: 56.7 }]);
    await bus.port.close();
  });
});
