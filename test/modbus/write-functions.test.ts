import { describe, expect, it } from 'vitest';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';

/** What the device does with a function: an exception, nothing at all, or only no answer. */
type Reaction = number | 'ignore' | 'silent';

async function busWith(
  keys: readonly object[],
  reactions: Record<number, Reaction>,
  poll?: string,
  ofPort?: Record<string, unknown>,
) {
  const clock = new ManualClock();
  const store = new SimulatedMemory(clock);
  const channels = keys.map((one) => channelOf({ ...one }, { direction: 'out' }));
  const infos: string[] = [];
  const log = { debug() {}, info: (_fields: object, message: string) => infos.push(message), warn() {}, error() {} };
  const bus = await new SimBus({
    store,
    channels,
    clock,
    echo: 'off',
    log,
    ...(poll && { poll }),
    ...(ofPort && { keys: ofPort }),
  }).open();
  const functions: number[] = [];
  bus.slave.script = ({ pdu }) => {
    const fn = pdu.readUInt8(0);
    if (fn > 4) functions.push(fn);
    const reaction = reactions[fn];
    return reaction === undefined
      ? undefined
      : typeof reaction === 'number'
        ? { kind: 'exception', code: reaction }
        : { kind: reaction };
  };
  const write = (index: number, value: RawValue) => {
    const channel = channels[index];
    if (!channel) throw new Error('no such channel');
    return bus.settle(bus.port.write(channel, value));
  };
  return { bus, store, channels, functions, infos, write, reactions };
}

const COIL = { coil: 3 };
const REGISTER = { holding: 10 };
const BIT = { holding: 20, bit: 0 };

describe('a device without the usual function for a write', () => {
  it.each([
    { name: 'coil', keys: COIL, value: true, usual: 5, other: [15] },
    { name: 'register', keys: REGISTER, value: 77, usual: 6, other: [16] },
    { name: 'bit of a register', keys: BIT, value: true, usual: 22, other: [6] },
  ])(
    'is written with another one after exceptions 1, 2, 3 and after silence, and this is remembered: $name',
    async ({ keys, value, usual, other }) => {
      for (const reaction of [1, 2, 3, 'ignore'] as const) {
        const { bus, functions, infos, write } = await busWith([keys], { [usual]: reaction });
        expect(await write(0, value)).toEqual({ readBack: value });
        expect(functions, String(reaction)).toEqual([usual, ...other]);
        expect(infos.at(-1)).toMatch(
          reaction === 'ignore' ? /does not answer function \d+;/ : `function ${usual} (exception ${reaction});`,
        );
        functions.length = 0;
        expect(await write(0, value)).toEqual({ readBack: value });
        expect(functions, String(reaction)).toEqual(other);
        expect(bus.counters.get('write_functions_learned')).toBe(1);
        await bus.port.close();
      }
    },
  );

  it('a function that is unknown or ignored is not tried first on other outputs of the unit, one refused at an address is', async () => {
    for (const reaction of [1, 2, 3, 'ignore'] as const) {
      const { functions, write } = await busWith([REGISTER, { holding: 11 }], { 6: reaction });
      await write(0, 1);
      functions.length = 0;
      await write(1, 1);
      expect(functions, String(reaction)).toEqual(reaction === 1 || reaction === 'ignore' ? [16] : [6, 16]);
    }
  });

  it('is asked for the usual one again when it was away', async () => {
    const { bus, functions, write, reactions } = await busWith([REGISTER], { 6: 1 }, '200ms');
    await write(0, 1);
    const script = bus.slave.script;
    bus.slave.script = () => ({ kind: 'silent' });
    await bus.clock.advance(60_000);
    expect(bus.port.metrics()['units_off_line']).toBe(1);
    bus.slave.script = script;
    delete reactions[6];
    await bus.clock.advance(20_000);
    functions.length = 0;
    await write(0, 2);
    expect(functions).toEqual([6]);
    await bus.port.close();
  });

  it('refuses with the more telling exception when no function works', async () => {
    const { functions, write } = await busWith([REGISTER], { 6: 2, 16: 1 });
    await expect(write(0, 1)).rejects.toMatchObject({ code: 'NO_SUCH_CHANNEL' });
    expect(functions).toEqual([6, 16]);
    const other = await busWith([REGISTER], { 6: 1, 16: 3 });
    await expect(other.write(0, 1)).rejects.toMatchObject({ code: 'DEVICE_REFUSED', found: { exception: 3 } });
  });

  it('is not given another function after exception 4, which is no refusal of the function', async () => {
    const { functions, write } = await busWith([REGISTER], { 6: 4 });
    await expect(write(0, 1)).rejects.toMatchObject({ code: 'DEVICE_REFUSED' });
    expect(functions).toEqual([6]);
  });
});

describe('a function that has worked', () => {
  it('is not replaced when it refuses a value: another function might let it pass', async () => {
    const { functions, write, reactions } = await busWith([REGISTER], {});
    await write(0, 1);
    reactions[6] = 3;
    functions.length = 0;
    await expect(write(0, 9999)).rejects.toMatchObject({ code: 'DEVICE_REFUSED' });
    expect(functions).toEqual([6]);
  });

  it('is not replaced when an answer is missing: the effect is unknown', async () => {
    const { functions, write, reactions } = await busWith([REGISTER, { holding: 11 }], {});
    await write(1, 1);
    reactions[6] = 'ignore';
    functions.length = 0;
    await expect(write(0, 5)).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(functions).toEqual([6]);
  });
});

describe('a write without an answer', () => {
  it('is known to be done when the device then shows the value; nothing is sent again', async () => {
    const { bus, functions, write } = await busWith([REGISTER], { 6: 'silent' });
    expect(await write(0, 77)).toEqual({ readBack: 77 });
    expect(functions).toEqual([6]);
    expect(bus.counters.get('write_replies_lost')).toBe(1);
  });

  it('is known to be done also when the function is known, and when the read is lost once', async () => {
    const { bus, functions, write, reactions } = await busWith([REGISTER], {});
    await write(0, 1);
    functions.length = 0;
    reactions[6] = 'silent';
    let lost = 1;
    const script = bus.slave.script;
    bus.slave.script = (request, index) =>
      request.pdu[0] === 3 && lost-- > 0 ? { kind: 'silent' } : script(request, index);
    expect(await write(0, 77)).toEqual({ readBack: 77 });
    expect(functions).toEqual([6]);
  });

  it('stays unknown where the device cannot be asked: no second request is sent', async () => {
    const { functions, write } = await busWith([REGISTER], { 6: 'ignore', 3: 2 });
    await expect(write(0, 77)).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(functions).toEqual([6]);
  });

  it('stays unknown when the other function is refused', async () => {
    const { functions, write } = await busWith([REGISTER], { 6: 'ignore', 16: 1 });
    await expect(write(0, 77)).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(functions).toEqual([6, 16]);
  });

  it('is not repeated when the newer value has been commanded meanwhile', async () => {
    const { bus, store, channels, functions, reactions } = await busWith([REGISTER], { 6: 'ignore' });
    const [channel] = channels;
    if (!channel) throw new Error('no channel');
    const older = bus.port.write(channel, 1);
    const outcome = older.catch((error: unknown) => error);
    // Under way.
    await bus.clock.advance(50);
    const newer = bus.port.write(channel, 2);
    delete reactions[6];
    expect(await bus.settle(newer)).toEqual({ readBack: 2 });
    expect(await outcome).toMatchObject({ code: 'TIMEOUT' });
    expect(store.get(1, 'holding', 10)).toEqual([2]);
    expect(functions).toEqual([6, 6]);
  });
});

describe('write: in the configuration', () => {
  it('states the function of a device: no other one is tried', async () => {
    for (const [keys, value, fn] of [
      [{ ...COIL, write: { coil: 15 } }, true, 15],
      [{ ...REGISTER, write: { register: 16 } }, 5, 16],
      [{ ...BIT, write: { bits: 'read-modify-write', register: 6 } }, true, 6],
      [{ ...BIT, write: { bits: 'read-modify-write', register: 16 } }, true, 16],
    ] as const) {
      const { functions, write } = await busWith([keys], {});
      expect(await write(0, value)).toEqual({ readBack: value });
      expect(functions).toEqual([fn]);
      const refusing = await busWith([keys], { [fn]: 1 });
      await expect(refusing.write(0, value)).rejects.toMatchObject({ code: 'DEVICE_REFUSED' });
      expect(refusing.functions).toEqual([fn]);
      const silent = await busWith([keys], { [fn]: 'ignore' });
      await expect(silent.write(0, value)).rejects.toMatchObject({ code: 'TIMEOUT' });
      expect(silent.functions).toEqual([fn]);
    }
  });

  it('at the port holds for all its pins, and each part of it is undone by the pin', async () => {
    const port = { write: { register: 16, coil: 15 } };
    const { functions, write } = await busWith(
      [REGISTER, COIL, { holding: 12, write: { register: 6 } }],
      {},
      undefined,
      port,
    );
    await write(0, 1);
    await write(1, true);
    await write(2, 1);
    expect(functions).toEqual([16, 15, 6]);
  });

  it('register: 6 writes a longer value register by register; half of it is an unknown outcome', async () => {
    const long = { holding: 10, type: 'uint32', write: { register: 6 } };
    const { bus, store, functions, write } = await busWith([long], {});
    expect(await write(0, 0x0001_0002)).toEqual({ readBack: 0x0001_0002 });
    expect(functions).toEqual([6, 6]);
    let left = 1;
    bus.slave.script = ({ pdu }) => (pdu[0] === 6 && left-- <= 0 ? { kind: 'exception', code: 3 } : undefined);
    await expect(write(0, 0x0003_0004)).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringMatching(/1 of 2/),
    });
    expect(store.get(1, 'holding', 10, 2)).toEqual([3, 2]);
  });

  it('a longer value is never split unasked: between two requests the device has half of it', async () => {
    const { functions, write } = await busWith([{ holding: 10, type: 'uint32' }], { 16: 1 });
    await expect(write(0, 70_000)).rejects.toMatchObject({ code: 'DEVICE_REFUSED' });
    expect(functions).toEqual([16]);
  });
});
