import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFaultScript, createMemory, simulationSchema } from '../../drivers/modbus/simulator/simulation.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { cli, cliFile } from '../support/agent-process.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';

const folder = mkdtempSync(join(tmpdir(), 'dcs-io-simulate-'));
const pty = join(folder, 'tty');
let child: ChildProcess;
let tcp: string;

beforeAll(async () => {
  const port = await freePort();
  tcp = `tcp:127.0.0.1:${port}`;
  const file = join(folder, 'devices.yaml');
  writeFileSync(
    file,
    `tcp: 127.0.0.1:${port}
pty: ${pty}
line: 115200-8N1
units:
  1:
    - { holding: 10, type: float32, value: 12.5 }
    - { holding: 20, counter: { period: 10ms } }
    - { coil: 3, value: true }
  2:
    - { input: 0, value: 7 }
faults:
  - { kind: exception, code: 6, unit: 2, every: 2 }
`,
  );
  child = spawn(process.execPath, [cliFile, 'simulate', file], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout?.on('data', (text) => (said += text));
  await until('the simulator', () => said.includes('serial:'));
});
afterAll(() => {
  child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

describe('dcs-io simulate', () => {
  it('plays the devices of its file over TCP and on a pty of its own, both the same', async () => {
    for (const port of [tcp, `serial:${pty}`]) {
      const way = ['--port', port, ...(port === tcp ? [] : ['--line', '115200-8N1'])];
      const read = (...args: string[]) => cli(['modbus', 'read', ...way, ...args]);
      expect((await read('--type', 'float32', 'holding', '10')).stdout).toBe('holding 10     12.5\n');
      expect((await read('coil', '3')).stdout).toBe('coil 3      on\n');
      const [first, second] = [await read('--json', 'holding', '20'), await read('--json', 'holding', '20')];
      expect(JSON.parse(second.stdout).value).toBeGreaterThan(JSON.parse(first.stdout).value);
    }
    expect((await cli(['modbus', 'read', '--port', tcp, 'holding', '999'])).stderr).toMatch(/no such address/);
  });

  it('has the faults of its script', async () => {
    const read = () => cli(['modbus', 'read', '--port', tcp, '--unit', '2', 'input', '0']);
    const outcomes = [await read(), await read(), await read(), await read()];
    expect(outcomes.map(({ code }) => code)).toEqual([0, 1, 0, 1]);
    expect(outcomes[1]?.stderr).toMatch(/busy/);
  });

  it('removes its pty when it ends', async () => {
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('exit', resolve));
    expect(child.exitCode).toBe(0);
    expect(existsSync(pty)).toBe(false);
  });
});

describe('a file of simulated devices', () => {
  const parse = (more: object) => simulationSchema.parse({ tcp: '127.0.0.1:1502', units: {}, ...more });

  it('moves registers: sine, ramp, and one that follows another', async () => {
    const clock = new ManualClock();
    const memory = createMemory(
      parse({
        units: {
          1: [
            { holding: 0, type: 'int16', sine: { mean: 100, swing: 50, period: '4s' } },
            { holding: 1, ramp: { from: 0, to: 100, period: '10s' } },
            { holding: 2, value: 1000 },
            { holding: 3, follow: { holding: 2, period: '1s' } },
          ],
        },
      }),
      clock,
    );
    memory.get(1, 'holding', 3);
    await clock.advance(1000);
    expect(memory.get(1, 'holding', 0, 4)).toEqual([150, 10, 1000, 632]);
  });

  it('faults the given share of requests', () => {
    let at = 0;
    const script = createFaultScript(parse({ faults: [{ kind: 'silent', share: 0.25 }] }), () => (at++ % 100) / 100);
    const struck = Array.from({ length: 1000 }, () => script({ unit: 1, pdu: Buffer.alloc(5), size: 8 }, 0));
    expect(struck.filter((fault) => fault?.kind === 'silent').length).toBe(250);
  });
});
