import { describe, expect, it } from 'vitest';
import { registerFormat } from '../../drivers/modbus/address.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';

/** A bus with these pins; the device has only the registers that `put` gives it. Requests are noted as `function address count`. */
async function busWith(keys: readonly object[], options: { direction?: 'in' | 'out'; poll?: string } = {}) {
  const clock = new ManualClock();
  const store = new SimulatedMemory(clock, { everywhere: false });
  const channels = keys.map((one) => channelOf({ ...one }, { direction: options.direction ?? 'in' }));
  const bus = new SimBus({ store, channels, clock, echo: 'off', ...(options.poll && { poll: options.poll }) });
  const requests: string[] = [];
  bus.slave.script = ({ pdu }) => {
    requests.push(`${pdu[0]} ${pdu.readUInt16BE(1)} ${pdu.readUInt16BE(3)}`);
    return undefined;
  };
  const read = async () =>
    (await bus.settle(bus.port.read(channels))).map((one) => (one.ok ? one.value : one.error.message));
  const write = (index: number, value: RawValue) => {
    const channel = channels[index];
    if (!channel) throw new Error('no such channel');
    return bus.settle(bus.port.write(channel, value));
  };
  return { bus, clock, store, channels, requests, read, write };
}

describe('a value whose registers are not neighbours', () => {
  it('is read in one request where the device lets it', async () => {
    const { bus, store, read, requests } = await busWith([{ holding: [20, 10], type: 'uint32' }]);
    for (let at = 10; at <= 20; at++) store.put(1, 'holding', at, 0xffff);
    store.put(1, 'holding', 20, 0x0001);
    store.put(1, 'holding', 10, 0x0002);
    await bus.open();
    expect(await read()).toEqual([0x0001_0002]);
    expect(requests).toEqual(['3 10 11']);
  });

  it('is read in pieces where a register between them is refused, and tried whole again ever more rarely', async () => {
    const { bus, clock, store, read, requests } = await busWith([{ holding: [20, 10], type: 'uint32' }]);
    store.put(1, 'holding', 20, 0x0001);
    store.put(1, 'holding', 10, 0x0002);
    await bus.open();
    expect(await read()).toEqual([0x0001_0002]);
    // The lowest digits are read between two reads of the others, which must be equal.
    expect(requests.splice(0)).toEqual(['3 10 11', '3 20 1', '3 10 1', '3 20 1']);
    expect(await read()).toEqual([0x0001_0002]);
    expect(requests.splice(0)).toEqual(['3 20 1', '3 10 1', '3 20 1']);
    await clock.advance(10_000);
    await read();
    expect(requests.splice(0)[0]).toBe('3 10 11');
    await clock.advance(10_000);
    await read();
    expect(requests.splice(0)[0]).toBe('3 20 1');
    for (let at = 11; at < 20; at++) store.put(1, 'holding', at, 0);
    await clock.advance(10_000);
    expect(await read()).toEqual([0x0001_0002]);
    expect(requests.splice(0)).toEqual(['3 10 11']);
    expect(await read()).toEqual([0x0001_0002]);
    expect(requests.splice(0)).toEqual(['3 10 11']);
  });

  it('is never made of registers of two moments, whenever they change', async () => {
    for (let when = 1; when <= 6; when++) {
      const { bus, store, read } = await busWith([{ holding: [20, 10], type: 'uint32' }]);
      // A counter that goes from 0x0000FFFF to 0x00010000 right before it answers one of the requests.
      const show = (count: number) => {
        store.put(1, 'holding', 20, count >>> 16);
        store.put(1, 'holding', 10, count & 0xffff);
      };
      show(0xffff);
      let requests = 0;
      bus.slave.script = () => {
        if (++requests === when) show(0x1_0000);
        return undefined;
      };
      await bus.open();
      const [value] = await read();
      expect([0xffff, 0x1_0000], `changed before request ${when}: ${value}`).toContain(value);
    }
  });

  it('is bad when its registers never keep still', async () => {
    const { bus, store, read } = await busWith([{ holding: [20, 10], type: 'uint32' }]);
    store.put(1, 'holding', 10, 1);
    let high = 0;
    store.put(1, 'holding', 20, high);
    bus.slave.script = () => {
      store.put(1, 'holding', 20, ++high);
      return undefined;
    };
    await bus.open();
    expect(await read()).toEqual([expect.stringMatching(/registers change while they are read/)]);
  });

  it('is read in pieces where the device refuses the length (exception 3)', async () => {
    const { bus, store, read } = await busWith([{ holding: [20, 10], type: 'uint32' }]);
    store.put(1, 'holding', 20, 0x0001);
    store.put(1, 'holding', 10, 0x0002);
    bus.slave.script = ({ pdu }) => (pdu.readUInt16BE(3) > 8 ? { kind: 'exception', code: 3 } : undefined);
    await bus.open();
    expect(await read()).toEqual([0x0001_0002]);
  });

  it('is read in pieces from the first where they are too far apart, forbidden, or not to be merged', async () => {
    for (const quirks of [undefined, { forbidden: [[12, 13]] }, { merge: false }, { max_gap: 4 }]) {
      const far = quirks === undefined ? 400 : 20;
      const { bus, store, read, requests } = await busWith([{ holding: [far, 10], type: 'uint32', quirks }]);
      store.put(1, 'holding', far, 3);
      store.put(1, 'holding', 10, 4);
      await bus.open();
      expect(await read()).toEqual([0x0003_0004]);
      expect(requests).toEqual([`3 ${far} 1`, '3 10 1', `3 ${far} 1`]);
    }
  });

  it('is polled beside other pins, which keep their own reads', async () => {
    const { bus, clock, store, channels } = await busWith(
      [{ holding: [20, 10], type: 'uint32' }, { holding: 15 }, { holding: 11 }],
      { poll: '1s' },
    );
    store.put(1, 'holding', 20, 1);
    store.put(1, 'holding', 10, 2);
    store.put(1, 'holding', 15, 15);
    const seen = new Map<string, unknown>();
    for (const channel of channels)
      bus.listen(channel, (reading) => seen.set(channel.key, reading.ok ? reading.value : reading.error.code));
    await bus.open();
    await clock.advance(5000);
    expect(channels.map(({ key }) => seen.get(key))).toEqual([0x0001_0002, 15, 'NO_SUCH_CHANNEL']);
  });

  it('is written in the order of its list, without the registers between', async () => {
    const { bus, store, requests, write } = await busWith([{ holding: [20, 10, 11, 30], type: 'uint64' }], {
      direction: 'out',
    });
    for (const at of [10, 11, 20, 30]) store.put(1, 'holding', at, 0);
    await bus.open();
    expect(await write(0, 2 ** 48 + 5)).toEqual({ readBack: 2 ** 48 + 5 });
    expect(requests.slice(0, 3)).toEqual(['6 20 1', '16 10 2', '6 30 5']);
  });

  it('that was half written is unknown', async () => {
    const { bus, store, write } = await busWith([{ holding: [20, 10], type: 'uint32' }], { direction: 'out' });
    store.put(1, 'holding', 20, 0);
    await bus.open();
    await expect(write(0, 5)).rejects.toMatchObject({ code: 'TIMEOUT', message: expect.stringMatching(/1 of 2/) });
  });

  it('may have its power of ten anywhere', async () => {
    const { bus, store, read } = await busWith([{ holding: 10, scale_from: 900 }]);
    store.put(1, 'holding', 10, 1234);
    store.put(1, 'holding', 900, 0xfffe);
    await bus.open();
    expect(await read()).toEqual([12.34]);
  });
});

describe('bits across registers', () => {
  it('are written by reading and writing these registers in one go', async () => {
    const { bus, store, requests, write } = await busWith([{ holding: 10, type: 'uint32', bits: [12, 19] }], {
      direction: 'out',
    });
    store.put(1, 'holding', 10, 0x1230, 0x0456);
    await bus.open();
    expect(await write(0, 0xbc)).toEqual({ readBack: 0xbc });
    expect(store.get(1, 'holding', 10, 2)).toEqual([0x123b, 0xc456]);
    expect(requests).toEqual(['3 10 2', '16 10 2', '3 10 2']);
  });

  it('of one of them are written by a mask write of it', async () => {
    const { bus, store, requests, write } = await busWith([{ holding: 10, type: 'uint32', bit: 20 }], {
      direction: 'out',
    });
    store.put(1, 'holding', 10, 0, 0);
    await bus.open();
    expect(await write(0, true)).toEqual({ readBack: true });
    expect(store.get(1, 'holding', 10, 2)).toEqual([0x0010, 0]);
    expect(requests[0]).toMatch(/^22 10/);
  });
});

describe('a device that wants longer reads', () => {
  it('gets them: behind the value, or before it at the end of the addresses', async () => {
    const quirks = { min_registers: 10, min_bits: 8 };
    const { bus, store, read, requests, write } = await busWith(
      [
        { holding: 100, quirks },
        { holding: 65_535, base: 0, quirks },
        { coil: 3, quirks },
        { coil: 65_535, quirks },
      ],
      { direction: 'out' },
    );
    for (let at = 0; at < 8; at++) store.put(1, 'coil', 3 + at, at === 0 ? 1 : 0);
    for (let at = 0; at < 8; at++) store.put(1, 'coil', 65_528 + at, at === 7 ? 1 : 0);
    for (let at = 0; at < 10; at++) {
      store.put(1, 'holding', 100 + at, at);
      store.put(1, 'holding', 65_526 + at, at);
    }
    await bus.open();
    expect(await read()).toEqual([0, 9, true, true]);
    expect(requests.splice(0).sort()).toEqual(['1 3 8', '1 65528 8', '3 100 10', '3 65526 10']);
    expect(await write(0, 77)).toEqual({ readBack: 77 });
    expect(requests).toEqual(['6 100 77', '3 100 10']);
  });
});

describe('registers of 4 bytes', () => {
  it('are read and written as such, and not in one request with those of 2', async () => {
    const { bus, store, requests, read, write, channels } = await busWith(
      [
        { holding: 7001, type: 'float32', register_bytes: 4 },
        { holding: 7002, type: 'int32', register_bytes: 4 },
        { holding: 3001 },
        { holding: 7003, type: 'float64', register_bytes: 4, order: 'CDAB' },
      ],
      { direction: 'out' },
    );
    await bus.open();
    store.put(1, 'holding', 3001, 9);
    for (const [index, value] of [1.5, -7, undefined, 2.25].entries()) {
      const address = channels[index]?.address;
      const format = address && registerFormat(address);
      if (format && value !== undefined) store.putValue({ ...address, unit: 1 }, format, value);
    }
    expect(await read()).toEqual([1.5, -7, 9, 2.25]);
    expect(requests.splice(0).sort()).toEqual(['3 3001 1', '3 7001 4']);
    expect(await write(0, 12.5)).toEqual({ readBack: 12.5 });
    expect(requests.splice(0)).toEqual(['16 7001 1', '3 7001 1']);
    expect(await write(3, -0.1)).toEqual({ readBack: -0.1 });
    expect(requests.splice(0)).toEqual(['16 7003 2', '3 7003 2']);
  });
});

it('registers of 4 bytes are not written with function 6, which has 2', () => {
  const keys = { holding: 7001, type: 'float32', register_bytes: 4, write: { register: 6 } };
  expect(() => channelOf(keys)).toThrow('registers of 4 bytes are always written with function 16');
});

describe('steps before and after a value', () => {
  const write = {
    before: [{ holding: 40, value: 0x55aa }],
    after: [
      { holding: 41, value: [0, 1] },
      { coil: 7, value: true },
    ],
  };
  const registers = (store: SimulatedMemory) => {
    store.put(1, 'holding', 10, 0);
    store.put(1, 'holding', 40, 0, 0, 0);
    store.put(1, 'coil', 7, 0);
  };

  it('are written in their order, with the value between', async () => {
    const { bus, store, requests, write: command } = await busWith([{ holding: 10, write }], { direction: 'out' });
    registers(store);
    await bus.open();
    expect(await command(0, 5)).toEqual({ readBack: 5 });
    expect(requests).toEqual(['6 40 21930', '6 10 5', '16 41 2', '5 7 65280', '3 10 1']);
  });

  it('that fail leave the value unwritten, or its effect unknown', async () => {
    for (const [missing, code, value] of [
      [40, 'NO_SUCH_CHANNEL', 0],
      [41, 'TIMEOUT', 5],
    ] as const) {
      const { bus, store, write: command } = await busWith([{ holding: 10, write }], { direction: 'out' });
      store.put(1, 'holding', 10, 0);
      if (missing !== 40) store.put(1, 'holding', 40, 0);
      await bus.open();
      await expect(command(0, 5)).rejects.toMatchObject({ code });
      expect(store.get(1, 'holding', 10)).toEqual([value]);
    }
  });

  it('are words of registers and coils', () => {
    expect(() => channelOf({ holding: 1, write: { before: [{ holding: 2, value: 70_000 }] } })).toThrow(/<=65535/);
    expect(() => channelOf({ holding: 1, write: { after: [{ coil: 2, value: 1 }] } })).toThrow();
  });
});

describe('several values as fields of one', () => {
  const fields = {
    mode: { values: { 0: 'off', 1: 'charge now' } },
    power: { type: 'int32' },
    limit: { scale: 0.1 },
    minutes: { at: 6 },
  };

  it('are read and written in one request', async () => {
    const { bus, store, requests, read, write } = await busWith([{ holding: 124, fields, order: 'CDAB' }], {
      direction: 'out',
    });
    store.put(1, 'holding', 124, 0, 0, 0, 0, 0, 0, 0);
    await bus.open();
    expect(await read()).toEqual(['mode=off power=0 limit=0 minutes=0']);
    const value = 'mode=charge now power=-3000 limit=50.5 minutes=60';
    expect(await write(0, value)).toEqual({ readBack: value });
    // Two registers between the fields are not theirs: they are read and written as they are.
    expect(requests).toEqual(['3 124 7', '3 124 7', '16 124 7', '3 124 7']);
    expect(store.get(1, 'holding', 124, 7)).toEqual([1, 0xf448, 0xffff, 505, 0, 0, 60]);
  });

  it('are refused where they are not as they would be read back', async () => {
    const { bus, store, write } = await busWith([{ holding: 124, fields }], { direction: 'out' });
    store.put(1, 'holding', 124, 0, 0, 0, 0, 0, 0, 0);
    await bus.open();
    const refused = (value: RawValue, message: RegExp) =>
      expect(write(0, value)).rejects.toMatchObject({ message: expect.stringMatching(message) });
    await refused('power=1 mode=off limit=1 minutes=1', /of the form mode=… power=… limit=… minutes=…/);
    await refused('mode=off power=1 minutes=1', /of the form/);
    await refused('mode=slow power=1 limit=1 minutes=1', /one of off, charge now/);
    await refused('mode=off power=x limit=1 minutes=1', /a number \(power\)/);
    await refused('mode=off power=1 limit=1 minutes=70000', /uint16 holds 0 to 65535/);
    await refused('mode=off power=01 limit=1.04 minutes=1', /read back: mode=off power=1 limit=1 minutes=1/);
    await refused(5, /of the form/);
    expect(store.get(1, 'holding', 124, 7)).toEqual([0, 0, 0, 0, 0, 0, 0]);
  });

  it('are bad as a whole when one of them is', async () => {
    const { bus, store, read } = await busWith([{ holding: 124, fields }]);
    store.put(1, 'holding', 124, 7, 0, 0, 0, 0, 0, 0);
    await bus.open();
    expect(await read()).toEqual(['mode: 7 is none of the named values']);
  });

  it('have mistakes with their own places', () => {
    const wrong = (one: object) => {
      try {
        channelOf({ holding: 1, ...one });
        return 'taken';
      } catch (error) {
        return String(error);
      }
    };
    expect(wrong({ fields: { a: { type: 'uint32' }, b: { at: 1 } } })).toMatch(/b lies in the bits of another field/);
    expect(wrong({ fields: { a: { bits: [3, 20] } } })).toMatch(/"fields",\s+"a",\s+"bits"[\s\S]*0 to 15/);
    expect(wrong({ fields: { a: {} }, type: 'uint16' })).toMatch(/a pin with fields has no type/);
    expect(wrong({ fields: { a: { bit: 3, scale: 2 } } })).toMatch(/a is digital and has no scale/);
    expect(wrong({ fields: {} })).toMatch(/at least one field/);
  });
});
