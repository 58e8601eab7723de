import { spawn } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { grid } from '../../src/cli/i2c-scan.ts';
import { Device } from '../serial/device.ts';
import { AgentProcess, cli, cliFile } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';

/** A monitor as a person runs it: what it shows, and what it says beside that. */
class Monitor {
  readonly child;
  shown = '';
  notes = '';

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [cliFile, 'serial', 'monitor', ...args], { stdio: 'pipe' });
    this.child.stdout.on('data', (bytes: Buffer) => {
      this.shown += bytes.toString();
    });
    this.child.stderr.on('data', (bytes: Buffer) => {
      this.notes += bytes.toString();
    });
  }

  async noted(text: string): Promise<void> {
    await until(`the note '${text}' in ${this.notes}`, () => this.notes.includes(text), 10_000);
  }

  async shows(text: string): Promise<void> {
    await until(`'${text}' in ${this.shown}`, () => this.shown.includes(text), 10_000);
  }

  type(text: string): void {
    this.child.stdin.write(`${text}\n`);
  }

  async stop(): Promise<number | null> {
    // It may have ended by the signal itself, when that came before it was listened to.
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const ended = new Promise<number | null>((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGINT');
    return ended;
  }
}

describe('dcs-io serial monitor', () => {
  let device: Device;
  let open: Monitor | undefined;
  beforeEach(async () => {
    device = new Device();
    await device.plug();
  });
  afterEach(async () => {
    await open?.stop();
    await device.remove();
  });
  const start = async (...args: string[]) => {
    open = new Monitor(device.path, ...args);
    await open.noted('is open');
    return open;
  };

  it('prints received lines, sends typed lines, and exits with 0 on Ctrl-C', async () => {
    const monitor = await start();
    device.say('first\r\nsecond\n');
    await monitor.shows('second\n');
    expect(monitor.shown).toBe('first\nsecond\n');
    monitor.type('READ');
    await until('the command', () => device.received.toString() === 'READ\r\n');
    expect(await monitor.stop()).toBe(0);
  });

  it('reconnects when the device is plugged in again, and sends nothing that was typed meanwhile', async () => {
    const monitor = await start('--end', 'lf');
    await device.unplug();
    await monitor.noted('is gone');
    monitor.type('too late');
    await monitor.noted('not sent');
    await device.plug();
    await until('it to be open again', () => monitor.notes.split('is open').length === 3, 10_000);
    monitor.type('now');
    await until('the command', () => device.received.length > 0);
    expect(device.received.toString()).toBe('now\n');
    device.say('back\n');
    await monitor.shows('back\n');
  });

  it('prints hexadecimal, times and JSON', async () => {
    const monitor = await start('--hex', '--time');
    device.say(Buffer.from([0x02, 0x4f, 0x4b, 0x03]));
    await monitor.shows('02 4f 4b 03');
    expect(monitor.shown).toMatch(/^\d\d:\d\d:\d\d\.\d{3} < 02 4f 4b 03 +\.OK\.\n$/);
    monitor.type('05 0x0D');
    await until('the bytes', () => device.received.equals(Buffer.from([0x05, 0x0d])));
    await monitor.shows('> 05 0d');
    monitor.type('5 xx');
    await monitor.noted('is not hexadecimal');
    await monitor.stop();
    const machine = await start('--json');
    device.say('21.5\n');
    await machine.shows('}\n');
    expect(JSON.parse(machine.shown)).toEqual({ time: expect.any(Number), way: 'in', data: '21.5' });
  });

  it('reports a wrong or missing port', async () => {
    expect(await cli(['serial', 'monitor', 'tcp://nowhere'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('tcp://host:port'),
    });
    open = new Monitor('/dev/tty-that-is-not-there');
    await open.noted('is not there');
  });
});

describe('dcs-io serial monitor through an agent', () => {
  const device = new Device();
  let agent: AgentProcess;
  let open: Monitor | undefined;
  beforeAll(async () => {
    await device.plug();
    agent = await AgentProcess.start(`ports: { scale: { driver: serial, path: '${device.path}' } }\n`);
  });
  afterEach(async () => void (await open?.stop()));
  afterAll(async () => {
    await agent?.stop();
    await device.remove();
  });

  it('passes lines both ways while the agent holds the port, and reports a missing device', async () => {
    open = new Monitor('scale', '--bus', agent.bus, '--time');
    await open.noted('attached to scale');
    device.say('21.5\n');
    await open.shows('< 21.5\n');
    open.type('READ');
    await until('the command', () => device.received.toString() === 'READ\r\n');
    await open.shows('> READ');
    await device.unplug();
    await until('the agent to notice', () => agent.log.includes('is gone'));
    open.type('late');
    await open.noted('not sent');
    device.forget();
    await device.plug();
    await until('the agent to have it again', () => agent.log.split('port scale is open').length === 3, 10_000);
    device.say('22.5\n');
    await open.shows('< 22.5\n');
    expect(device.received.length).toBe(0);
  });

  it('reports a busy port and how to join it', async () => {
    open = new Monitor(device.path);
    await open.noted('another program holds');
    await open.noted('to join it');
  });

  it('exits with 3 without an agent', async () => {
    expect(await cli(['serial', 'monitor', 'scale', '--bus', '127.0.0.1:1:2', '--timeout', '0.3'])).toMatchObject({
      code: 3,
    });
  });
});

describe('dcs-io serial list', () => {
  it('prints one line for each port of this machine', async () => {
    const { code, stdout } = await cli(['serial', 'list', '--json']);
    expect(code).toBe(0);
    const ports = stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
    expect(ports.every(({ path }) => /^\/dev\/tty/.test(path))).toBe(true);
  });
});

describe('dcs-io scan i2c', () => {
  it('exits with 1 and the next step for a missing bus', async () => {
    expect(await cli(['scan', 'i2c', '77'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('/dev/i2c-77 is not there'),
    });
    expect(await cli(['scan', 'i2c', 'one'])).toMatchObject({ code: 2 });
  });

  it('draws a grid of the usable addresses', () => {
    const rows = grid([
      { address: 0x08, state: 'used', guesses: [] },
      { address: 0x48, state: 'answers', guesses: [] },
      { address: 0x77, state: 'answers', guesses: [] },
    ]);
    expect(rows[0]).toBe('     0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f');
    expect(rows[1]).toBe(`00: ${' '.repeat(24)}UU -- -- -- -- -- -- --`);
    expect(rows[5]).toBe('40: -- -- -- -- -- -- -- -- 48 -- -- -- -- -- -- --');
    expect(rows[8]).toBe('70: -- -- -- -- -- -- -- 77');
  });
});
