import { describe, expect, it } from 'vitest';
import { scanBus } from '../../drivers/i2c/bus.ts';
import { RegisterChip, SimBus } from './sim-bus.ts';

describe('scanning an I2C bus', () => {
  it('lists the addresses that answer, with what is usually there', async () => {
    const bus = new SimBus();
    bus.chips.set(0x20, new RegisterChip());
    bus.chips.set(0x76, new RegisterChip());
    expect(await scanBus(bus)).toEqual([
      { address: 0x20, state: 'answers', guesses: ['MCP23017, MCP23008 or PCF8574'] },
      { address: 0x76, state: 'answers', guesses: ['TCA9548A', 'BME280 or BMP280'] },
    ]);
    // A byte is read and nothing written: reserved addresses are left alone.
    expect(bus.transfers).toContain('20:  > 1');
    expect(bus.transfers.length).toBe(0x77 - 0x08 + 1);
  });

  it('a stuck or missing bus is an error, not an empty bus', async () => {
    const bus = new SimBus();
    bus.fault = 'ETIMEDOUT';
    await expect(scanBus(bus)).rejects.toThrow('stuck');
    bus.gone = true;
    await expect(scanBus(bus)).rejects.toThrow('gone');
  });

  it('an address that a kernel driver holds is listed as used', async () => {
    const bus = new SimBus();
    bus.fault = 'EBUSY';
    expect((await scanBus(bus))[0]).toMatchObject({ address: 0x08, state: 'used' });
  });
});
