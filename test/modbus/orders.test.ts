import { describe, expect, it } from 'vitest';
import { modbus } from '../../drivers/modbus/driver.ts';
import { encodePdu } from '../../drivers/modbus/protocol/request.ts';
import { review } from '../../drivers/modbus/review.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';

const wrong = (keys: object) => {
  const parsed = modbus.pin.safeParse(keys);
  if (parsed.success) throw new Error('these keys were taken');
  return parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('\n');
};

async function busWith(keys: object, poll = '1h') {
  const clock = new ManualClock();
  const store = new SimulatedMemory(clock);
  const channel = channelOf({ ...keys }, { direction: 'out' });
  const bus = await new SimBus({ store, channels: [channel], clock, echo: 'off', poll }).open();
  const writes: string[] = [];
  bus.slave.script = ({ pdu }) => {
    if (pdu.readUInt8(0) > 4) writes.push(pdu.toString('hex'));
    return undefined;
  };
  const told: unknown[] = [];
  bus.listen(channel, (reading) => told.push(reading.ok ? reading.value : reading.error.message));
  const write = (value: RawValue) => bus.settle(bus.port.write(channel, value));
  const read = async () => (await bus.settle(bus.port.read([channel])))[0];
  return { bus, clock, store, channel, writes, told, write, read };
}

describe('a register as a switch', () => {
  it('is written with its own numbers for on and off, and reads as on or off', async () => {
    const { write, writes, read, store } = await busWith({ holding: 5, on: 0x0100, off: 0x0200 });
    expect(await write(true)).toEqual({ readBack: true });
    expect(await write(false)).toEqual({ readBack: false });
    expect(writes).toEqual(['0600050100', '0600050200']);
    store.put(1, 'holding', 5, 0x0100);
    expect(await read()).toEqual({ ok: true, value: true });
  });

  it('is bad while the register holds neither: never off by default', async () => {
    const { read } = await busWith({ holding: 5, on: 0x0100, off: 0x0200 });
    expect(await read()).toMatchObject({ ok: false, error: { message: '0 is neither on (256) nor off (512)' } });
  });

  it('may be some bits of a register, a longer or a signed number', async () => {
    const bits = await busWith({ holding: 5, bits: [4, 7], on: 9, off: 6 });
    bits.store.put(1, 'holding', 5, 0x0f0f);
    expect(await bits.write(true)).toEqual({ readBack: true });
    expect(bits.store.get(1, 'holding', 5)).toEqual([0x0f9f]);
    const long = await busWith({ holding: 5, type: 'uint32', on: 0xaaaa5555, off: 0 });
    expect(await long.write(true)).toEqual({ readBack: true });
    expect(long.store.get(1, 'holding', 5, 2)).toEqual([0xaaaa, 0x5555]);
    const signed = await busWith({ holding: 5, type: 'int16', on: -1, off: 0 });
    expect(await signed.write(true)).toEqual({ readBack: true });
    expect(signed.store.get(1, 'holding', 5)).toEqual([0xffff]);
  });

  it.each([
    { what: 'other numbers', read: { on: 1, off: 0 }, place: ['holding', 5], on: 1, off: 0 },
    { what: 'a bit of the register', read: { bit: 3 }, place: ['holding', 5], on: 8, off: 0x0200 },
    { what: 'another register', read: { holding: 6 }, place: ['holding', 6], on: 0x0100, off: 0x0200 },
    { what: 'a bit elsewhere', read: { input: 7, bit: 0 }, place: ['input', 7], on: 1, off: 0 },
    { what: 'a coil', read: { coil: 2 }, place: ['coil', 2], on: 1, off: 0 },
    { what: 'a discrete input', read: { discrete: 2 }, place: ['discrete', 2], on: 1, off: 0 },
  ] as const)('reads its state from $what', async ({ read: keys, place: [table, at], on, off }) => {
    const { bus, write, writes, read, store, clock, channel } = await busWith(
      { holding: 5, on: 0x0100, off: 0x0200, read: keys },
      '100ms',
    );
    bus.slave.script = ({ pdu }) => {
      if (pdu[0] !== 6) return undefined;
      writes.push(pdu.toString('hex'));
      // The device acts on the order and shows what came of it.
      queueMicrotask(() => store.put(1, table, at, pdu.readUInt16BE(3) === 0x0100 ? on : off));
      return undefined;
    };
    expect(await write(true)).toEqual({ readBack: true });
    expect(writes).toEqual(['0600050100']);
    store.put(1, table, at, off);
    let value: unknown;
    bus.listen(channel, (reading) => {
      value = reading.ok && reading.value;
    });
    await clock.advance(500);
    expect(value).toBe(false);
    expect(await read()).toEqual({ ok: true, value: false });
    await bus.port.close();
  });

  it('has the time it takes to show the new state', async () => {
    const { bus, write, store, clock } = await busWith({
      coil: 5,
      read: { discrete: 5, delay: '200ms' },
    });
    bus.slave.script = ({ pdu }) => {
      if (pdu[0] === 5) clock.after(150, () => store.put(1, 'discrete', 5, 1));
      return undefined;
    };
    expect(await write(true)).toEqual({ readBack: true });
    expect(store.get(1, 'coil', 5)).toEqual([1]);
  });

  it('a number may be read elsewhere too', async () => {
    const { write, writes, store } = await busWith({ holding: 5, read: { input: 9 } });
    store.put(1, 'input', 9, 41);
    expect(await write(42)).toEqual({ readBack: 41 });
    expect(writes).toEqual(['060005002a']);
  });

  it('is not written twice when an answer is lost: what is read elsewhere proves nothing', async () => {
    const { bus, write, writes } = await busWith({ holding: 5, on: 1, off: 0, read: { input: 9, bit: 0 } });
    bus.slave.script = ({ pdu }) => {
      if (pdu.readUInt8(0) <= 4) return undefined;
      writes.push(pdu.toString('hex'));
      return { kind: 'silent' };
    };
    await expect(write(true)).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(writes).toEqual(['0600050001']);
  });

  it('has its mistakes named', () => {
    expect(wrong({ holding: 5, on: 1 })).toMatch(/on: on and off go together; .*self_clearing/);
    expect(wrong({ holding: 5, off: 1 })).toMatch(/off: on and off go together/);
    expect(wrong({ holding: 5, on: 1, off: 1 })).toMatch(/off: on and off are the same/);
    expect(wrong({ holding: 5, on: 0x10000, off: 0 })).toMatch(/on: .*uint16 holds 0 to 65535/);
    expect(wrong({ holding: 5, bits: [0, 1], on: 1, off: 4 })).toMatch(/off: .*2 bits hold 0 to 3/);
    expect(wrong({ holding: 5, type: 'float32', on: 1, off: 0 })).toMatch(/on: type float32 holds no whole numbers/);
    expect(wrong({ holding: 5, bit: 1, on: 1, off: 0 })).toMatch(/on: type bool/);
    expect(wrong({ holding: 5, values: { 0: 'a' }, on: 1, off: 0 })).toMatch(/on: a text pin/);
    expect(wrong({ holding: 5, read: { bit: 1 } })).toMatch(/read: only an output that is on or off/);
    expect(wrong({ holding: 5, read: { coil: 1 } })).toMatch(/read: a coil shows only on or off/);
    expect(wrong({ coil: 5, read: { holding: 1 } })).toMatch(/read: what the holding register holds/);
    expect(wrong({ coil: 5, read: { holding: 1, input: 1, bit: 0 } })).toMatch(/read: only one of/);
    expect(wrong({ holding: 5, on: 1, off: 0, read: { on: 2 } })).toMatch(/read: on and off go together/);
    expect(wrong({ holding: 5, scale_from: 6, read: { input: 1 } })).toMatch(/read: a value with scale_from/);
    expect(wrong({ holding: 5, sunspec: 123, read: { holding: 6 } })).toMatch(/read: a SunSpec point/);
  });
});

describe('function 5 with other data', () => {
  it('sends the orders of the pin, and the other one by the standard', async () => {
    for (const [keys, sent] of [
      [{ coil: 0x200, on: 7, off: 0 }, ['0502000007', '0502000000']],
      [{ coil: 0, on: 0x5500 }, ['0500005500', '0500000000']],
    ] as const) {
      const { bus, write, writes } = await busWith(keys);
      // The relay board takes any data and confirms it.
      bus.slave.script = ({ pdu }) => {
        if (pdu[0] !== 5) return undefined;
        writes.push(pdu.toString('hex'));
        return { kind: 'other-reply', pdu: Buffer.from(pdu) };
      };
      await write(true);
      await write(false);
      expect(writes).toEqual(sent);
    }
    expect(encodePdu({ kind: 'write-coil', unit: 1, at: 3, on: true })).toEqual(Buffer.from('050003ff00', 'hex'));
  });

  it('is never replaced by function 15, nor sent twice', async () => {
    const { bus, writes, write } = await busWith({ coil: 0, on: 0x5500 });
    for (const fault of [{ kind: 'exception', code: 1 }, { kind: 'ignore' }] as const) {
      bus.slave.script = ({ pdu }) => {
        if (pdu.readUInt8(0) <= 4) return undefined;
        writes.push(pdu.toString('hex'));
        return fault;
      };
      await expect(write(true)).rejects.toThrow();
    }
    expect(writes).toEqual(['0500005500', '0500005500']);
    expect(wrong({ coil: 0, on: 0x5500, write: { coil: 15 } })).toMatch(/write.coil: function 15 sends bits/);
    expect(wrong({ coil: 0, on: 0x15500 })).toMatch(/on: function 5 sends 0 to 0xFFFF/);
  });

  it('may stand beside the state of the same coil', () => {
    const channels = [
      channelOf({ coil: 0 }, { direction: 'out' }),
      channelOf({ coil: 0, on: 0x5500, self_clearing: true }, { direction: 'out' }),
    ];
    expect(new Set(channels.map(({ key }) => key)).size).toBe(2);
    expect(review(modbus.options.parse({ tcp: 'localhost' }), channels)).toEqual([]);
  });
});

describe('an order that the device clears', () => {
  const order = { holding: 5, on: 0xa5a5, self_clearing: true };

  it('is sent once, and reads as pending or not', async () => {
    const { bus, write, writes, store, read } = await busWith(order);
    bus.slave.script = ({ pdu }) => {
      if (pdu[0] !== 6) return undefined;
      writes.push(pdu.toString('hex'));
      queueMicrotask(() => store.put(1, 'holding', 5, 0));
      return undefined;
    };
    expect(await write(true)).toEqual({ readBack: false });
    expect(writes).toEqual(['060005a5a5']);
    store.put(1, 'holding', 5, 0xa5a5);
    expect(await read()).toEqual({ ok: true, value: true });
  });

  it('needs nothing sent for off, in a crash plan neither, unless it has a number for off', async () => {
    const { bus, channel, write, writes } = await busWith(order);
    expect(await write(false)).toEqual({ readBack: false });
    expect(writes).toEqual([]);
    expect(bus.port.crashPlan([{ channel, value: false }])).toBeUndefined();
    const coil = await busWith({ coil: 5, self_clearing: true });
    await coil.write(false);
    expect(coil.writes).toEqual(['0500050000']);
  });

  it('is not repeated when its answer is lost', async () => {
    const { bus, write, writes } = await busWith(order);
    bus.slave.script = ({ pdu }) => {
      if (pdu.readUInt8(0) <= 4) return undefined;
      writes.push(pdu.toString('hex'));
      return { kind: 'ignore' };
    };
    await expect(write(true)).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(writes).toEqual(['060005a5a5']);
  });

  it('is done when the device has accepted it and is at work (exception 5)', async () => {
    const { bus, write } = await busWith(order);
    bus.slave.script = ({ pdu }) => (pdu[0] === 6 ? { kind: 'exception', code: 5 } : undefined);
    expect(await write(true)).toEqual({ readBack: false });
  });

  it.each([
    { what: 'a step before it', keys: { write: { before: [{ holding: 40, value: 1 }] } }, busy: '0600280001' },
    {
      what: 'the read of its register',
      keys: { bit: 0, on: undefined, write: { bits: 'read-modify-write' } },
      busy: '0300050001',
    },
  ])('is sent all the same when the device is still at work on $what (exception 5)', async ({ keys, busy }) => {
    const { bus, clock, store, write } = await busWith({ ...order, ...keys });
    await clock.advance(1000);
    const sent: string[] = [];
    bus.slave.script = ({ pdu }) => {
      sent.push(pdu.toString('hex'));
      return sent.length === 1 ? { kind: 'exception', code: 5 } : undefined;
    };
    await write(true);
    expect(sent.slice(0, 2)).toEqual([busy, busy]);
    expect(store.get(1, 'holding', 5)).not.toEqual([0]);
  });

  it('at an address that is never read is off from the start, and its address is not read', async () => {
    const { bus, told, clock, write, read } = await busWith({ ...order, read: false }, '100ms');
    const reads: number[] = [];
    bus.slave.script = ({ pdu }) => {
      if (pdu.readUInt8(0) <= 4) reads.push(pdu.readUInt16BE(1));
      return undefined;
    };
    await clock.advance(1000);
    expect(told).toEqual([false]);
    expect(await write(true)).toEqual({ readBack: false });
    expect(await read()).toEqual({ ok: true, value: false });
    expect(reads).toEqual([]);
    await bus.port.close();
  });

  it('has its mistakes named', () => {
    expect(wrong({ ...order, off: 1 })).toMatch(/read: a register that clears itself does not show/);
  });
});
