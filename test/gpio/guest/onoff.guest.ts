import { existsSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { gpio } from '../../../drivers/gpio/driver.ts';
import type { Reading } from '../../../src/driver/driver.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { conformance } from '../../conformance/suite.ts';
import { type Held, openPort, type PinText } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';
import { gpiod, SimChip, sysfsNumber } from './sim-chip.ts';

let chip: SimChip;
beforeAll(() => {
  chip = new SimChip('sysfs-sim', 8);
});
afterAll(() => chip.remove());
beforeEach(() => {
  for (let offset = 0; offset < 8; offset++) chip.pull(offset, false);
});

const held: Held[] = [];
const open = async (...pins: PinText[]): Promise<Held> => {
  const made = await openPort(gpio, { chip: 'sysfs-sim', backend: 'onoff' }, pins);
  held.push(made);
  return made;
};
afterEach(async () => {
  for (const { port } of held.splice(0)) await port.close();
});

const input = (offset: number): PinText => ({ keys: { gpio: offset }, direction: 'in' });
const output = (offset: number, start?: boolean): PinText => ({
  keys: { gpio: offset },
  direction: 'out',
  ...(start === undefined ? {} : { start }),
});
const exported = (offset: number) => existsSync(`/sys/class/gpio/gpio${sysfsNumber(chip, offset)}`);
const codes = (readings: readonly Reading[]) => readings.map((one) => (one.ok ? 'ok' : one.error.code));

conformance('gpio onoff', {
  driver: gpio,
  options: () => ({ chip: 'sysfs-sim', backend: 'onoff' }),
  input: { keys: { gpio: 1 }, values: [false, true], drive: async (value) => chip.pull(1, value === true) },
  output: { keys: { gpio: 2 }, values: [false, true], wrong: 'banana', observe: async () => chip.level(2) },
  plug: { unplug: async () => chip.unplug(), replug: async () => chip.plug() },
  teardown: async () => {
    if (!chip.plugged) chip.plug();
  },
  patienceMs: 4000,
});

describe('gpio onoff', () => {
  it('finds the chip by its device name too', async () => {
    const made = await openPort(gpio, { chip: chip.device, backend: 'onoff' }, [output(3, true)]);
    held.push(made);
    expect(chip.level(3)).toBe(true);
  });

  it('skips a chip this machine does not have, naming those it has', async () => {
    await expect(openPort(gpio, { chip: 'pinctrl-bcm2711', backend: 'onoff' }, [input(0)])).rejects.toThrow(
      /skipped: no gpiochip pinctrl-bcm2711 .*sysfs-sim/,
    );
  });

  it('shows the lines to gpioinfo as held, and gives them back', async () => {
    const { port } = await open(input(0), output(3, true));
    expect(gpiod('gpioinfo', chip.device)).toMatch(/line +3: +unnamed +"sysfs" +output/);
    await port.close();
    expect(gpiod('gpioinfo', chip.device)).not.toMatch(/sysfs/);
    expect(exported(3)).toBe(false);
  });

  it('keeps the level of an output that has no start value, exported before or not', async () => {
    const first = await open(output(3, true));
    writeFileSync('/sys/class/gpio/export', String(sysfsNumber(chip, 4)));
    writeFileSync(`/sys/class/gpio/gpio${sysfsNumber(chip, 4)}/direction`, 'high');
    await first.port.close();
    expect(chip.level(4)).toBe(true);
    const { port, channels } = await open(output(3), output(4));
    expect(chip.level(4)).toBe(true);
    expect(await port.read(channels)).toEqual([
      { ok: true, value: chip.level(3) },
      { ok: true, value: true },
    ]);
  });

  it('takes a line that a killed process left exported', async () => {
    writeFileSync('/sys/class/gpio/export', String(sysfsNumber(chip, 5)));
    const { port, channels } = await open(input(5));
    chip.pull(5, true);
    expect(await port.read(channels)).toEqual([{ ok: true, value: true }]);
  });

  it('lets a wrong line fail alone: no such offset, a name, a bias', async () => {
    const { port, channels } = await open(
      input(0),
      input(99),
      { keys: { gpio: 'DOOR' }, direction: 'in' },
      { keys: { gpio: 6, bias: 'pull-up' }, direction: 'in' },
      { keys: { gpio: 7, drive: 'open-drain' }, direction: 'out' },
      output(3, true),
    );
    expect(codes(await port.read(channels))).toEqual([
      'ok',
      'NO_SUCH_CHANNEL',
      'NOT_SUPPORTED',
      'NOT_SUPPORTED',
      'NOT_SUPPORTED',
      'ok',
    ]);
    expect(exported(6)).toBe(false);
    expect(chip.level(3)).toBe(true);
  });

  it('says that a line is busy, runs the others, and takes it once it is free', async () => {
    const { spawn } = await import('node:child_process');
    const holder = spawn('gpioset', ['--mode=signal', chip.device, '4=1']);
    await until('gpioset to hold line 4', () => gpiod('gpioinfo', chip.device).includes('gpioset'));
    const { port, channels } = await open(input(0), output(4, false));
    const seen: Reading[] = [];
    const [, busy] = channels;
    if (!busy) throw new Error('no channel');
    port.subscribe(busy, (reading) => seen.push(reading));
    await until('the failure reading', () => seen.length > 0);
    expect(codes(seen)).toEqual(['BUSY']);
    await expect(port.write(busy, true)).rejects.toMatchObject({ code: 'BUSY' });
    expect(codes(await port.read(channels))).toEqual(['ok', 'BUSY']);
    holder.kill();
    await until('the line to be taken', () => seen.at(-1)?.ok, 10_000);
    expect(seen.at(-1)).toEqual({ ok: true, value: false });
    await port.write(busy, true);
    expect(chip.level(4)).toBe(true);
  });

  it('survives that somebody unexports a line: the pin is bad, then good again', async () => {
    const made = await open(input(0), input(1));
    const [first] = made.channels;
    if (!first) throw new Error('no channel');
    const seen: Reading[] = [];
    made.port.subscribe(first, (reading) => seen.push(reading));
    await until('the first reading', () => seen.length > 0);
    writeFileSync('/sys/class/gpio/unexport', String(sysfsNumber(chip, 0)));
    chip.pull(0, true);
    await until('good again', () => {
      const last = seen.at(-1);
      return last?.ok && last.value === true;
    });
    expect(made.downs).toEqual([]);
  });

  it('counts edges that came faster than sysfs can tell', async () => {
    const made = await open(input(0));
    const [first] = made.channels;
    if (!first) throw new Error('no channel');
    const seen: Reading[] = [];
    made.port.subscribe(first, (reading) => seen.push(reading));
    await until('the first reading', () => seen.length > 0);
    // Within one turn of the event loop: nobody can read between the two.
    chip.pull(0, true);
    chip.pull(0, false);
    await until('the count', () => (made.counters.get('edges_merged') ?? 0) > 0);
    expect(seen.at(-1)).toMatchObject({ ok: true, value: false });
  });

  it('rejects a write to an input and a value that is no level', async () => {
    const { port, channels } = await open(input(0), output(3, false));
    const [inward, outward] = channels;
    if (!inward || !outward) throw new Error('no channel');
    await expect(port.write(inward, true)).rejects.toBeInstanceOf(DcsError);
    await expect(port.write(outward, 'banana')).rejects.toMatchObject({ code: 'BAD_VALUE' });
    expect(chip.level(3)).toBe(false);
  });
});
