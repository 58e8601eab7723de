import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { ModbusClient } from '../../drivers/modbus/client.ts';
import { modbus } from '../../drivers/modbus/driver.ts';
import { Pty } from '../../drivers/modbus/simulator/pty.ts';
import { simulationSchema } from '../../drivers/modbus/simulator/simulation.ts';
import { type RunningSimulator, startSimulator } from '../../drivers/modbus/simulator/simulator.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { toDcsError } from '../../src/errors/errors.ts';
import { until } from '../support/wait.ts';
import { channelOf, silentLog } from './owner.ts';

const folder = mkdtempSync(join(tmpdir(), 'dcs-io-faults-'));
const pty = join(folder, 'tty');
afterAll(() => rmSync(folder, { recursive: true }));

let launched: RunningSimulator | undefined;
afterEach(async () => {
  await launched?.close();
  launched = undefined;
});

const counts = new Map<string, number>();

async function simulate(faults: object[]): Promise<{ tcp: string }> {
  counts.clear();
  const units = { 1: [{ holding: 10, value: 4711 }] };
  const parsed = simulationSchema.parse({ tcp: '127.0.0.1:1', pty, line: '115200-8N1', delay: '1ms', units, faults });
  const plan = { ...parsed, tcp: { host: '127.0.0.1', port: 0 } };
  launched = await startSimulator(plan, systemClock, (name) => counts.set(name, (counts.get(name) ?? 0) + 1));
  return { tcp: launched.places[0]?.slice('tcp:'.length) ?? '' };
}

/** What a read of the one register comes to: its value, or the code of the failure. */
async function ask(way: object): Promise<unknown> {
  const line = 'serial' in way ? { line: '115200-8N1' } : {};
  const options = modbus.options.parse({ ...line, timeout: '500ms', ...way });
  const client = await ModbusClient.open(options, systemClock, silentLog);
  try {
    const [found] = await client.read(channelOf({ holding: 10 }), 1, 1);
    return found?.value;
  } catch (error) {
    return toDcsError(error).code;
  } finally {
    await client.close();
  }
}

describe('the simulated device', () => {
  it.each([
    { kind: 'silent', tcp: 'TIMEOUT', line: 'TIMEOUT' },
    { kind: 'late', late: '2s', tcp: 'TIMEOUT', line: 'TIMEOUT' },
    { kind: 'wrong-checksum', tcp: 'BAD_REPLY', line: 'BAD_REPLY' },
    { kind: 'truncated', tcp: 'TIMEOUT', line: 'BAD_REPLY' },
    { kind: 'noise', tcp: 'BAD_REPLY', line: 4711 },
    { kind: 'echo', tcp: 'BAD_REPLY', line: 4711 },
    { kind: 'exception', code: 6, tcp: 'BUSY', line: 'BUSY' },
    { kind: 'wrong-unit', tcp: 'BAD_REPLY', line: 'TIMEOUT' },
    { kind: 'other-reply', tcp: 'BAD_REPLY', line: 'TIMEOUT' },
    // The read is sent once more over a new connection.
    { kind: 'break', tcp: 4711, line: 'PORT_DOWN' },
    { kind: 'unplug', tcp: 'PORT_DOWN', line: 'PORT_DOWN' },
  ])('does $kind on TCP and on its pty, and otherwise answers properly', async ({ tcp, line, ...fault }) => {
    const there = await simulate([{ ...fault, every: 2 }]);
    // Over the port first, then over the pty: each second request is struck.
    expect(await ask(there)).toBe(4711);
    expect(await ask(there)).toBe(tcp);
    if (fault.kind === 'unplug') await until('the device to be back', () => reachable(there));
    const outcomes = tcp === 4711 ? [line, 4711] : [4711, line];
    for (const outcome of outcomes) {
      await until('the line to be there', () => reachable({ serial: pty }));
      expect(await ask({ serial: pty })).toBe(outcome);
    }
    expect(counts.get(`requests, ${fault.kind}`)).toBe(2);
  });

  it('is gone while unplugged and comes back on the same port and under the same name', async () => {
    const there = await simulate([{ kind: 'unplug', away: '300ms', every: 3 }]);
    for (const way of [there, { serial: pty }]) {
      let [found, took]: [unknown, number] = [4711, 0];
      while (found === 4711) {
        const began = performance.now();
        found = await ask(way);
        took = performance.now() - began;
      }
      expect(found).toBe('PORT_DOWN');
      // At once, not after the device's time to answer.
      expect(took).toBeLessThan(400);
      await expect(ask(way)).rejects.toMatchObject({ code: 'PORT_DOWN' });
      await until('it to be back', () => reachable(way));
      expect(await ask(way)).toBe(4711);
    }
    expect(existsSync(pty)).toBe(true);
  });
});

describe('a line that hangs up with a request under way', () => {
  const path = join(folder, 'hangs-up');

  async function hangUp(): Promise<number> {
    let heard: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => {
      heard = resolve;
    });
    const line = await Pty.open(path, () => heard());
    const options = modbus.options.parse({ serial: path, timeout: '10s' });
    const client = await ModbusClient.open(options, systemClock, silentLog);
    const outcome = client.read(channelOf({ holding: 10 }), 1, 1).then(
      () => ({ code: 'done', at: performance.now() }),
      (error: unknown) => ({ code: toDcsError(error).code, at: performance.now() }),
    );
    await asked;
    const began = performance.now();
    line.close();
    const { code, at } = await outcome;
    expect(code).toBe('PORT_DOWN');
    await client.close();
    return at - began;
  }

  it('rejects the request within 50 ms, whatever the timeout', async () => {
    // Of three, so that a machine that is busy with something else for once is not taken for ours being slow.
    expect(Math.min(await hangUp(), await hangUp(), await hangUp())).toBeLessThan(50);
  });
});

async function reachable(way: object): Promise<boolean> {
  try {
    const client = await ModbusClient.open(modbus.options.parse(way), systemClock, silentLog);
    await client.close();
    return true;
  } catch (error) {
    if (toDcsError(error).code === 'PORT_DOWN') return false;
    throw error;
  }
}
