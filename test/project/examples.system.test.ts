import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Lab } from '../mesh/support/lab.ts';
import { cli, cliFile, LineReader, root, runToEnd } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';

const lab = new Lab();
const running: LineReader[] = [];
let machine = '';

afterEach(async () => {
  // An agent that is killed leaves its outputs to its guardian, which then talks on for a while.
  for (const each of running.splice(0).reverse()) await each.stop('SIGTERM');
  lab.close();
});

/** Starts a program of the checkout in a network of its own, where the usual ports of the bus are free. */
function start(program: string, ...args: string[]): LineReader {
  if (running.length === 0) machine = lab.machine('a');
  const reader = new LineReader('ip', ['netns', 'exec', machine, program, ...args], { ...process.env, CI: 'true' });
  running.push(reader);
  return reader;
}

const example = (name: string) => join(root, 'examples', name);

async function agent(...args: string[]): Promise<LineReader> {
  const started = start(process.execPath, cliFile, 'run', '--log-level', 'warn', ...args);
  await until('the agent to answer', async () => (await dcsIo('pins')).code === 0, 20_000);
  return started;
}

function dcsIo(...args: string[]) {
  return runToEnd('ip', ['netns', 'exec', machine, process.execPath, cliFile, ...args]);
}

async function value(pin: string): Promise<unknown> {
  const { stdout } = await dcsIo('get', pin, '--json');
  return stdout === '' ? undefined : JSON.parse(stdout).val;
}

describe('every configuration in examples/', () => {
  const files = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' });
  const configurations = files.filter((file) => file.endsWith('.yaml') && !file.endsWith('simulated.yaml'));

  it.each(configurations)('%s is right', async (file) => {
    const { code, stdout, stderr } = await cli(['check', '-c', example(file)]);
    expect(stderr + stdout).toContain('right:');
    expect(code).toBe(0);
  });
});

describe('the example', () => {
  it('blink blinks', async () => {
    await agent('--mock', '-c', example('blink/dcs-io.yaml'));
    const watch = start(process.execPath, cliFile, 'watch', 'green-led', '--json');
    await watch.line('"val":true', 10_000);
    await watch.line('"val":false', 10_000);
    await watch.line('"val":true', 10_000);
  }, 60_000);

  it('button-to-led: a lamp of one node is what the button of another is, and off when that one is gone', async () => {
    const desk = await agent('--mock', '-c', example('button-to-led/button.yaml'));
    await agent('--mock', '-c', example('button-to-led/lamp.yaml'));
    // The simulated button is not pressed: the line is high, and invert makes that false.
    await until('the lamp', async () => (await value('lamp')) === (await value('button')), 10_000);
    const { code } = await dcsIo('set', 'lamp', 'on');
    expect(code).toBe(0);
    await desk.stop();
    await until('the lamp to be off', async () => (await value('lamp')) === false, 10_000);
    const { code: refused, stderr } = await dcsIo('set', 'lamp', 'on');
    expect(refused).toBe(1);
    expect(stderr).toContain('desk is not there');
  }, 90_000);

  it('meter gives the values of a meter on a line, with units', async () => {
    // One that was killed leaves its name behind.
    rmSync('/tmp/dcs-io-meter', { force: true });
    start(process.execPath, cliFile, 'simulate', example('meter/simulated.yaml'));
    await until('the line', () => existsSync('/tmp/dcs-io-meter'), 20_000);
    await agent('-c', example('meter/dcs-io.yaml'));
    await until('the power', async () => (await value('meter.power')) === 570, 20_000);
    const { stdout } = await dcsIo('get', 'meter.voltage');
    expect(stdout).toMatch(/meter\.voltage +2[23]\d/);
    expect((await dcsIo('pins')).stdout).toMatch(/meter\.power\s+570 W/);
  }, 90_000);

  it('plc-bridge: what is commanded arrives in the PLC, and the rule is kept', async () => {
    start(process.execPath, cliFile, 'simulate', example('plc-bridge/simulated.yaml'));
    await agent('-c', example('plc-bridge/dcs-io.yaml'));
    await until('the tank', async () => (await value('tank-wet')) === true, 20_000);
    expect((await dcsIo('set', 'pump', 'on')).code).toBe(0);
    expect((await dcsIo('set', 'pump-speed', '30')).code).toBe(0);
    const plc = ['--port', 'tcp:127.0.0.1:15020', '--unit', '1'];
    expect(await dcsIo('modbus', 'read', ...plc, 'holding', '12')).toMatchObject({
      stdout: expect.stringContaining('30'),
    });
    const tooFast = await dcsIo('set', 'pump-speed', '60');
    expect(tooFast.code).toBe(1);
    expect(tooFast.stderr).toContain('50');
    expect((await dcsIo('modbus', 'write', ...plc, 'coil', '1', '0')).code).toBe(0);
    await until('the pump to stop in a dry tank', async () => (await value('pump')) === false, 10_000);
    const dry = await dcsIo('set', 'pump', 'on');
    expect(dry.code).toBe(1);
    expect(dry.stderr).toContain('tank-wet');
  }, 90_000);

  it('scale gives the weight that is on it', async () => {
    start('/usr/bin/python3', example('scale/simulated.py'), '/tmp/dcs-io-scale');
    await until('the line', () => existsSync('/tmp/dcs-io-scale'), 20_000);
    await agent('-c', example('scale/dcs-io.yaml'));
    await until('a weight', async () => Number(await value('scale.weight')) > 12, 20_000);
    expect(await value('scale.stable')).toBe(true);
  }, 90_000);
});
