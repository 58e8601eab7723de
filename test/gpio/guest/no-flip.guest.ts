import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { gpio } from '../../../drivers/gpio/driver.ts';
import { openPort } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';
import { output } from './contract.ts';
import { gpiod, SimChip } from './sim-chip.ts';

/**
 * Relays on a chip with wires: each even line leads to the odd one after it, and gpiomon watches that. A line that is
 * nobody's goes to its pull, which is the other level: let go for a microsecond, it is an edge.
 */
const CONFIG = `
node: no-flip
board: none
state: state
guardian: 10s
ports:
  relays: { driver: gpio, chip: wired-relays }
pins:
  kept: { port: relays, gpio: 0, direction: out, initial: true, safe: hold }
  lamp: { port: relays, gpio: 2, direction: out, initial: true, safe: false }
  alarm: { port: relays, gpio: 4, direction: out, initial: true, safe: true }
  valve: { port: relays, gpio: 6, direction: out, initial: false, safe: false }
  left: { port: relays, gpio: 8, direction: out, safe: hold }
  last: { port: relays, gpio: 10, direction: out, initial: last, safe: hold }
`;
const RELAYS = { kept: 0, lamp: 2, alarm: 4, valve: 6, left: 8, last: 10 } as const;
/** Nothing leads to it but the test's hand. */
const MARKER = 13;
const LAMP = String(RELAYS.lamp + 1);
/** An emulated agent: nothing here is about speed. */
const PATIENCE_MS = 60_000;

interface Edge {
  readonly line: string;
  readonly high: boolean;
  /** On the clock of process.hrtime, in ms. */
  readonly at: number;
}

let chip: SimChip;
let monitor: ChildProcess;
let said = '';
let marker = false;
let folder = '';
let agent: ChildProcess;
let log = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'dcs-io-no-flip-'));
  writeFileSync(join(folder, 'dcs-io.yaml'), CONFIG);
  chip = new SimChip('wired-relays', 14);
  // A wire carries changes: its other end begins with the level of the line.
  for (const line of [RELAYS.valve, RELAYS.left]) for (const end of [line, line + 1]) chip.pull(end, true);
  const watched = [...Object.values(RELAYS).map((line) => line + 1), MARKER].map(String);
  // Line-buffered, for it is a pipe.
  monitor = spawn('stdbuf', ['-oL', 'gpiomon', '--format=%o %e %s.%n', chip.device, ...watched]);
  monitor.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await until('gpiomon to watch', () => gpiod('gpioinfo', chip.device).split('"gpiomon"').length === 8);
});
afterAll(async () => {
  monitor.kill();
  await until('gpiomon to end', () => monitor.exitCode !== null || monitor.signalCode !== null);
  chip.remove();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(log);
});

/** Everything gpiomon has seen since it was asked last. */
async function edges(): Promise<Edge[]> {
  // An edge made now is told after all that were before it.
  marker = !marker;
  chip.pull(MARKER, marker);
  const end = `${MARKER} ${marker ? 1 : 0}`;
  await until('gpiomon to tell the marker', () => said.includes(end) && said.endsWith('\n'));
  const found = said.trim().split('\n');
  said = '';
  return found.flatMap((line) => {
    const [offset = '', kind, at] = line.split(' ');
    return offset === String(MARKER) ? [] : [{ line: offset, high: kind === '1', at: Number(at) * 1000 }];
  });
}

async function seen(): Promise<string[]> {
  return (await edges()).map(({ line, high }) => `${line}=${high ? 1 : 0}`);
}

const cli = () => join(process.env['DCS_IO_GUEST_BUILD'] ?? '', 'src/cli/main.js');

async function start(): Promise<void> {
  log = '';
  const own = spawn(process.execPath, [cli(), 'run', '-c', join(folder, 'dcs-io.yaml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  own.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  agent = own;
  await until(
    'the agent to run, or its end',
    () => log.includes('is running with') || own.exitCode !== null,
    PATIENCE_MS,
  );
  expect(own.exitCode, log).toBe(null);
  await until('its guardian', () => log.includes('the guardian is ready'), PATIENCE_MS);
}
const guardianOf = () => Number([...log.matchAll(/"guardian":(\d+)/g)].at(-1)?.[1]);
const ended = () => until('its end', () => agent.exitCode !== null || agent.signalCode !== null, PATIENCE_MS);
const levels = () => Object.values(RELAYS).map((line) => chip.level(line));

const ON = [true, true, true, false, true, true];
const SAFE = [true, false, true, false, true, true];

describe('relays, watched by gpiomon over wires', { timeout: 180_000 }, () => {
  it('the watcher sees a line that is released for less than a millisecond', async () => {
    const first = await openPort(gpio, { chip: 'wired-relays' }, [output(0, true)]);
    await first.port.close();
    const again = await openPort(gpio, { chip: 'wired-relays' }, [output(0, true)]);
    await again.port.close();
    expect(await seen()).toEqual(['1=1', '1=0', '1=1', '1=0']);
  });

  it('switch once at the first start, to what is configured', async () => {
    await start();
    expect(levels()).toEqual([true, true, true, false, true, false]);
    // From now on it would go the other way.
    chip.pull(RELAYS.left, false);
    expect((await seen()).sort()).toEqual(['1=1', '3=1', '5=1', '7=0']);
  });

  it('switch at a command, and kept values are in the state file', async () => {
    execFileSync(process.execPath, [cli(), 'set', 'last', 'on', '--timeout', '30']);
    expect(levels()).toEqual(ON);
    expect(await seen()).toEqual(['11=1']);
    const file = join(folder, 'state', 'no-flip.outputs.json');
    await until('the state file', () => existsSync(file) && readFileSync(file, 'utf8').includes('"last":true'));
  });

  it('do not switch, but to a safe value, at a clean stop, while no agent runs, and at the next start', async () => {
    agent.kill('SIGTERM');
    await ended();
    expect(agent.exitCode).toBe(0);
    expect(levels()).toEqual(SAFE);
    expect(gpiod('gpioinfo', chip.device)).toMatch(/line +0: .*"dcs-io" +output/);
    expect(await seen()).toEqual([`${LAMP}=0`]);
    await start();
    expect(levels()).toEqual(ON);
    expect(await seen()).toEqual([`${LAMP}=1`]);
  });

  it('do not switch, but to a safe value, when the agent is killed and started again', async () => {
    const killed = Number(process.hrtime.bigint()) / 1e6;
    agent.kill('SIGKILL');
    await until('the safe value', () => !chip.level(RELAYS.lamp), PATIENCE_MS);
    const [safe, ...more] = await edges();
    expect(safe).toMatchObject({ line: LAMP, high: false });
    expect(more).toEqual([]);
    expect((safe?.at ?? 0) - killed).toBeGreaterThan(0);
    expect((safe?.at ?? 0) - killed).toBeLessThan(10_000);
    process.stdout.write(`safe ${((safe?.at ?? 0) - killed).toFixed(1)} ms after the kill\n`);
    await start();
    expect(levels()).toEqual(ON);
    expect(await seen()).toEqual([`${LAMP}=1`]);
  });

  it('do not switch when the guardian is killed, and its successor holds them', async () => {
    const first = guardianOf();
    log = '';
    process.kill(first, 'SIGKILL');
    await until('the next guardian', () => log.includes('the guardian is ready'), PATIENCE_MS);
    expect(guardianOf()).not.toBe(first);
    expect(await seen()).toEqual([]);
    agent.kill('SIGSTOP');
    await until('the safe value', () => !chip.level(RELAYS.lamp), PATIENCE_MS);
    await ended();
    expect(agent.signalCode).toBe('SIGKILL');
    expect(await seen()).toEqual([`${LAMP}=0`]);
    await start();
    expect(levels()).toEqual(ON);
    expect(await seen()).toEqual([`${LAMP}=1`]);
  });

  it('do not switch when other lines of the chip leave the configuration and come back, or keep their level from now on', async () => {
    const file = join(folder, 'dcs-io.yaml');
    const [marked = ''] = CONFIG.match(/ {2}valve.*\n/) ?? [];
    writeFileSync(file, CONFIG.replace(marked, '').replace('initial: true, safe: hold', 'safe: hold'));
    agent.kill('SIGTERM');
    await ended();
    expect(await seen()).toEqual([`${LAMP}=0`]);
    await start();
    expect(levels()).toEqual(ON);
    // The simulated chip keeps the level of a line that becomes an input.
    expect(gpiod('gpioinfo', chip.device)).toMatch(/line +6: .*"dcs-io" +input/);
    expect(await seen()).toEqual([`${LAMP}=1`]);
    writeFileSync(file, CONFIG);
    agent.kill('SIGTERM');
    await ended();
    await start();
    expect(levels()).toEqual(ON);
    expect(gpiod('gpioinfo', chip.device)).toMatch(/line +6: .*"dcs-io" +output/);
    expect(await seen()).toEqual([`${LAMP}=0`, `${LAMP}=1`]);
  });

  it('are released when their guardian is told to end', async () => {
    agent.kill('SIGTERM');
    await ended();
    process.kill(guardianOf(), 'SIGTERM');
    await until('the lines to be free', () => !gpiod('gpioinfo', chip.device).includes('"dcs-io"'), PATIENCE_MS);
    expect(levels()).toEqual([false, false, false, true, false, false]);
  });
});
