import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { i2c } from '../../drivers/i2c/driver.ts';
import { pwm } from '../../drivers/pwm/driver.ts';
import { checkAccess, checkInUse, checkPort } from '../../src/cli/doctor-checks.ts';
import { AgentProcess, cli } from '../support/agent-process.ts';
import { freePort } from '../support/free-port.ts';

const folder = mkdtempSync(join(tmpdir(), 'dcs-io-doctor-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('dcs-io doctor', () => {
  const found = (stdout: string) =>
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));

  it('finds nothing bad beside a running agent and exits with 0', async () => {
    const agent = await AgentProcess.start('board: mock\npins: { lamp: { gpio: GPIO17, direction: out } }\n');
    try {
      const { code, stdout } = await cli(['doctor', '--json'], { cwd: agent.folder });
      expect(code, stdout).toBe(0);
      expect(found(stdout)).toContainEqual({
        about: `bus at ${agent.bus}`,
        state: 'good',
        message: 'an agent answers',
      });
    } finally {
      await agent.stop();
    }
  }, 60_000);

  it('reports a missing device, a missing PWM chip, a readable key and an unreachable broker with advice, and exits with 1', async () => {
    const [rx, tx, gone] = [await freePort(), await freePort(), await freePort()];
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const open = typeof address === 'object' && address ? address.port : 0;
    const keys = join(folder, 'keys');
    mkdirSync(join(keys, 'allowed'), { recursive: true });
    writeFileSync(join(keys, 'allowed/panel'), 'nonsense\n');
    await cli(['keys', 'new', '--keys', keys]);
    const file = join(folder, 'ill.yaml');
    writeFileSync(
      file,
      `bus: { rx: ${rx}, tx: ${tx}, brokers: ["127.0.0.1:${gone}:1", "127.0.0.1:${open}:2"], security: { keys: ${keys} } }
ports: { scale: { driver: serial, path: /dev/ttyNONE9, line: 9600-8N1, framing: { delimiter: "\\n" } } }
board: raspberry-pi-4b
pins: { fan: { gpio: GPIO18, direction: out, pwm: 1000 } }\n`,
    );
    const ill = await cli(['doctor', '--json', '-c', file]);
    expect(ill.code, ill.stderr).toBe(1);
    const bad = found(ill.stdout).filter(({ state }) => state === 'bad');
    expect(bad.map(({ about }) => about)).toEqual([
      '/dev/ttyNONE9',
      'PWM chip fe20c000.pwm',
      'keys',
      `broker 127.0.0.1:${gone}`,
    ]);
    expect(bad.every(({ advice }) => typeof advice === 'string')).toBe(true);
    expect(found(ill.stdout)).toContainEqual({
      about: 'pins.fan, line 4',
      state: 'doubtful',
      message: 'output fan has no safe value: it stays as it is when things fail',
      advice: 'safe: the value that harms nobody',
    });
    expect(bad[2].message).toContain('panel');
    chmodSync(join(keys, 'node.key'), 0o644);
    const read = await cli(['doctor', '-c', file]);
    expect(read.stdout).toMatch(/BAD {2}keys: .*can be read by others/);
    server.close();
  }, 60_000);

  it('fails when the bus of --bus does not answer', async () => {
    const bus = `127.0.0.1:${await freePort()}:${await freePort()}`;
    const { code, stdout } = await cli(['doctor', '--bus', bus], { cwd: folder });
    expect(code).toBe(1);
    expect(stdout).toContain('dcs-io init');
    expect(stdout).toMatch(/BAD {2}bus at/);
  }, 60_000);
});

describe('a PWM chip', () => {
  it('is found by the name of its device, and its files must be writable', async () => {
    const root = mkdtempSync(join(tmpdir(), 'dcs-io-doctor-pwm-'));
    mkdirSync(join(root, 'class/pwm/pwmchip2'), { recursive: true });
    mkdirSync(join(root, 'devices/fe20c000.pwm'), { recursive: true });
    symlinkSync(join(root, 'devices/fe20c000.pwm'), join(root, 'class/pwm/pwmchip2/device'));
    writeFileSync(join(root, 'class/pwm/pwmchip2/export'), '');
    const about = join(root, 'class/pwm/pwmchip2/export');
    const check = (chip: string) => checkPort({ driver: pwm, options: { chip, root } });
    expect(await check('fe20c000.pwm')).toMatchObject([{ about, state: 'good' }]);
    expect(await check('fe20c800.pwm')).toMatchObject([
      { about: 'PWM chip fe20c800.pwm', state: 'bad', message: 'is not there', advice: pwm.access?.hint },
    ]);
    rmSync(root, { recursive: true });
  });
});

describe('a device', () => {
  const device = join(folder, 'tty');
  writeFileSync(device, '');
  const denied = (): never => {
    throw Object.assign(new Error('denied'), { code: 'EACCES' });
  };

  it('that this user may not open gets the group to join as advice', () => {
    chmodSync(device, 0o600);
    expect(checkAccess(device, undefined, denied)).toMatchObject({
      state: 'bad',
      advice: expect.stringContaining('udev rule'),
    });
    expect(checkAccess('/dev/null')).toMatchObject({ state: 'good' });
    expect(checkAccess('/dev/i2c-99', i2c.access?.hint).advice).toContain('raspi-config');
  });

  it('that a process has open is reported with the process', () => {
    expect(checkInUse(device, '')).toMatchObject({ state: 'good' });
    const handle = openSync(device, 'r');
    expect(checkInUse(device, '')).toMatchObject({
      state: 'doubtful',
      message: expect.stringContaining(`(${process.pid})`),
    });
    closeSync(handle);
    expect(checkInUse(device, '')).toMatchObject({ state: 'good' });
  });

  it("that is the kernel's console is bad", () => {
    expect(checkInUse('/dev/null', 'quiet console=null,115200 console=tty1')).toMatchObject({
      state: 'bad',
      message: 'is the console of the kernel',
    });
  });
});
