import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { scanBus } from '../../../drivers/i2c/bus.ts';
import { i2c } from '../../../drivers/i2c/driver.ts';
import { openKernelBus } from '../../../drivers/i2c/kernel-bus.ts';
import { cliFile } from '../../support/agent-process.ts';
import { openPort } from '../../support/ports.ts';

/**
 * The bus of the virtual graphics card to its monitor: the kernel drives it bit by bit, so it is a full I2C adapter, and
 * the monitor's data chip (EDID, VESA E-EDID 1.4) is at 0x50.
 */
const adapters = '/sys/class/i2c-dev';
const names = readdirSync(adapters).filter((name) => readFileSync(`${adapters}/${name}/name`, 'utf8').includes('dvi'));
const bus = names[0] ?? 'none';
const path = `/dev/${bus}`;
const tools = (...words: string[]) =>
  execFileSync('i2ctransfer', ['-y', bus.replace('i2c-', ''), ...words], { encoding: 'utf8' })
    .trim()
    .split(' ')
    .map(Number);

describe('a full I2C adapter (I2C_RDWR)', () => {
  it('is what the kernel says it is', () => {
    expect(execFileSync('i2cdetect', ['-F', bus.replace('i2c-', '')], { encoding: 'utf8' })).toMatch(/^I2C +yes/m);
  });

  it('a read after a repeated start returns what i2c-tools read, also beyond SMBus lengths', async () => {
    const opened = await openKernelBus(path);
    const edid = await opened.transfer(0x50, Uint8Array.of(0), 128);
    expect([...edid]).toEqual(tools('w1@0x50', '0', 'r128'));
    expect([...edid.subarray(0, 8)]).toEqual([0, 255, 255, 255, 255, 255, 255, 0]);
    // The last byte makes the sum of all 0.
    expect(edid.reduce((sum, byte) => (sum + byte) & 0xff, 0)).toBe(0);
    opened.close();
  });

  it('separate writes and reads continue at the chip’s position', async () => {
    const opened = await openKernelBus(path);
    await opened.transfer(0x50, Uint8Array.of(0x12), 0);
    expect([...(await opened.transfer(0x50, new Uint8Array(0), 2))]).toEqual([1, 4]);
    expect(tools('w1@0x50', '0x12', 'r2')).toEqual([1, 4]);
    opened.close();
  });

  it('an address without a chip is NO_DEVICE with its bus, and the scan finds the chip that answers', async () => {
    const opened = await openKernelBus(path);
    await expect(opened.transfer(0x51, Uint8Array.of(0), 1)).rejects.toMatchObject({
      code: 'NO_DEVICE',
      message: `no chip answers at 0x51 on ${path}`,
    });
    expect((await scanBus(opened)).map(({ address }) => address)).toContain(0x50);
    opened.close();
  });

  it('`dcs-io scan i2c` draws it, and `--json` prints it for programs', () => {
    const cli = (...words: string[]) => execFileSync(process.execPath, [cliFile, ...words], { encoding: 'utf8' });
    const drawn = cli('scan', 'i2c', bus.replace('i2c-', ''));
    expect(drawn).toContain('50: 50 -- -- --');
    expect(drawn).toContain('0x50  EEPROM');
    expect(JSON.parse(cli('scan', 'i2c', path, '--json'))).toMatchObject({ bus: path, address: '0x50' });
  });

  it.each(['kernel', 'i2c-bus'])('registers of every width are pins, by %s', async (backend) => {
    const keys = [
      { register: 0, type: 'u32be' },
      { register: 0x12, type: 'u8' },
      { register: 0x12, type: 'u16be' },
      { register: 0x12, type: 'u16le' },
      { register: 0x14, bit: 7 },
    ];
    const pins = keys.map((one) => ({ keys: { address: 0x50, ...one, poll: '1h' }, direction: 'in' as const }));
    const held = await openPort(i2c, { bus: path, backend }, pins);
    const readings = await held.port.read(held.channels);
    const digital = (tools('w1@0x50', '0x14', 'r1')[0] ?? 0) >> 7 === 1;
    expect(readings.map((reading) => reading.ok && reading.value)).toEqual([0x00ffffff, 1, 0x0104, 0x0401, digital]);
    await held.port.close();
  });
});
