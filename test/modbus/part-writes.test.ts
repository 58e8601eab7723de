import { describe, expect, it } from 'vitest';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';

async function busWith(...keys: object[]) {
  const clock = new ManualClock();
  const store = new SimulatedMemory(clock);
  const channels = keys.map((one) => channelOf({ ...one }, { direction: 'out' }));
  const bus = await new SimBus({ store, channels, clock, echo: 'off' }).open();
  const functions: number[] = [];
  bus.slave.script = ({ pdu }) => {
    functions.push(pdu.readUInt8(0));
    return undefined;
  };
  return { bus, store, channels, functions };
}

describe('writing a part of a register', () => {
  it('uses mask write, leaves the other bits alone, and reads back', async () => {
    const { bus, store, channels, functions } = await busWith(
      { holding: 4, bit: 3 },
      { holding: 4, byte: 'hi', type: 'uint8' },
    );
    const [bit, byte] = channels;
    if (!bit || !byte) throw new Error('no channels');
    store.put(1, 'holding', 4, 0x00f0);
    expect(await bus.settle(bus.port.write(bit, true))).toEqual({ readBack: true });
    expect(store.get(1, 'holding', 4)).toEqual([0x00f8]);
    expect(await bus.settle(bus.port.write(byte, 0xab))).toEqual({ readBack: 0xab });
    expect(await bus.settle(bus.port.write(bit, false))).toEqual({ readBack: false });
    expect(store.get(1, 'holding', 4)).toEqual([0xabf0]);
    expect(functions.filter((fn) => fn > 4)).toEqual([22, 22, 22]);
  });

  it('reads and writes the register, in one go, where the device has no mask write', async () => {
    const { bus, store, channels, functions } = await busWith(
      { holding: 4, bit: 0 },
      { holding: 4, bit: 1 },
      { holding: 9 },
    );
    const [zero, one, other] = channels;
    if (!zero || !one || !other) throw new Error('no channels');
    bus.slave.script = ({ pdu }) => {
      functions.push(pdu.readUInt8(0));
      return pdu[0] === 22 ? { kind: 'exception', code: 1 } : undefined;
    };
    store.put(1, 'holding', 4, 0x8000);
    const writes = [bus.port.write(zero, true), bus.port.write(one, true), bus.port.write(other, 5)];
    await bus.settle(Promise.all(writes));
    expect(store.get(1, 'holding', 4)).toEqual([0x8003]);
    // The second time it is known.
    expect(functions).toEqual([22, 3, 6, 3, 3, 6, 3, 6, 3]);
  });

  it('was not written when it could not be read first: PORT_DOWN, not an unknown outcome', async () => {
    const { bus, store, channels } = await busWith({ holding: 4, bit: 0 });
    const [bit] = channels;
    if (!bit) throw new Error('no channel');
    bus.slave.script = ({ pdu }) => (pdu[0] === 22 ? { kind: 'exception', code: 1 } : { kind: 'silent' });
    await expect(bus.settle(bus.port.write(bit, true))).rejects.toMatchObject({
      code: 'PORT_DOWN',
      message: expect.stringContaining('nothing was written'),
    });
    expect(store.get(1, 'holding', 4)).toEqual([0]);
  });

  it('is written when the read before it was lost once', async () => {
    const { bus, store, channels } = await busWith({ holding: 4, bit: 0, write: { bits: 'read-modify-write' } });
    const [bit] = channels;
    if (!bit) throw new Error('no channel');
    let lost = 1;
    bus.slave.script = ({ pdu }) => (pdu[0] === 3 && lost-- > 0 ? { kind: 'silent' } : undefined);
    expect(await bus.settle(bus.port.write(bit, true))).toEqual({ readBack: true });
    expect(store.get(1, 'holding', 4)).toEqual([1]);
  });

  it('is not written when it expires while the register is read', async () => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const bit = channelOf({ holding: 4, bit: 0 }, { direction: 'out' });
    const bus = await new SimBus({ store, channels: [bit], clock, echo: 'off', slaveMs: 60 }).open();
    bus.slave.script = ({ pdu }) => (pdu[0] === 22 ? { kind: 'exception', code: 1 } : undefined);
    const command = bus.port.write(bit, true, { expiresAt: clock.now() + 100 });
    await expect(bus.settle(command)).rejects.toMatchObject({ code: 'EXPIRED' });
    expect(store.get(1, 'holding', 4)).toEqual([0]);
    expect(await bus.settle(bus.port.write(bit, true, { expiresAt: clock.now() + 300 }))).toEqual({ readBack: true });
  });
});
