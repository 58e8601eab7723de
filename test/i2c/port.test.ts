import { describe, expect, it } from 'vitest';
import type { I2cAddress } from '../../drivers/i2c/address.ts';
import { BusOwner } from '../../drivers/i2c/bus.ts';
import { BusChip, type ChipChannel } from '../../drivers/i2c/bus-chip.ts';
import { createI2c } from '../../drivers/i2c/driver.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Channel } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { conformance } from '../../src/testing/conformance.ts';
import { seeded } from '../modbus/sim-bus.ts';
import { bench, mcpPin, outcome } from './bench.ts';
import { Mcp23017, Pcf8574, RegisterChip, SimBus } from './sim-bus.ts';

/** The one channel of a chip. */
function only({ channels: [member] }: BusChip): ChipChannel {
  if (!member) throw new Error('the chip has no channel');
  return member;
}

const chip = new Mcp23017();
const bus = new SimBus();
conformance('i2c, an MCP23017', {
  driver: createI2c(async () => {
    if (bus.gone) throw new DcsError('PORT_DOWN', 'no such bus');
    return bus;
  }),
  options: () => ({ bus: 1 }),
  input: {
    keys: mcpPin('b2', 'in').keys,
    values: [false, true],
    drive: async (value) => {
      chip.legs = value === true ? 1 << 10 : 0;
    },
  },
  output: {
    keys: mcpPin('a3', 'out').keys,
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

/** Leg 3 of port A of an MCP23017 at 0x20, as an output. */
const outputA3: Channel<I2cAddress> = {
  key: 'a3',
  kind: 'digital',
  direction: 'out',
  debounceMs: 0,
  address: {
    key: 'a3',
    kind: 'digital',
    directions: ['in', 'out'],
    address: 0x20,
    mux: undefined,
    chip: undefined,
    poll: 50,
    location: {
      register: 0x12,
      writeRegister: 0x14,
      type: 'u8',
      shift: 0,
      width: undefined,
      zero: undefined,
      unused: 0,
      invalid: [],
      bit: 3,
    },
    init: [{ register: 0x00, mask: 0x08, value: 0x00, direction: 'out' }],
  },
};

describe('register chips', () => {
  it('an output has its opening value before it becomes an output', async () => {
    const { bus, open } = await bench(mcpPin('a3', 'out', true));
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port } = await open();
    expect(chip.driven(3)).toBe(true);
    expect(chip.written).toEqual([0x14, 0x00]);
    await port.close();
  });

  it('inputs, and they alone, pull the interrupt lines, which are joined', async () => {
    const { bus, open } = await bench(
      mcpPin('a0', 'out', false),
      mcpPin('a1', 'in'),
      mcpPin('a2', 'in'),
      mcpPin('b7', 'in'),
    );
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port } = await open();
    expect([...chip.registers.subarray(0, 6)]).toEqual([0xfe, 0xff, 0, 0, 0x06, 0x80]);
    expect(chip.registers[0x0a]).toBe(0x40);
    // Each register was set once, however many pins want something of it.
    expect(chip.written.filter((register) => register === 0x0a)).toHaveLength(1);
    await port.close();
  });

  it('bits beside each other do not disturb each other', async () => {
    const { bus, open } = await bench(mcpPin('a0', 'out', false), mcpPin('a1', 'out', true), mcpPin('a2', 'in'));
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port, channel } = await open();
    await port.write(channel(0), true);
    await port.write(channel(1), false);
    expect([0, 1, 2].map((bit) => chip.driven(bit))).toEqual([true, false, undefined]);
    await port.close();
  });

  it('a chip that lost its power is set up again and gets what its outputs had', async () => {
    const { bus, clock, open } = await bench(mcpPin('a3', 'out', true), mcpPin('b0', 'in'));
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port, channel, seen } = await open();
    await clock.advance(100);
    await port.write(channel(0), false);
    await port.write(channel(0), true);
    bus.chips.delete(0x20);
    await clock.advance(1200);
    expect(seen[1]).toEqual([false, 'NO_DEVICE']);
    chip.power();
    bus.chips.set(0x20, chip);
    await clock.advance(6000);
    expect(chip.driven(3)).toBe(true);
    expect(seen[1]).toEqual([false, 'NO_DEVICE', false]);
    await port.close();
  });

  it('a command that has expired once its chip is set up is not executed', async () => {
    const bus = new SimBus();
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    let late = 0;
    const clock = new (class extends ManualClock {
      override now() {
        return super.now() + late;
      }
    })();
    // The register of the directions, which is set up first.
    chip.computed.set(0x00, () => {
      late = 100;
      return 0xff;
    });
    const busChip = new BusChip(new BusOwner(bus, []), [outputA3], { clock, count: () => {}, down() {}, changed() {} });
    const written = busChip.write(only(busChip), true, { expiresAt: clock.now() + 50 });
    await expect(written).rejects.toMatchObject({ code: 'EXPIRED' });
    expect(bus.transfers).not.toContain('20: 1408 > 0');
    busChip.close();
  });

  it('an output that must be safe after a loss never gets its earlier value back, not even for a moment', async () => {
    const bus = new SimBus();
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const clock = new ManualClock();
    const output = { ...outputA3, returnValue: () => false };
    const busChip = new BusChip(new BusOwner(bus, []), [output], { clock, count: () => {}, down() {}, changed() {} });
    await busChip.begin();
    await busChip.write(only(busChip), true);
    bus.chips.delete(0x20);
    for (const _ of [1, 2, 3]) await busChip.read(busChip.channels);
    chip.power();
    bus.chips.set(0x20, chip);
    bus.transfers.length = 0;
    await busChip.read(busChip.channels);
    expect(bus.transfers).not.toContain('20: 1408 > 0');
    expect(chip.driven(3)).toBe(false);
  });

  it('a read that fails with all its repetitions is no loss: an output keeps its value, and a pin stays good', async () => {
    const bus = new SimBus();
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const output = { ...outputA3, returnValue: () => false };
    const busChip = new BusChip(new BusOwner(bus, []), [output], {
      clock: new ManualClock(),
      count: () => {},
      down() {},
      changed() {},
    });
    await busChip.begin();
    await busChip.write(only(busChip), true);
    for (const _ of [1, 2]) {
      bus.fault = 'EREMOTEIO';
      expect(await busChip.read(busChip.channels)).toMatchObject([{ ok: true, value: true }]);
      bus.fault = undefined;
      expect(await busChip.read(busChip.channels)).toMatchObject([{ ok: true, value: true }]);
      expect(chip.driven(3)).toBe(true);
    }
  });

  it('failures of 8 % of the transfers make no pin bad and drive no output', async () => {
    const random = seeded(7);
    const { bus, clock, open } = await bench(mcpPin('a3', 'out', true), mcpPin('b0', 'in'));
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port, seen } = await open();
    const transfer = bus.transfer.bind(bus);
    let failures = 0;
    bus.transfer = async (address, write, length) => {
      bus.fault = random() < 0.08 ? 'EREMOTEIO' : undefined;
      if (bus.fault) failures++;
      return transfer(address, write, length);
    };
    await clock.advance(600_000);
    expect(failures).toBeGreaterThan(300);
    expect(seen).toEqual([[true], [false]]);
    expect(chip.driven(3)).toBe(true);
    await port.close();
  });

  it('a chip that fails always is bad after as many failures as `misses`, half a second apart', async () => {
    const { bus, clock, open } = await bench(mcpPin('b0', 'in'));
    const chip = new Mcp23017();
    bus.chips.set(0x20, chip);
    const { port, seen } = await open();
    await clock.advance(1000);
    bus.chips.delete(0x20);
    await clock.advance(1200);
    expect(seen).toEqual([[false, 'NO_DEVICE']]);
    await port.close();
  });

  it('an absent chip affects only its own pins, is named, and is tried less and less often', async () => {
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
    expect(bus.transfers.filter((text) => text.startsWith('49')).length).toBeLessThan(35);
    expect(bus.transfers.filter((text) => text.startsWith('48')).length).toBeGreaterThan(500);
    await port.close();
    expect(clock.pending).toBe(0);
  });

  it('faults of the bus have different errors', async () => {
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

  it('a written value that the chip did not read back is told once, by the first poll', async () => {
    const { bus, clock, open } = await bench({ keys: { address: 0x38, bit: 0, poll: '100ms' }, direction: 'out' });
    bus.chips.set(0x38, new Pcf8574());
    const { port, channel, seen } = await open();
    await clock.advance(50);
    expect(await port.write(channel(0), false)).toEqual({});
    expect(seen).toEqual([[true]]);
    await clock.advance(1000);
    expect(seen).toEqual([[true, false]]);
    await port.close();
  });

  it('a written value that the chip read back is not told again', async () => {
    const { bus, clock, open } = await bench(mcpPin('a3', 'out', true));
    bus.chips.set(0x20, new Mcp23017());
    const { port, channel, seen } = await open();
    await clock.advance(50);
    expect(await port.write(channel(0), false)).toEqual({ readBack: false });
    await clock.advance(1000);
    expect(seen).toEqual([[true]]);
    await port.close();
  });

  it('numbers of every type are read as written, rounded to whole ones, and never wrapped', async () => {
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
      expect(port.resolution?.(channel(0), value)).toBe(1);
    }
  });
});
