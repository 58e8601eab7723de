import { afterEach, describe, expect, it } from 'vitest';
import { prepare } from '../../drivers/modbus/crash-plan.ts';
import { createMemory, simulationSchema } from '../../drivers/modbus/simulator/simulation.ts';
import { TcpSlave } from '../../drivers/modbus/simulator/slaves.ts';
import { systemClock } from '../../src/clock/clock.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { channelOf, Owner, silentLog, until } from './owner.ts';

/** Keys of a pin, the value that its device has, the one that it is given, and the one after a crash. */
const PINS: readonly [keys: Record<string, unknown>, before: RawValue, written: RawValue, safe: RawValue][] = [
  [{ holding: 10, type: 'int24' }, -5, 8_000_000, 0],
  [{ holding: [40, 20, 30], type: 'uint48', order: 'CDAB' }, 2 ** 47, 123_456_789_012, 0],
  [{ holding: 50, type: 'uint32', bits: [12, 19] }, 7, 0xbc, 1],
  [{ holding: 50, type: 'uint32', bit: 31 }, true, false, true],
  [{ holding: 60, type: 'mod10k48', order: 'CDAB' }, -123_456_789, 999_999_999_999, 0],
  [{ holding: 70, type: 'bcd64' }, 1_234_567_890_123, '9999999999999999', 0],
  [{ holding: 80, type: 'int32', bits: [0, 23], scale_from: { bits: [24, 31] } }, -12.34, 56_700_000, 0],
  [{ holding: 90, bits: [0, 13], scale_from: { bits: [14, 15], unsigned: true } }, 120, 16_000_000, 0],
  [{ holding: 7001, type: 'float32', register_bytes: 4, order: 'CDAB' }, 1.5, -2.25, 0],
  [{ holding: 100, values: { '0x0A': 'on', '0xFF': 'off' } }, 'on', 'off', 'on'],
  [
    { holding: 110, fields: { mode: {}, power: { type: 'int32' } } },
    'mode=1 power=-2',
    'mode=2 power=70000',
    'mode=0 power=0',
  ],
  [{ holding: 120, write: { before: [{ holding: 130, value: 7 }], after: [{ coil: 1, value: true }] } }, 1, 2, 3],
];
const OTHERS = [
  { holding: 130, value: 0 },
  { coil: 1, value: false },
  // What is beside the values, and stays.
  { holding: 51, bits: [0, 11], value: 0xabc },
  { holding: 10, byte: 'hi', type: 'uint8', value: 0x5a },
];

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe('values that lie oddly in their registers', () => {
  it('are read, written and made safe after a crash, over a real connection, and leave others alone', async () => {
    const units = { 1: [...PINS.map(([keys, value]) => ({ ...keys, value })), ...OTHERS] };
    const store = createMemory(simulationSchema.parse({ tcp: '127.0.0.1:1', units }), systemClock);
    const slave = new TcpSlave({
      ...{ host: '127.0.0.1', port: 0, clock: systemClock, responseMs: 0, store },
      ...{ units: new Set([1]), script: () => undefined, unplug: () => undefined },
    });
    const port = await slave.listen();
    closing.push(() => slave.close());
    const channels = PINS.map(([keys]) => channelOf(keys, { direction: 'out' }));
    const owner = new Owner({ tcp: `127.0.0.1:${port}`, poll: '50ms' }, channels);
    closing.push(() => owner.close());
    const master = await owner.open();
    const seen = () => channels.map((channel) => owner.value(channel));
    await until(() => seen().every((value) => value !== undefined), 5000, 'all values');
    expect(seen()).toEqual(PINS.map(([, before]) => before));

    for (const [index, [, , written]] of PINS.entries()) {
      const channel = channels[index];
      if (channel) expect(await master.write(channel, written)).toEqual({ readBack: written });
    }
    expect((await master.read(channels)).map((one) => one.ok && one.value)).toEqual(PINS.map(([, , value]) => value));
    expect([store.get(1, 'holding', 130), store.get(1, 'coil', 1)]).toEqual([[7], [1]]);

    const safe = PINS.flatMap(([, , , value], index) => {
      const channel = channels[index];
      return channel ? [{ channel, value }] : [];
    });
    const plan = structuredClone(master.crashPlan?.(safe)?.plan);
    store.put(1, 'holding', 130, 0);
    const executor = await prepare(plan, { clock: systemClock, log: silentLog }, []);
    await executor.attempt();
    expect((await master.read(channels)).map((one) => one.ok && one.value)).toEqual(PINS.map(([, , , value]) => value));
    expect(store.get(1, 'holding', 130)).toEqual([7]);
    expect([store.get(1, 'holding', 51)[0] ?? 0, store.get(1, 'holding', 10)[0] ?? 0]).toEqual([0x1abc, 0x5a00]);
  });
});
