import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { sysfs } from '../../drivers/sysfs/driver.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { conformance } from '../../src/testing/conformance.ts';
import { type OpenedPort, openPort } from '../support/ports.ts';
import { until } from '../support/wait.ts';

// Real files in the shape of sysfs: what the kernel does behind them is not under test here.
const root = mkdtempSync(join(tmpdir(), 'dcs-io-sys-'));
const put = (path: string, text: string) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const w1 = (crc: string, t: string) =>
  put(
    'bus/w1/devices/28-0316a4e5c8ff/w1_slave',
    `72 01 4b 46 7f ff 0e 10 57 : crc=57 ${crc}\n72 01 4b 46 7f ff 0e 10 57 t=${t}\n`,
  );
put('class/leds/ACT/max_brightness', '255\n');
put('class/leds/ACT/brightness', '0\n');
put('bus/iio/devices/iio:device0/name', 'mcp3008\n');
put('bus/iio/devices/iio:device0/in_voltage3_raw', '512\n');
put('bus/iio/devices/iio:device0/in_voltage_scale', '3.222656250\n');
put('bus/iio/devices/iio:device1/name', 'bme280\n');
put('bus/iio/devices/iio:device1/in_temp_input', '25080\n');
put('bus/iio/devices/iio:device2/name', 'mcp4725\n');
put('bus/iio/devices/iio:device2/out_voltage0_raw', '0\n');
put('bus/iio/devices/iio:device2/out_voltage0_scale', '0.805664062\n');
w1('YES', '23125');
afterAll(() => rmSync(root, { recursive: true, force: true }));

let held: OpenedPort | undefined;
afterEach(async () => held?.port.close());

async function read(keys: object): Promise<Reading | undefined> {
  const direction = 'led' in keys || ('channel' in keys && String(keys.channel).startsWith('out_')) ? 'out' : 'in';
  held = await openPort(sysfs, { root }, [{ keys, direction }]);
  return (await held.port.read(held.channels))[0];
}
const outcome = (reading: Reading | undefined) => (reading?.ok ? reading.value : reading?.error.code);

conformance('sysfs', {
  driver: sysfs,
  options: () => ({ root }),
  input: {
    keys: { iio: 'bme280', channel: 'in_temp', poll: '10ms' },
    values: [25_080, -3000],
    drive: async (value) => put('bus/iio/devices/iio:device1/in_temp_input', `${value}\n`),
  },
  output: {
    keys: { led: 'ACT', poll: '10ms' },
    values: [false, true],
    wrong: 3,
    observe: async () => Number(readFileSync(join(root, 'class/leds/ACT/brightness'), 'utf8')) === 255,
  },
});

describe('sysfs', () => {
  it('a 1-wire temperature needs a right checksum, and 85 °C is uncertain', async () => {
    expect(outcome(await read({ w1: '28-0316a4e5c8ff' }))).toBe(23.125);
    w1('YES', '-10625');
    expect(outcome(await read({ w1: '28-0316a4e5c8ff' }))).toBe(-10.625);
    w1('NO', '23125');
    expect(outcome(await read({ w1: '28-0316a4e5c8ff' }))).toBe('BAD_REPLY');
    w1('YES', '85000');
    expect(await read({ w1: '28-0316a4e5c8ff' })).toMatchObject({ ok: true, value: 85, uncertain: expect.any(String) });
  });

  it('a short circuit of the 1-wire bus is not 0 °C, although the checksum of zeros is right', async () => {
    const zeros = '00 00 00 00 00 00 00 00 00';
    put('bus/w1/devices/28-0316a4e5c8ff/w1_slave', `${zeros} : crc=00 YES\n${zeros} t=0\n`);
    expect(outcome(await read({ w1: '28-0316a4e5c8ff' }))).toBe('BAD_REPLY');
    w1('YES', '0');
    expect(outcome(await read({ w1: '28-0316a4e5c8ff' }))).toBe(0);
  });

  it('an IIO channel is scaled by the factor of its own or of its kind, and found by the name of its device', async () => {
    expect(outcome(await read({ iio: 'mcp3008', channel: 'in_voltage3' }))).toBeCloseTo(1650, 3);
    expect(outcome(await read({ iio: 'iio:device0', channel: 'in_voltage3' }))).toBeCloseTo(1650, 3);
  });

  it('an IIO output is written in the units of its channel, and read back', async () => {
    await read({ iio: 'mcp4725', channel: 'out_voltage0' });
    const [channel] = held?.channels ?? [];
    if (!held || !channel) throw new Error('no pin');
    const { readBack } = await held.port.write(channel, 1650);
    expect(readBack).toBeCloseTo(1650, 0);
    expect(held.port.resolution?.(channel, 1650)).toBe(0.805664062);
    expect(readFileSync(join(root, 'bus/iio/devices/iio:device2/out_voltage0_raw'), 'utf8')).toBe('2048');
  });

  it('an expired command is not begun', async () => {
    held = await openPort(sysfs, { root }, [{ keys: { iio: 'mcp4725', channel: 'out_voltage0' }, direction: 'out' }]);
    const [channel] = held.channels;
    if (!channel) throw new Error('no channel');
    const file = join(root, 'bus/iio/devices/iio:device2/out_voltage0_raw');
    const before = readFileSync(file, 'utf8');
    await expect(held.port.write(channel, 999, { expiresAt: -1 })).rejects.toMatchObject({ code: 'EXPIRED' });
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  it('has an unknown outcome when what was written cannot be read back', async () => {
    held = await openPort(sysfs, { root }, [{ keys: { iio: 'mcp4725', channel: 'out_voltage0' }, direction: 'out' }]);
    const [channel] = held.channels;
    if (!channel) throw new Error('no channel');
    const file = join(root, 'bus/iio/devices/iio:device2/out_voltage0_input');
    writeFileSync(file, 'no number');
    await expect(held.port.write(channel, 1650)).rejects.toMatchObject({ code: 'TIMEOUT' });
    rmSync(file);
  });

  it('a missing file makes its own pin bad until it is there', async () => {
    held = await openPort(sysfs, { root }, [
      { keys: { w1: '28-gone', poll: '10ms' }, direction: 'in' },
      { keys: { iio: 'mcp3008', channel: 'in_voltage3', poll: '10ms' }, direction: 'in' },
    ]);
    const seen: unknown[][] = [[], []];
    held.channels.forEach((channel, at) => {
      held?.listen(channel, (reading) => seen[at]?.push(outcome(reading)));
    });
    await until('both', () => seen.every((list) => list.length > 0));
    expect(seen[0]).toEqual(['TIMEOUT']);
    expect(seen[1]?.length).toBe(1);
    w1('YES', '20000');
    renameSync(join(root, 'bus/w1/devices/28-0316a4e5c8ff'), join(root, 'bus/w1/devices/28-gone'));
    await until('healing', () => seen[0]?.length === 2);
    expect(seen[0]).toEqual(['TIMEOUT', 20]);
  });

  it('names that lead out of sysfs are refused', () => {
    for (const keys of [{ w1: '../../etc/passwd' }, { led: '..' }, { iio: 'a/b', channel: 'c' }, { iio: 'a' }, {}]) {
      expect(sysfs.pin.safeParse(keys).success, JSON.stringify(keys)).toBe(false);
    }
  });
});
