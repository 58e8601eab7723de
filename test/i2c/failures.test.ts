import { describe, expect, it } from 'vitest';
import { BusOwner, transferError } from '../../drivers/i2c/bus.ts';
import { BusChip, type ChipChannel } from '../../drivers/i2c/bus-chip.ts';
import { createI2c } from '../../drivers/i2c/driver.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Channel } from '../../src/driver/contract.ts';
import { bench, mcpPin, outcome } from './bench.ts';
import { Mcp23017, Pcf8574, RegisterChip, SimBus } from './sim-bus.ts';

const driver = createI2c(async () => new SimBus());

/** An MCP23017 at 0x20 with one output, a0, which must be off after a loss. */
async function relay() {
  const bus = new SimBus();
  const chip = new Mcp23017();
  bus.chips.set(0x20, chip);
  const clock = new ManualClock();
  const address = driver.pin.parse(mcpPin('a0', 'out').keys);
  const channel: Channel<typeof address> = {
    ...{ key: 'a0', kind: 'digital', direction: 'out', debounceMs: 0, address },
    returnValue: () => false,
  };
  const busChip = new BusChip(new BusOwner(bus, []), [channel], { clock, count() {}, down() {}, changed() {} });
  await busChip.begin();
  const [member] = busChip.channels;
  if (!member) throw new Error('the chip has no channel');
  return { bus, chip, clock, busChip, member };
}

/** The chip fails until it is lost. */
async function lose(busChip: BusChip, member: ChipChannel): Promise<void> {
  for (const _ of [1, 2, 3]) await busChip.read([member]);
}

describe('a repetition', () => {
  it('does not bring back a chip that was lost, which gets its return value', async () => {
    const { bus, chip, clock, busChip, member } = await relay();
    await busChip.write(member, true);
    bus.chips.delete(0x20);
    await lose(busChip, member);
    chip.power();
    bus.chips.set(0x20, chip);
    bus.transfers.length = 0;
    await expect(busChip.write(member, true, { repetition: true })).rejects.toMatchObject({ code: 'PORT_DOWN' });
    // It is set up without a poll.
    await clock.advance(6000);
    expect(chip.driven(0)).toBe(false);
    expect(bus.transfers).not.toContain('20: 1401 > 0');
    expect(await busChip.write(member, true, { repetition: true })).toBe(true);
    busChip.close();
  });

  it('that waits while the chip is lost and comes back does not bring back its value', async () => {
    const { bus, chip, busChip, member } = await relay();
    await busChip.write(member, true);
    bus.chips.delete(0x20);
    for (const _ of [1, 2]) await busChip.read([member]);
    const transfer = bus.transfer.bind(bus);
    let waiting: Promise<unknown>[] = [];
    let transfers = 0;
    // The third read fails with its two repetitions; the next one waits before the repetition of the value.
    bus.transfer = async (...given) => {
      if (transfers === 0) {
        const repeated = () => busChip.write(member, true, { repetition: true });
        waiting = [busChip.read([member]), repeated().catch(({ code }) => code)];
      }
      if (++transfers === 4) {
        chip.power();
        bus.chips.set(0x20, chip);
      }
      return transfer(...given);
    };
    await busChip.read([member]);
    const [, repeated] = await Promise.all(waiting);
    expect(repeated).toBe('PORT_DOWN');
    expect(chip.driven(0)).toBe(false);
    busChip.close();
  });

  it('is written after a single failure, which is no loss', async () => {
    const { bus, chip, busChip, member } = await relay();
    await busChip.write(member, true);
    bus.fault = 'EREMOTEIO';
    await busChip.read([member]);
    bus.fault = undefined;
    expect(await busChip.write(member, true, { repetition: true })).toBe(true);
    expect(chip.driven(0)).toBe(true);
    busChip.close();
  });
});

describe('a write that fails', () => {
  it('after the chip took the value is unknown, and the value from before does not come back', async () => {
    const { bus, chip, busChip, member } = await relay();
    await busChip.write(member, true);
    const transfer = bus.transfer.bind(bus);
    bus.transfer = async (address, bytes, length) => {
      const data = await transfer(address, bytes, length);
      if (bytes[0] === 0x14 && length === 0) bus.fault = 'EREMOTEIO';
      return data;
    };
    await expect(busChip.write(member, false)).rejects.toMatchObject({ code: 'TIMEOUT' });
    bus.transfer = transfer;
    bus.fault = undefined;
    bus.transfers.length = 0;
    await busChip.read([member]);
    expect(chip.driven(0)).toBe(false);
    expect(bus.transfers).not.toContain('20: 1401 > 0');
    busChip.close();
  });

  it.each([
    ['EIO', 'TIMEOUT', true],
    ['ETIMEDOUT', 'TIMEOUT', true],
    ['EAGAIN', 'TIMEOUT', true],
    ['ENXIO', 'NO_DEVICE', false],
    ['EBUSY', 'BUSY', false],
  ])(
    'while it is sent, with %s, is answered %s; only an unknown value is written again',
    async (fault, code, again) => {
      const { bus, chip, busChip, member } = await relay();
      await busChip.write(member, false);
      const transfer = bus.transfer.bind(bus);
      bus.transfer = async (address, bytes, length) => {
        bus.fault = length === 0 ? fault : undefined;
        return transfer(address, bytes, length);
      };
      await expect(busChip.write(member, true)).rejects.toMatchObject({ code });
      bus.transfer = transfer;
      bus.fault = undefined;
      await busChip.read([member]);
      expect(chip.driven(0)).toBe(again);
      busChip.close();
    },
  );

  it('before anything is sent is refused', async () => {
    const { bus, chip, busChip, member } = await relay();
    bus.fault = 'EIO';
    await expect(busChip.write(member, true)).rejects.toMatchObject({ code: 'BAD_REPLY' });
    bus.fault = undefined;
    await busChip.read([member]);
    expect(chip.driven(0)).toBe(false);
    busChip.close();
  });

  it('because a mux does not answer is refused', async () => {
    const keys = { address: 0x38, mux: { address: 0x70, channel: 1 } };
    const { bus, open } = await bench({ keys, direction: 'out' });
    bus.chips.set(0x38, new Pcf8574());
    bus.chips.set(0x70, {
      transfer: () => {
        throw new Error('noise');
      },
    });
    const { port, channel } = await open();
    await expect(port.write(channel(0), 1)).rejects.not.toMatchObject({ code: 'TIMEOUT' });
    await port.close();
  });
});

describe('a register that fails for ever beside one that reads', () => {
  class Broken extends RegisterChip {
    broken = false;
    override transfer(write: Uint8Array, length: number): number[] {
      if (this.broken && write[0] === 1 && length > 0) throw transferError('the bus', 0x20, 'EIO');
      return super.transfer(write, length);
    }
  }

  it.each([
    ['100ms', '100ms'],
    ['100ms', '1s'],
    ['1s', '100ms'],
    ['100ms', '1h'],
  ])('is bad, and neither the other nor the outputs are disturbed (polls %s and %s)', async (poll, other) => {
    const init = [{ register: 9, value: 7 }];
    const { bus, clock, open } = await bench(
      { keys: { address: 0x20, register: 1, poll, init }, direction: 'in' },
      { keys: { address: 0x20, register: 2, poll: other }, direction: 'in' },
      { keys: { address: 0x20, register: 3, poll: other }, direction: 'out', start: 5 },
    );
    const chip = new Broken();
    bus.chips.set(0x20, chip);
    const { port, seen } = await open();
    await clock.advance(2000);
    chip.broken = true;
    await clock.advance(5000);
    expect(seen).toEqual([[0, 'BAD_REPLY'], [0], [5]]);
    chip.written.length = 0;
    await clock.advance(60_000);
    expect(chip.written).toEqual([]);
    expect(seen.map((values) => values.length)).toEqual([2, 1, 1]);
    // The chip itself is still watched.
    bus.chips.delete(0x20);
    await clock.advance(10_000);
    expect(seen[1]).toEqual(other === '1h' ? [0] : [0, 'NO_DEVICE']);
    await port.close();
  });

  it('does not make the chip lost, and its outputs safe, when the other fails once', async () => {
    const bus = new SimBus();
    const chip = new Broken();
    chip.broken = true;
    bus.chips.set(0x20, chip);
    const input = { key: 'in', kind: 'analog', direction: 'in', debounceMs: 0 } as const;
    const channels = [
      { ...input, address: driver.pin.parse({ address: 0x20, register: 1 }) },
      {
        ...{ ...input, key: 'out', direction: 'out' as const, returnValue: () => 0 },
        address: driver.pin.parse({ address: 0x20, register: 3 }),
      },
    ];
    const context = { clock: new ManualClock(), count() {}, down() {}, changed() {} };
    const busChip = new BusChip(new BusOwner(bus, []), channels, context);
    await busChip.begin();
    const [broken, output] = busChip.channels;
    if (!broken || !output) throw new Error('the chip has no channels');
    await busChip.write(output, 5);
    for (const _ of [1, 2, 3, 4]) await busChip.read([broken]);
    bus.fault = 'EIO';
    await busChip.read([output]);
    bus.fault = undefined;
    for (const _ of [1, 2, 3, 4]) await busChip.read([broken]);
    expect(chip.registers[3]).toBe(5);
    expect((await busChip.read([broken, output])).map(outcome)).toEqual(['BAD_REPLY', 5]);
    busChip.close();
  });
});

describe('an output that is a part of a register', () => {
  const part = { address: 0x20, register: 5, type: 'u16le', width: 4 };

  it('leaves the bits of its neighbours', async () => {
    const { bus, open } = await bench({ keys: part, direction: 'out' });
    const chip = new RegisterChip();
    chip.registers.set([0xa3, 0x81], 5);
    bus.chips.set(0x20, chip);
    const { port, channel } = await open();
    expect(await port.write(channel(0), 9)).toEqual({ readBack: 9 });
    expect([...chip.registers.subarray(5, 7)]).toEqual([0xa9, 0x81]);
    await expect(port.write(channel(0), 16)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    await expect(port.write(channel(0), -1)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    expect([...chip.registers.subarray(5, 7)]).toEqual([0xa9, 0x81]);
    await port.close();
  });

  it('leaves them also in 32 bits and beside a bit for off', async () => {
    const keys = { address: 0x20, register: 5, type: 'u32be', width: 8, zero: 0x100 };
    const { bus, open } = await bench({ keys, direction: 'out' });
    const chip = new RegisterChip();
    chip.registers.set([0xf0, 0, 0x02, 0xff], 5);
    bus.chips.set(0x20, chip);
    const { port, channel } = await open();
    await port.write(channel(0), 0);
    expect([...chip.registers.subarray(5, 9)]).toEqual([0xf0, 0, 0x03, 0]);
    await port.write(channel(0), 3);
    expect([...chip.registers.subarray(5, 9)]).toEqual([0xf0, 0, 0x02, 3]);
    await port.close();
  });

  it('leaves the other pins of a chip without registers as they are driven', async () => {
    const { bus, open } = await bench(
      { keys: { address: 0x38, width: 3 }, direction: 'out' },
      { keys: { address: 0x38, bit: 7 }, direction: 'in' },
    );
    const chip = new Pcf8574();
    chip.latch = 0b1010_0111;
    chip.outside = 0b0111_1111;
    bus.chips.set(0x38, chip);
    const { port, channel } = await open();
    await port.write(channel(0), 2);
    expect(chip.latch).toBe(0b1010_0010);
    await port.close();
  });
});
