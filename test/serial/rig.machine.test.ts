import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { rtu } from '../../drivers/modbus/protocol/framing.ts';
import { RtuRequestReader } from '../../drivers/modbus/server/line-server.ts';
import { respondTo } from '../../drivers/modbus/server/respond.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { until } from '../support/wait.ts';

const LIMIT_S = 400;
const reportSchema = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      message: z.string().optional(),
      assertionResults: z.array(
        z.object({
          ancestorTitles: z.array(z.string()),
          title: z.string(),
          status: z.string(),
          failureMessages: z.array(z.string()).nullish(),
        }),
      ),
    }),
  ),
});

/** The far end of a serial line of the virtual machine: answers every line, and as unit 1 every Modbus request. */
function device(path: string): Socket {
  const socket = connect(path);
  let held = '';
  const registers = new SimulatedMemory(systemClock);
  registers.put(1, 'holding', 5, 4711);
  const requests = new RtuRequestReader();
  socket.on('data', (bytes) => {
    let modbus = false;
    requests.push(bytes, ({ unit, pdu }) => {
      modbus = true;
      held = '';
      void respondTo(registers, unit, pdu).then((reply) => socket.write(rtu.encode(unit, reply)));
    });
    if (modbus) return;
    const lines = (held + bytes.toString('latin1')).split('\n');
    held = lines.pop() ?? '';
    for (const line of lines) socket.write(`you said ${line}\n`);
  });
  socket.on('error', () => undefined);
  return socket;
}

/** QEMU's control socket: one command at a time. */
function monitor(path: string) {
  const socket = connect(path);
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes.toString();
  });
  socket.on('error', () => undefined);
  const command = async (execute: string, args: object = {}) => {
    text = '';
    socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    await until(`QEMU to ${execute}`, () => /"(return|error)"/.test(text));
    if (text.includes('"error"')) throw new Error(text);
  };
  return { command, end: () => socket.destroy() };
}

const ADAPTER = {
  driver: 'usb-serial',
  chardev: 'usb',
  id: 'adapter',
  bus: 'xhci.0',
  serial: 'RIG1',
  'always-plugged': true,
};

async function runGuest() {
  const share = await mkdtemp(join(tmpdir(), 'dcs-io-rig-serial-'));
  const at = (name: string) => join(share, name);
  const socket = (id: string) => `socket,id=${id},path=${at(id)},server=on,wait=off`;
  const adapter = Object.entries(ADAPTER).flatMap(([key, value]) =>
    key === 'driver' ? [] : [`${key}=${value === true ? 'on' : value}`],
  );
  const qemu = [
    ...['-chardev', socket('uart'), '-serial', 'chardev:uart', '-chardev', socket('usb')],
    ...['-device', 'qemu-xhci,id=xhci', '-device', [ADAPTER.driver, ...adapter].join(',')],
    // A graphics card: its monitor's data chip is on an I2C bus of the kernel that is no SMBus.
    ...['-device', 'ati-vga,model=rv100'],
    ...['-qmp', `unix:${at('qmp')},server=on,wait=off`],
  ];
  const vitest = ['npx', 'vitest', 'run', '--config', 'test/serial/guest/vitest.config.ts'];
  const reporters = ['--reporter=json', '--outputFile=/run/share/report.json'];
  const child = spawn(
    'scripts/rig/run',
    [
      ...['-t', String(LIMIT_S), '-s', share, ...qemu.flatMap((word) => ['-q', word])],
      ...['--', ...vitest, ...reporters],
    ],
    { detached: true },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  let ended = false;
  const status = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      ended = true;
      resolve(code);
    });
  });
  try {
    await serve(at, share, () => ended).catch((error: unknown) => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      output += String(error);
    });
    const code = await status;
    const text = await readFile(at('report.json'), 'utf8').catch(() => undefined);
    return { report: text === undefined ? undefined : reportSchema.parse(JSON.parse(text)), status: code, output };
  } finally {
    await rm(share, { recursive: true, force: true });
  }
}

/** Plays the person beside the machine until it has ended. */
async function serve(at: (name: string) => string, share: string, ended: () => boolean): Promise<void> {
  while (!existsSync(at('qmp'))) {
    if (ended()) return;
    await pause(50);
  }
  const uart = device(at('uart'));
  let usb = device(at('usb'));
  let plugged = 0;
  const qemu = monitor(at('qmp'));
  await qemu.command('qmp_capabilities');
  while (!ended()) {
    for (const name of readdirSync(share).filter((one) => /^want-\d+$/.test(one))) {
      const what = readFileSync(at(name), 'utf8');
      if (what === '') continue;
      if (what === 'unplug') await qemu.command('device_del', { id: ADAPTER.id });
      if (what === 'plug') {
        // The old far end stays taken for a while after its adapter has gone.
        const chardev = `usb${++plugged}`;
        const addr = { type: 'unix', data: { path: at(chardev) } };
        await qemu.command('chardev-add', {
          id: chardev,
          backend: { type: 'socket', data: { addr, server: true, wait: false } },
        });
        await qemu.command('device_add', { ...ADAPTER, chardev });
        usb.destroy();
        usb = device(at(chardev));
      }
      if (what === 'break') {
        uart.write('W1');
        await pause(500);
        await qemu.command('chardev-send-break', { id: 'uart' });
        await pause(500);
        uart.write('2.5\nW7.0\n');
      }
      await rm(at(name));
      writeFileSync(at(`${name}.done`), '');
    }
    await pause(20);
  }
  for (const socket of [uart, usb]) socket.destroy();
  qemu.end();
}

// While tests are being collected: each test of the guest becomes one here.
const { report, status, output } = await runGuest();

describe('serial, Modbus and I2C on a real kernel, in the rig', () => {
  it('boots and runs every guest test to its end', () => {
    expect(report, `status ${status}\n${output.slice(-4000)}`).toBeDefined();
    const broken = report?.testResults.filter(({ assertionResults }) => assertionResults.length === 0);
    expect(broken?.map(({ name, message }) => `${name}: ${message}`)).toEqual([]);
  });

  for (const { assertionResults } of report?.testResults ?? []) {
    for (const { ancestorTitles, title, status: came, failureMessages } of assertionResults) {
      it([...ancestorTitles, title].join(' › '), () => {
        if (came !== 'passed') throw new Error(failureMessages?.join('\n') ?? `the guest says ${came}`);
      });
    }
  }
});
