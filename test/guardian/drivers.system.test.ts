import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModbusClient } from '../../drivers/modbus/client.ts';
import { modbus } from '../../drivers/modbus/driver.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { Device } from '../serial/device.ts';
import { AgentProcess, cliFile } from '../support/agent-process.ts';
import { freePort } from '../support/free-port.ts';
import { memoryLog } from '../support/ports.ts';
import { until } from '../support/wait.ts';

let folder = '';
let tcp = 0;
let simulator: ChildProcess;
let agent: AgentProcess;
let valve: Device;

/** The kernel's files, as far as a driver needs them. */
function put(path: string, text: string): void {
  const file = join(folder, 'sys', path);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, text);
}
const sys = (path: string) => readFileSync(join(folder, 'sys', path), 'utf8').trim();

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'dcs-io-wills-'));
  for (const name of ['period', 'duty_cycle', 'enable']) put(`class/pwm/pwmchip0/pwm0/${name}`, '0\n');
  put('class/pwm/pwmchip0/npwm', '1\n');
  put('class/leds/beacon/brightness', '0\n');
  put('class/leds/beacon/max_brightness', '255\n');
  tcp = await freePort();
  writeFileSync(
    join(folder, 'devices.yaml'),
    `tcp: 127.0.0.1:${tcp}
pty: ${join(folder, 'rs485')}
line: 115200-8N1
units:
  1: [{ coil: 3, value: false }, { holding: 10, type: float32, value: 0 }, { holding: 20, value: 0 }]
  2: [{ coil: 5, value: false }]
`,
  );
  simulator = spawn(process.execPath, [cliFile, 'simulate', 'devices.yaml'], { cwd: folder, stdio: 'pipe' });
  let said = '';
  simulator.stdout?.on('data', (text) => (said += text));
  await until('the simulator', () => said.includes('serial:'));
  valve = new Device();
  await valve.plug();
  agent = await AgentProcess.start(`guardian: 2s
ports:
  plc: { driver: modbus, tcp: 127.0.0.1:${tcp}, timeout: 200ms }
  rs485: { driver: modbus, serial: ${join(folder, 'rs485')}, line: 115200-8N1 }
  tty: { driver: serial, path: ${valve.path}, line: 115200-8N1, framing: { delimiter: "\\n" } }
  fan: { driver: pwm, chip: pwmchip0, root: ${join(folder, 'sys')} }
  light: { driver: sysfs, root: ${join(folder, 'sys')} }
  own: { driver: virtual }
pins:
  pump: { port: plc, coil: 3, direction: out, initial: true, safe: false }
  speed: { port: plc, holding: 10, type: float32, order: CDAB, scale: 0.1, direction: out, initial: 40, safe: 5 }
  flag: { port: plc, holding: 20, bit: 4, direction: out, initial: false, safe: true }
  ghost: { port: plc, unit: 9, coil: 0, direction: out, safe: false }
  heater: { port: rs485, unit: 2, coil: 5, direction: out, initial: true, safe: false }
  valve: { port: tty, write: { on: "OPEN\\n", off: "CLOSE\\n" }, type: bool, direction: out, initial: true, safe: false }
  fan: { port: fan, pwm: 0, frequency: 1000, scale: 100, direction: out, initial: 80, safe: 20 }
  beacon: { port: light, led: beacon, direction: out, initial: false, safe: true }
`);
  await until('the guardian', () => agent.log.includes('"guardian":'));
  expect(await outputs()).toEqual({ pump: 1, heater: 1, speed: 400, flag: 0, duty: '800000', beacon: '0' });
  // Once the guardian listens for the next agent, it has all crash plans and has loaded their libraries.
  await until('the guardian to be ready', () => readdirSync(agent.folder).some((name) => name.endsWith('.guard')));
});
afterEach(async () => {
  const guardian = Number([...agent.log.matchAll(/"guardian":(\d+)/g)].at(-1)?.[1]);
  await agent.stop('SIGKILL');
  simulator.kill('SIGKILL');
  await valve.remove();
  try {
    process.kill(guardian, 'SIGKILL');
  } catch (error) {
    // It has done its work and is gone.
    expect(error).toMatchObject({ code: 'ESRCH' });
  }
  rmSync(folder, { recursive: true, force: true });
});

async function outputs(): Promise<Record<string, unknown>> {
  const client = await ModbusClient.open(modbus.options.parse({ tcp: `127.0.0.1:${tcp}` }), systemClock, memoryLog());
  const read = (unit: number, table: 'coil' | 'holding', first: number, count = 1) =>
    client.transact({ kind: 'read', unit, table, first, count });
  try {
    const speed = await read(1, 'holding', 10, 2);
    return {
      pump: (await read(1, 'coil', 3))[0],
      heater: (await read(2, 'coil', 5))[0],
      // CDAB: the words the other way round.
      speed: Buffer.concat([speed.subarray(2), speed.subarray(0, 2)]).readFloatBE(),
      flag: (await read(1, 'holding', 20)).readUInt16BE(),
      duty: sys('class/pwm/pwmchip0/pwm0/duty_cycle'),
      beacon: sys('class/leds/beacon/brightness'),
    };
  } finally {
    await client.close();
  }
}
const SAFE = { pump: 0, heater: 0, speed: 50, flag: 16, duty: '200000', beacon: '255' };

describe('the guardian drives to the safe state', () => {
  it.each([
    ['killed', 'SIGKILL'],
    ['stopped', 'SIGSTOP'],
  ] as const)(
    'outputs over Modbus TCP and RTU, serial templates, kernel PWM and lights, when the agent is %s; a silent unit delays none of them',
    async (_, signal) => {
      valve.forget();
      agent.child.kill(signal);
      await until('the telegram', () => valve.received.toString() === 'CLOSE\n', 10_000);
      await until('all outputs', async () => JSON.stringify(await outputs()) === JSON.stringify(SAFE), 10_000);
      await until('the log line about the silent unit', () =>
        agent.log.includes('1 of 4 outputs could not be written'),
      );
    },
  );
});
