import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';
import { buildForGuest } from './support/guest-build.ts';

const CONFIG = `
node: rig
board: none
bus: { listen: 0.0.0.0, insecure: true }
state: ./kept
ports:
  sim: { driver: gpio, chip: rig }
pins:
  door: { port: sim, gpio: 0, direction: in }
  water: { port: sim, gpio: 1, count: rising, report: 500ms }
  flow: { port: sim, gpio: 1, measure: frequency, report: 500ms }
  wheel: { port: sim, gpio: 5, encoder: 6, report: 500ms }
  lamp: { port: sim, gpio: 3, direction: out, initial: false, safe: false }
`;
/** An emulated agent, perhaps beside other tests: nothing here is about speed. */
const PATIENCE_MS = 120_000;

function eventually<T>(what: string, probe: () => T | Promise<T>): Promise<NonNullable<T>> {
  return until(what, probe, PATIENCE_MS);
}

let share = '';
let build = '';
let bus = '';
let machine: ChildProcess;
let console = '';

/** Our own command on this host, talking to the agent in the guest. */
function dcsIo(...args: string[]): Promise<{ status: number; output: string }> {
  // A question is asked again; a command is not.
  const limit = args[0] === 'get' ? '5' : '30';
  const command = [join(build, 'src/cli/main.js'), ...args, '--bus', bus, '--timeout', limit];
  return new Promise((resolve) => {
    execFile(process.execPath, command, { timeout: 120_000 }, (error, stdout, stderr) => {
      resolve({ status: typeof error?.code === 'number' ? error.code : error ? -1 : 0, output: stdout + stderr });
    });
  });
}

const ask = (file: string) => writeFile(join(share, file), '');
const told = (file: string) => readFile(join(share, file), 'utf8').catch(() => '');
/** What the outside sees of the lamp, and what gpioinfo says of its line and the door's. */
const lampLevel = async () => (await told('state')).split('\n')[0];
const lineOf = (offset: number, gpioinfo: string) =>
  gpioinfo.split('\n').find((line) => new RegExp(`line +${offset}:`).test(line)) ?? '';
const lampLine = (gpioinfo: string) => lineOf(3, gpioinfo);
const doorLine = (gpioinfo: string) => lineOf(0, gpioinfo);
const said = async (pin: string, ...what: string[]) => {
  const { output } = await dcsIo('get', pin, '--json');
  return what.every((text) => output.includes(text));
};
const reachable = () => eventually('the agent to answer', async () => (await dcsIo('get', 'lamp')).status === 0);

beforeAll(async () => {
  share = await mkdtemp(join(tmpdir(), 'dcs-io-agent-'));
  build = await buildForGuest();
  await writeFile(join(share, 'dcs-io.yaml'), CONFIG);
  const [rx, tx] = [await freePort(), await freePort()];
  bus = `127.0.0.1:${rx}:${tx}`;
  const forwards = ['-f', `${rx}:5012`, '-f', `${tx}:5013`];
  const job = ['test/gpio/guest/agent.sh', build];
  machine = spawn('scripts/rig/run', ['-t', '500', '-s', share, ...forwards, '--', ...job]);
  for (const stream of [machine.stdout, machine.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      console += chunk.toString();
    });
  }
  await reachable().catch(async (error: unknown) => {
    throw new Error(`${error}\n${console}\n${await told('agent.log')}`);
  });
}, 300_000);

afterAll(async () => {
  await ask('stop');
  if (machine.exitCode === null) await eventually('the machine to end', () => machine.exitCode !== null);
  for (const folder of [share, build]) await rm(folder, { recursive: true, force: true });
}, 300_000);

describe('the agent on a real kernel, reached over the bus from another machine', { timeout: 300_000 }, () => {
  it('switches a line on command, and the answer is true', async () => {
    expect(await dcsIo('set', 'lamp', 'on')).toMatchObject({ status: 0 });
    await eventually('the level outside', async () => (await lampLevel()) === '1');
    expect(lampLine(await told('state'))).toMatch(/"dcs-io" +output/);
    expect(await dcsIo('set', 'lamp', 'off')).toMatchObject({ status: 0 });
    await eventually('the level outside', async () => (await lampLevel()) === '0');
  });

  it('ends a pulse although its sender has gone', async () => {
    const answer = await dcsIo('set', 'lamp', 'on', '--pulse', '1');
    expect(answer).toMatchObject({ status: 0, output: expect.stringContaining('lamp  on') });
    await eventually('the end of the pulse', () => said('lamp', '"val":false', '"quality":"good"'));
    await eventually('the level outside', async () => (await lampLevel()) === '0');
  });

  it('reports an input that changes', async () => {
    for (const [file, value] of [
      ['door-open', 'on'],
      ['door-close', 'off'],
    ] as const) {
      await ask(file);
      await eventually(`door ${value}`, async () => {
        const { output } = await dcsIo('get', 'door', '--json');
        return output.includes(`"val":${value === 'on'}`);
      });
    }
  });

  it('counts every edge, reports a rate of 0 at rest, and is set by a command', async () => {
    expect(await dcsIo('set', 'water', '1000')).toMatchObject({ status: 0 });
    await ask('pulses');
    await eventually('the count', () => said('water', '"val":1025', '"rate":0'));
    await ask('pulses');
    await eventually('the count', () => said('water', '"val":1050', '"quality":"good"'));
    await eventually('the frequency to end', () => said('flow', '"val":0', '"quality":"good"'));
  });

  it('follows an encoder, and lets its position be set', async () => {
    await ask('turn');
    await eventually('one full step', () => said('wheel', '"val":4'));
    expect(await dcsIo('set', 'wheel', '0')).toMatchObject({ status: 0 });
    expect(await said('wheel', '"val":0')).toBe(true);
  });

  it('recovers from kill -9 with an output on: the output stays held, inputs are free at once, all are requested again', async () => {
    await dcsIo('set', 'lamp', 'on');
    await eventually('the counts to be kept', async () =>
      (await told('kept/rig.counts.json')).includes('"water":1050'),
    );
    await ask('kill');
    await eventually('the kill', async () => (await told('after-kill')) !== '');
    expect(lampLine(await told('after-kill'))).toMatch(/"dcs-io" +output/);
    expect(doorLine(await told('after-kill'))).toMatch(/unused/);
    await reachable();
    await eventually('the count of before', () => said('water', '"val":1050', '"quality":"good"'));
    await eventually('its start value', async () => (await lampLevel()) === '0');
    expect(await dcsIo('set', 'lamp', 'on')).toMatchObject({ status: 0 });
    await eventually('the level outside', async () => (await lampLevel()) === '1');
  });

  it('reports that its chip is gone and refuses commands; when it is back, outputs are safe and counts go on', async () => {
    expect(await dcsIo('set', 'lamp', 'on')).toMatchObject({ status: 0 });
    await ask('unplug');
    await eventually('the door to be bad', () => said('door', '"quality":"bad"', 'PORT_DOWN'));
    expect(await dcsIo('set', 'lamp', 'off')).toMatchObject({ status: 1 });
    await ask('plug');
    await eventually('the door to be good', () => said('door', '"quality":"good"'));
    await eventually('the safe value', async () => (await lampLevel()) === '0');
    await eventually('the count of before', () => said('water', '"val":1050', '"quality":"good"'));
    expect(await dcsIo('set', 'lamp', 'on')).toMatchObject({ status: 0 });
    await eventually('the level outside', async () => (await lampLevel()) === '1');
  });

  it('ends with status 0 on SIGTERM; its outputs stay held, until dcs-io release', async () => {
    await ask('stop');
    await eventually('the end', async () => (await told('after-release')) !== '');
    expect((await told('agent-status')).trim()).toBe('0');
    expect(lampLine(await told('after-stop'))).toMatch(/"dcs-io" +output/);
    expect(doorLine(await told('after-stop'))).toMatch(/unused/);
    expect(lampLine(await told('after-release'))).toMatch(/unused/);
  });
});
