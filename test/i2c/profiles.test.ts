import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { createI2c } from '../../drivers/i2c/driver.ts';
import { bench, outcome, profile } from './bench.ts';
import { RegisterChip, SimBus } from './sim-bus.ts';

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

describe('a bus', () => {
  it('has one owner: however it is written, two ports claim the same', () => {
    const driver = createI2c(async () => new SimBus());
    const claims = [{ bus: 1 }, { bus: '/dev/i2c-1' }].map((options) => driver.claims?.(driver.options.parse(options)));
    expect(claims).toEqual(['/dev/i2c-1', '/dev/i2c-1']);
  });
});

describe('values of the data sheets', () => {
  /** What the profile makes of a raw value. */
  const scaleOf = (file: string, name: string): number =>
    parse(readFileSync(join('boards/i2c', file), 'utf8')).pins[name].scale;

  it.each([
    ['generic/lm75.yaml', 'temperature', 0x00, [0x19, 0x00], 25],
    ['generic/lm75.yaml', 'temperature', 0x00, [0xe7, 0x00], -25],
    ['maxim/ds3231.yaml', 'temperature', 0x11, [0x19, 0x40], 25.25],
    ['ti/ina219.yaml', 'voltage', 0x02, [0x5d, 0x98], 11.98],
    ['ti/ina219.yaml', 'current', 0x01, [0x07, 0xd0], 0.2],
    ['ti/ina219.yaml', 'current', 0x01, [0xf8, 0x30], -0.2],
  ])('%s: %s', async (file, name, register, bytes, value) => {
    const { bus, open } = await bench({ keys: profile(file, 0x48).get(name) ?? {}, direction: 'in' });
    const chip = new RegisterChip();
    chip.registers.set(bytes, register);
    bus.chips.set(0x48, chip);
    const { port, channels } = await open();
    const [reading] = await port.read(channels);
    expect((reading?.ok ? Number(reading.value) : Number.NaN) * scaleOf(file, name)).toBeCloseTo(value, 6);
    await port.close();
  });

  it.each([
    ['ti/ina219.yaml', 'voltage', 0x02, [0xfa, 0x02], 'beyond 32 V'],
    ['ti/ina219.yaml', 'current', 0x01, [0x7d, 0x00], 'beyond 320 mV'],
    ['ti/ina219.yaml', 'current', 0x01, [0x83, 0x00], 'beyond -320 mV'],
    ['ti/ina219.yaml', 'voltage', 0x02, [0xff, 0xff], 'a wire that is stuck'],
    ['generic/lm75.yaml', 'temperature', 0x00, [0xff, 0xff], 'a wire that is stuck'],
    ['maxim/ds3231.yaml', 'temperature', 0x11, [0xff, 0xff], 'a wire that is stuck'],
  ])('%s: %s has no value: %j %j %s', async (file, name, register, bytes) => {
    const { bus, open } = await bench({ keys: profile(file, 0x48).get(name) ?? {}, direction: 'in' });
    const chip = new RegisterChip();
    chip.registers.set(bytes, register);
    bus.chips.set(0x48, chip);
    const { port, channels } = await open();
    expect((await port.read(channels)).map(outcome)).toEqual(['BAD_REPLY']);
    await port.close();
  });

  it('a PCA9685 after power-on is off, and 0 % is off whatever another program has left in the chip', async () => {
    const { bus, open } = await bench({ keys: profile('nxp/pca9685.yaml', 0x40).get('pwm1') ?? {}, direction: 'out' });
    const chip = new RegisterChip();
    chip.registers.set([0x00, 0x10], 0x0c);
    bus.chips.set(0x40, chip);
    const { port, channels, channel } = await open();
    expect((await port.read(channels)).map(outcome)).toEqual([0]);
    await port.write(channel(0), 4095);
    expect([...chip.registers.subarray(0x0c, 0x0e)]).toEqual([0xff, 0x0f]);
    await expect(port.write(channel(0), 4096)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    // LEDn_ON bit 12 is 'always on', and equal steps are not defined: 'off' needs its own bit.
    expect(await port.write(channel(0), 0)).toEqual({ readBack: 0 });
    expect([...chip.registers.subarray(0x0c, 0x0e)]).toEqual([0x00, 0x10]);
    await port.close();
    chip.registers.set([0x00, 0x10], 0x0a);
    const again = await open();
    expect([...chip.registers.subarray(0x0a, 0x0c)]).toEqual([0, 0]);
    await again.port.close();
  });

  it('keys of a number that cannot be are refused', () => {
    const driver = createI2c(async () => new SimBus());
    const problem = (keys: object) =>
      driver.pin.safeParse({ address: 0x40, register: 1, ...keys }).error?.issues.map(({ message }) => message);
    expect(problem({ type: 'u16le', width: 12, zero: 0x1000, invalid: [7] })).toBeUndefined();
    expect(problem({ type: 'u16le', width: 17 })).toEqual(['u16le has 16 bits']);
    expect(problem({ type: 'u16le', shift: 5, width: 12 })).toEqual(['u16le has 16 bits']);
    expect(problem({ type: 'i16be', width: 12 })).toEqual(['i16be has a sign; width goes with u types']);
    expect(problem({ bit: 1, invalid: [1] })).toEqual(['a bit is always a value']);
    expect(problem({ type: 'u8', zero: 256 })).toEqual(['u8 cannot hold it']);
  });

  it('a PCA9685 is woken, and half of the time is half of its 4096 steps', async () => {
    const { bus, open } = await bench({ keys: profile('nxp/pca9685.yaml', 0x40).get('pwm1') ?? {}, direction: 'out' });
    const chip = new RegisterChip();
    chip.registers[0] = 0x11;
    bus.chips.set(0x40, chip);
    const { port, channel } = await open();
    expect(chip.registers[0]).toBe(0x20);
    const { defaults } = parse(readFileSync('boards/i2c/nxp/pca9685.yaml', 'utf8'));
    await port.write(channel(0), 50 / defaults.scale);
    expect([...chip.registers.subarray(0x0a, 0x0e)]).toEqual([0, 0, 0x00, 0x08]);
    await port.close();
  });
});
