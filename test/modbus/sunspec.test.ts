import { describe, expect, it } from 'vitest';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';

/** A device with the common model, of this length, and model 103 behind it. */
function inverter(memory: SimulatedMemory, base: number, commonLength: number): void {
  const model = base + 2 + 2 + commonLength;
  memory.put(1, 'holding', base, 0x5375, 0x6e53, 1, commonLength, ...Array.from({ length: commonLength }, () => 0));
  memory.put(1, 'holding', model, 103, 50, ...Array.from({ length: 50 }, () => 0), 0xffff, 0);
  memory.put(1, 'holding', model + 14, 1234, 0xffff);
}

const power = channelOf({ holding: 14, scale_from: 15, sunspec: 103, type: 'int16' });
const absent = channelOf({ holding: 2, sunspec: 160 });

describe('SunSpec models', () => {
  it.each([
    [40_000, 66],
    [40_000, 65],
    [0, 66],
    [50_000, 66],
  ])('are found wherever the chain begins and however long its models are: %i, %i', async (base, length) => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock, { everywhere: false });
    inverter(store, base, length);
    const bus = await new SimBus({ store, channels: [power, absent], clock, poll: '1s' }).open();
    const seen: unknown[] = [];
    bus.listen(power, (reading) => seen.push(reading));
    await clock.advance(3000);
    expect(power.key).toBe('u1/sunspec103/14');
    expect(seen).toEqual([{ ok: true, value: 123.4 }]);
    expect(await bus.settle(bus.port.read([power, absent]))).toMatchObject([
      { ok: true, value: 123.4 },
      { ok: false, error: { code: 'NO_SUCH_CHANNEL' } },
    ]);
    await bus.port.close();
  });

  it('are looked for again until the device answers', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock, { everywhere: false });
    inverter(store, 40_000, 66);
    const bus = await new SimBus({ store, channels: [power], clock, poll: '1s' }).open();
    bus.slave.script = () => ({ kind: 'silent' });
    const seen: unknown[] = [];
    bus.listen(power, (reading) => seen.push(reading));
    await clock.advance(5000);
    expect(seen).toMatchObject([{ ok: false, error: { code: 'TIMEOUT' } }]);
    bus.slave.script = () => undefined;
    await clock.advance(10_000);
    expect(seen.at(-1)).toEqual({ ok: true, value: 123.4 });
    await bus.port.close();
  });

  it('bring the safe values of their outputs into the crash plan as soon as they are found', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock, { everywhere: false });
    inverter(store, 40_000, 66);
    const limit = channelOf({ holding: 14, sunspec: 103 }, { direction: 'out' });
    const plans: unknown[] = [];
    const bus = new SimBus({
      store,
      channels: [limit],
      clock,
      poll: '1s',
      crashPlanChanged: () => plans.push(bus.port.crashPlan([{ channel: limit, value: 0 }])),
    });
    expect(bus.port.crashPlan([{ channel: limit, value: 0 }])).toBeUndefined();
    await bus.open();
    await clock.advance(3000);
    expect(plans).toMatchObject([
      { plan: { writes: [{ requests: [{ kind: 'write-register', unit: 1, at: 40_084, word: 0 }] }] } },
    ]);
    await bus.port.close();
  });
});
