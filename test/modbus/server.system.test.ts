import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ascii, rtu } from '../../drivers/modbus/protocol/framing.ts';
import { AsciiRequestReader, ModbusLineServer, RtuRequestReader } from '../../drivers/modbus/server/line-server.ts';
import { respondTo } from '../../drivers/modbus/server/respond.ts';
import { ModbusTcpServer } from '../../drivers/modbus/server/tcp-server.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { lineTiming } from '../../drivers/modbus/transport/line-timing.ts';
import { openSerial } from '../../drivers/modbus/transport/serial-link.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { PtyPair } from './pty-pair.ts';

const run = promisify(execFile);
const client = (how: string, where: string) =>
  run('/usr/bin/python3', [join(import.meta.dirname, 'pymodbus-client.py'), how, where]);

const build = mkdtempSync(join(tmpdir(), 'dcs-io-libmodbus-'));
const libmodbus = (how: string, where: string) => run(join(build, 'client'), [how, where]);
beforeAll(async () => {
  const source = join(import.meta.dirname, 'libmodbus-client.c');
  await run('gcc', ['-o', join(build, 'client'), source, '-I/usr/include/modbus', '-lmodbus']);
});
afterAll(() => rmSync(build, { recursive: true }));

const counters = new Map<string, number>();
const count = (name: string, by = 1) => counters.set(name, (counters.get(name) ?? 0) + by);
let memory: SimulatedMemory;
const respond = async (unit: number, pdu: Buffer) => (unit === 3 ? respondTo(memory, unit, pdu) : undefined);

beforeEach(() => {
  counters.clear();
  memory = new SimulatedMemory(systemClock, { everywhere: false });
  for (const table of ['coil', 'discrete', 'holding', 'input'] as const)
    memory.put(3, table, 0, ...Array.from({ length: 2000 }, () => 0));
  memory.put(3, 'discrete', 0, 1, 0, 1);
  memory.put(3, 'input', 0, 111, 222);
});

describe('the Modbus TCP slave', () => {
  let server: ModbusTcpServer;
  let port: number;
  beforeEach(async () => {
    server = new ModbusTcpServer({ host: '127.0.0.1', port: 0, respond, maxClients: 4, count });
    port = await server.listen();
  });
  afterEach(() => server.close());

  it('satisfies pymodbus in functions 1 to 6, 15, 16, 22, 23 and 43/14', async () => {
    expect((await client('tcp', String(port))).stdout.trim()).toBe('ok');
  });

  it('satisfies libmodbus in functions 1 to 6, 15, 16, 22 and 23', async () => {
    expect((await libmodbus('tcp', String(port))).stdout.trim()).toBe('ok');
  });

  it('satisfies mbpoll', async () => {
    const mbpoll = (...args: string[]) =>
      run('mbpoll', ['-m', 'tcp', '-p', String(port), '-a', '3', '-0', '-1', ...args]);
    await mbpoll('-r', '20', '-t', '4', '127.0.0.1', '4711', '12');
    expect(memory.get(3, 'holding', 20, 2)).toEqual([4711, 12]);
    expect((await mbpoll('-r', '20', '-c', '2', '-t', '4', '127.0.0.1')).stdout).toMatch(
      /\[20\]:\s+4711\s+\[21\]:\s+12/,
    );
    await mbpoll('-r', '7', '-t', '0', '127.0.0.1', '1');
    expect(memory.get(3, 'coil', 7)).toEqual([1]);
  });

  it('disconnects a client that does not speak Modbus, and clients beyond its limit', async () => {
    const closed = (bytes?: Buffer) =>
      new Promise<boolean>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => {
          if (bytes) socket.write(bytes);
        });
        socket.on('error', () => resolve(true));
        socket.on('close', () => resolve(true));
      });
    expect(await closed(Buffer.from('GET / HTTP/1.1\r\n\r\n'))).toBe(true);
    expect(counters.get('frames_corrupt')).toBe(1);
    const held = Array.from({ length: 4 }, () => connect(port, '127.0.0.1'));
    await Promise.all(held.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    expect(await closed()).toBe(true);
    expect(counters.get('clients_refused')).toBe(1);
    for (const socket of held) socket.destroy();
  });
});

describe.each(['rtu', 'ascii'] as const)('the %s slave on a pty', (how) => {
  it('satisfies pymodbus and libmodbus in all functions, and is silent to other units', async () => {
    const cable = new PtyPair();
    await cable.plug();
    const line = { baud: 19_200, dataBits: 8, parity: 'none', stopBits: 1 } as const;
    const server = new ModbusLineServer({
      clock: systemClock,
      framing: how === 'rtu' ? rtu : ascii,
      reader: how === 'rtu' ? new RtuRequestReader() : new AsciiRequestReader(),
      timing: lineTiming(line),
      respond,
      count,
    });
    const settings = {
      path: cable.slave,
      line: () => line,
      first: line,
      rs485: 'off' as const,
      warn: () => undefined,
    };
    await server.start(
      async (events) => {
        const opened = await openSerial(settings, systemClock, events);
        if (typeof opened === 'string') throw new Error(opened);
        return opened;
      },
      () => undefined,
    );
    try {
      expect((await client(how, cable.master)).stdout.trim()).toBe('ok');
      for (const table of ['coil', 'holding'] as const)
        memory.put(3, table, 0, ...Array.from({ length: 200 }, () => 0));
      if (how === 'rtu') expect((await libmodbus(how, cable.master)).stdout.trim()).toBe('ok');
    } finally {
      await server.close();
      await cable.remove();
    }
  });
});
