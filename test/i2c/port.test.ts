import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { createI2c } from '../../drivers/i2c/driver.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { pinKeys } from '../../src/config/schema.ts';
import type { Reading } from '../../src/driver/driver.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { conformance } from '../conformance/suite.ts';
import { openPort, type PinText } from '../support/ports.ts';
import { Mcp23017, Pcf8574, RegisterChip, SimBus } from './sim-bus.ts';

const outcome = (reading: Reading | undefined) => (reading?.ok ? reading.value : reading?.error.code);

async function bench(...pins: PinText[]) {
  const bus = new SimBus();
  const clock = new ManualClock();
  return { bus, clock, open: () => open(bus, clock, pins) };
}

async function open(bus: SimBus, clock: ManualClock, pins: readonly PinText[]) {
  const driver = createI2c(async () => bus);
  const held = await openPort(driver, { bus: 1 }, pins, clock);
  const seen = held.channels.map((channel) => {
    const values: unknown[] = [];
    held.port.subscribe(channel, (reading) => values.push(outcome(reading)));
    return values;
  });
  const channel = (at: number) => {
    const found = held.channels[at];
    if (!found) throw new Error(`no pin ${at}`);
    return found;
  };
  return { ...held, seen, channel };
}

/** Pins of a profile, with the keys that belong to the driver. */
function profile(file: string, address: number): Map<string, object> {
  const schema = z.object({
    defaults: z.record(z.string(), z.unknown()).default({}),
    pins: z.record(z.string(), z.record(z.string(), z.unknown())),
  });
  const { defaults, pins } = schema.parse(parse(readFileSync(join('boards/i2c', file), 'utf8')));
  return new Map(
    Object.entries(pins).map(([name, keys]) => {
      const all = Object.entries({ address, ...defaults, ...keys }).filter(([key]) => !(key in pinKeys));
      return [name, Object.fromEntries(all)];
    }),
  );
}
const mcp = profile('microchip/mcp23017.yaml', 0x20);
const pin = (name: string, direction: 'in' | 'out', start?: boolean): PinText => ({
  keys: mcp.get(name) ?? {},
  direction,
  ...(start === undefined ? {} : { start }),
});

const chip = new Mcp23017();
const bus = new SimBus();
conformance('i2c, an MCP23017', {
  driver: createI2c(async () => {
    if (bus.gone) throw new DcsError('PORT_DOWN', 'no such bus');
    return bus;
  }),
  options: () => ({ bus: 1 }),
  input: {
    keys: mcp.get('b2') ?? {},
    values: [false, true],
    drive: async (value) => {
      chip.legs = value === true ? 1 << 10 : 0;
    },
  },
  output: {
    keys: mcp.get('a3') ?? {},
    values: [false, true],
    wrong: 7,
    observe: async () => chip.driven(3) ?? false,
  },
  plug: {
    unplug: async () => {
      bus.gone = true;
    },
    replug: async () => {
      bus.gone = false;
    },
  },
  setup: async () => {
    bus.gone = false;
    chip.power();
    bus.chips.set(0x20, chip);
  },
});

describe('register chips', () => {
  it('an output has its start value before it becomes an output', async () => {
    const { bus, open } = await bench(pin('a3', 'out', true));
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port } = await open();
    expect(chip.driven(3)).toBe(true);
    expect(chip.written).toEqual([0x14, 0x00]);
    await port.close();
  });

  it('inputs, and they alone, pull the interrupt lines, which are joined', async () => {
    const { bus, open } = await bench(pin('a0', 'out', false), pin('a1', 'in'), pin('a2', 'in'), pin('b7', 'in'));
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port } = await open();
    expect([...chip.registers.subarray(0, 6)]).toEqual([0xfe, 0xff, 0, 0, 0x06, 0x80]);
    expect(chip.registers[0x0a]).toBe(0x40);
    // Each register was set once, however many pins want something of it.
    expect(chip.written.filter((register) => register === 0x0a)).toHaveLength(1);
    await port.close();
  });

  it('a read tells subscribers too, so that what is seen between two polls is not taken back', async () => {
    const { bus, clock, open } = await bench({ ...pin('a0', 'in'), keys: { ...mcp.get('a0'), poll: '10s' } });
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port, channels, seen } = await open();
    await clock.advance(100);
    chip.legs = 1;
    await port.read(channels);
    chip.legs = 0;
    await clock.advance(10_000);
    expect(seen[0]).toEqual([false, true, false]);
    await port.close();
  });

  it('bits beside each other do not disturb each other', async () => {
    const { bus, open } = await bench(pin('a0', 'out', false), pin('a1', 'out', true), pin('a2', 'in'));
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port, channel } = await open();
    await port.write(channel(0), true);
    await port.write(channel(1), false);
    expect([0, 1, 2].map((bit) => chip.driven(bit))).toEqual([true, false, undefined]);
    await port.close();
  });

  it('a chip that lost its power is set up again and gets what its outputs had', async () => {
    const { bus, clock, open } = await bench(pin('a3', 'out', true), pin('b0', 'in'));
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port, channel, seen } = await open();
    await clock.advance(100);
    await port.write(channel(0), false);
    await port.write(channel(0), true);
    bus.chips.delete(0x20);
    await clock.advance(100);
    expect(seen[1]).toEqual([false, 'NO_DEVICE']);
    chip.power();
    bus.chips.set(0x20, chip);
    await clock.advance(6000);
    expect(chip.driven(3)).toBe(true);
    expect(seen[1]).toEqual([false, 'NO_DEVICE', false]);
    await port.close();
  });

  it('a chip that is absent harms only itself, is named, and is asked ever more seldom', async () => {
    const { bus, clock, open } = await bench(
      { keys: { address: 0x48, register: 0, type: 'i16be', poll: '100ms' }, direction: 'in' },
      { keys: { address: 0x49, register: 0, type: 'i16be', poll: '100ms' }, direction: 'in' },
    );
    const there = new RegisterChip();
    there.registers.set([0x19, 0x80]);
    bus.chips.set(0x48, there);
    const { port, channels, seen } = await open();
    await clock.advance(60_000);
    expect(seen).toEqual([[0x1980], ['NO_DEVICE']]);
    const [, absent] = await port.read(channels);
    expect(absent?.ok === false && absent.error.message).toContain('0x49 on /dev/i2c-1');
    expect(bus.transfers.filter((text) => text.startsWith('49')).length).toBeLessThan(25);
    expect(bus.transfers.filter((text) => text.startsWith('48')).length).toBeGreaterThan(500);
    await port.close();
    expect(clock.pending).toBe(0);
  });

  it('faults of the bus are told apart', async () => {
    const { bus, open } = await bench({ keys: { address: 0x48, register: 0 }, direction: 'in' });
    bus.chips.set(0x48, new RegisterChip());
    const { port, channels, downs } = await open();
    for (const [fault, code] of [
      ['ETIMEDOUT', 'TIMEOUT'],
      ['EAGAIN', 'BUSY'],
      ['EBUSY', 'BUSY'],
      ['EIO', 'BAD_REPLY'],
    ]) {
      bus.fault = fault;
      expect((await port.read(channels)).map(outcome)).toEqual([code]);
    }
    expect(downs).toEqual([]);
    bus.gone = true;
    await expect(port.read(channels)).rejects.toMatchObject({ code: 'PORT_DOWN' });
    expect(downs.length).toBe(1);
  });

  it('a chip without registers keeps its inputs at 1 and its outputs as they are', async () => {
    const { bus, open } = await bench(
      { keys: { address: 0x38, bit: 0 }, direction: 'out' },
      { keys: { address: 0x38, bit: 1 }, direction: 'in' },
    );
    const chip = new Pcf8574();
    chip.latch = 0b0111_1111;
    chip.outside = 0b1111_1101;
    bus.chips.set(0x38, chip);
    const { port, channel, channels } = await open();
    expect(chip.latch).toBe(0b0111_1111);
    await port.write(channel(0), false);
    // The input is pulled low from outside just now; the chip must not begin to pull, too. Bit 7 stays low.
    expect(chip.latch).toBe(0b0111_1110);
    expect((await port.read(channels)).map(outcome)).toEqual([false, false]);
    chip.outside = 0xff;
    expect((await port.read(channels)).map(outcome)).toEqual([false, true]);
  });

  it('behind a TCA9548A the channel is chosen before every transfer', async () => {
    const keys = { address: 0x48, register: 0, type: 'i16be', mux: { address: 0x70, channel: 3 } };
    const { bus, open } = await bench({ keys, direction: 'in' });
    bus.chips.set(0x70, { transfer: () => [] });
    bus.chips.set(0x48, new RegisterChip());
    const { port, channels } = await open();
    bus.transfers.length = 0;
    await port.read(channels);
    expect(bus.transfers).toEqual(['70: 08 > 0', '48: 00 > 2']);
  });

  it('chips of one address behind different muxes, and beside them, are never within reach together', async () => {
    const keys = { address: 0x48, register: 0, poll: '1h' };
    const { bus, open, clock } = await bench(
      { keys: { ...keys, mux: { address: 0x70, channel: 3 } }, direction: 'in' },
      { keys: { ...keys, mux: { address: 0x71, channel: 0 } }, direction: 'in' },
      { keys, direction: 'in' },
    );
    // Both muxes have a channel open from before; what answers at 0x48 depends on them.
    const open70 = { channels: 0x01 };
    const open71 = { channels: 0x80 };
    const mux = (state: { channels: number }) => ({
      transfer: ([channels = 0]: Uint8Array) => {
        state.channels = channels;
        return [];
      },
    });
    bus.chips.set(0x70, mux(open70));
    bus.chips.set(0x71, mux(open71));
    bus.chips.set(0x48, {
      transfer: () => {
        const both = `${open70.channels}/${open71.channels}`;
        return [{ '8/0': 1, '0/1': 2, '0/0': 3 }[both] ?? 255];
      },
    });
    const { port, channels, channel } = await open();
    for (let round = 0; round < 3; round++) {
      expect((await port.read(channels)).map(outcome)).toEqual([1, 2, 3]);
      expect((await port.read([channel(2), channel(0)])).map(outcome)).toEqual([3, 1]);
    }
    // A mux that is not there keeps nobody else from being read.
    bus.chips.delete(0x71);
    expect((await port.read(channels)).map(outcome)).toEqual([1, 'NO_DEVICE', 3]);
    await port.close();
    expect(clock.pending).toBe(0);
  });

  it('pins that share a register are read together, in one transfer', async () => {
    const { bus, open } = await bench(...['b0', 'b1', 'b2', 'b3'].map((name) => pin(name, 'in')));
    const chip = new Mcp23017();
    chip.legs = 0b0101 << 8;
    bus.chips.set(0x20, chip);
    const { port, channels } = await open();
    bus.transfers.length = 0;
    const alone = channels.map((one) => port.read([one]));
    expect((await Promise.all(alone)).flat().map(outcome)).toEqual([true, false, true, false]);
    expect(bus.transfers).toEqual(['20: 13 > 1']);
    await port.close();
  });

  it('a write that waited too long for its turn is not carried out', async () => {
    const { bus, clock, open } = await bench(pin('a0', 'out', false), {
      keys: { address: 0x20, chip: 'mcp3424', value: 'ch1' },
      direction: 'in',
    });
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port, channel } = await open();
    await clock.advance(10);
    await expect(port.write(channel(0), true, { expiresAt: clock.now() - 1 })).rejects.toMatchObject({
      code: 'EXPIRED',
    });
    expect(chip.driven(0)).toBe(false);
    await port.close();
  });

  it('a display gets its lines back after it was without power', async () => {
    const keys = { address: 0x3c, chip: 'ssd1306', poll: '100ms' };
    const { bus, clock, open } = await bench(
      { keys: { ...keys, value: 'line1' }, direction: 'out', start: 'up' },
      { keys: { ...keys, value: 'line2' }, direction: 'out' },
    );
    const picture: number[][] = [];
    let on = false;
    bus.chips.set(0x3c, {
      transfer: ([control, ...bytes], length) => {
        if (control === 0x40 && bytes.some((byte) => byte !== 0)) picture.push(bytes);
        if (control === 0x00 && bytes[0] === 0xaf) on = true;
        return length > 0 ? [on ? 0 : 0x40] : [];
      },
    });
    const { port, channel } = await open();
    expect(picture.length).toBe(1);
    expect(await port.write(channel(1), 'and running')).toEqual({ readBack: 'and running' });
    await clock.advance(200);
    picture.length = 0;
    on = false;
    await clock.advance(500);
    expect(on).toBe(true);
    // `up` in one transfer, `and running` in five.
    expect(picture.length).toBe(6);
    await port.close();
  });

  it('numbers of every type are read as written, rounded to what the chip can hold, and never wrapped', async () => {
    const cases: [type: string, value: number, bytes: number[]][] = [
      ['u8', 200, [200]],
      ['i8', -2, [0xfe]],
      ['u16be', 0x1234, [0x12, 0x34]],
      ['u16le', 0x1234, [0x34, 0x12]],
      ['i16be', -2, [0xff, 0xfe]],
      ['u24be', 0x123456, [0x12, 0x34, 0x56]],
      ['u32le', 0xfedcba98, [0x98, 0xba, 0xdc, 0xfe]],
    ];
    for (const [type, value, bytes] of cases) {
      const { bus, open } = await bench({ keys: { address: 0x20, register: 5, type }, direction: 'out' });
      const chip = new RegisterChip();
      bus.chips.set(0x20, chip);
      const { port, channel } = await open();
      expect(await port.write(channel(0), value)).toEqual({ readBack: value });
      expect([...chip.registers.subarray(5, 5 + bytes.length)]).toEqual(bytes);
      await expect(port.write(channel(0), 2 ** 40)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
      expect([...chip.registers.subarray(5, 5 + bytes.length)]).toEqual(bytes);
      expect(await port.write(channel(0), value + 0.2 * Math.sign(value))).toEqual({ readBack: value });
    }
  });
});

describe('profiles of I2C chips', () => {
  const files = readdirSync('boards/i2c', { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.yaml'),
  );
  const driver = createI2c(async () => new SimBus());

  it('are there', () => expect(files.length).toBeGreaterThanOrEqual(8));

  for (const file of files) {
    it(`${file}: is right, says where it comes from, and no two of its pins are one`, () => {
      expect(readFileSync(join('boards/i2c', file), 'utf8')).toMatch(/^# Source: /m);
      const keys = [...profile(file, 0x40).values()].map((one) => driver.pin.parse(one).key);
      expect(new Set(keys).size).toBe(keys.length);
    });
  }
});
