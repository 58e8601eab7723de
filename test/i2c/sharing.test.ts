import { describe, expect, it } from 'vitest';
import { bench, mcpPin, outcome } from './bench.ts';
import { Mcp23017, RegisterChip } from './sim-bus.ts';

describe('chips that share a bus', () => {
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

  it('of chips with one address behind different muxes, and beside them, only one is ever connected', async () => {
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
    await clock.advance(1000);
    expect((await port.read(channels)).map(outcome)).toEqual([1, 'NO_DEVICE', 3]);
    await port.close();
    expect(clock.pending).toBe(0);
  });
});

describe('pins that share a chip', () => {
  it('a read tells changes too, so that a change between two polls is not reverted', async () => {
    const { bus, clock, open } = await bench({
      ...mcpPin('a0', 'in'),
      keys: { ...mcpPin('a0', 'in').keys, poll: '10s' },
    });
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

  it('pins that share a register are read together, in one transfer', async () => {
    const { bus, open } = await bench(...['b0', 'b1', 'b2', 'b3'].map((name) => mcpPin(name, 'in')));
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

  it('a write that waited too long in the queue is not executed', async () => {
    const { bus, clock, open } = await bench(mcpPin('a0', 'out', false), {
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
});
