import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modbusServer } from '../../drivers/modbus/server/serve.ts';
import { AgentProcess } from '../support/agent-process.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';
import { PtyPair } from './pty-pair.ts';
import { Pymodbus } from './pymodbus.ts';

const run = promisify(execFile);

/** A request that the client of pymodbus has no method for. */
const call = (module: string, request: string, unit = 0) => {
  const made = `__import__("pymodbus.${module}", fromlist=["x"]).${request}`;
  return `execute((lambda r: (setattr(r, "unit_id", ${unit}), r)[1])(${made}))`;
};

/** One transaction by pymodbus, as JSON: registers or bits, or the exception code. */
async function pymodbus(port: number, call: string): Promise<unknown> {
  const script = `
import json, sys
from pymodbus.client import ModbusTcpClient
c = ModbusTcpClient("127.0.0.1", port=${port}); assert c.connect()
r = c.${call}
print(json.dumps({"exception": r.exception_code} if r.isError() else getattr(r, "registers", None) or getattr(r, "bits", None) or "done"))`;
  return JSON.parse((await run('/usr/bin/python3', ['-c', script])).stdout);
}

describe('an agent as a Modbus slave', () => {
  let agent: AgentProcess;
  let port: number;
  const bus = new PtyPair();
  const plcLine = new PtyPair();
  const device = new Pymodbus('rtu', bus.slave);
  let gateway: number;

  beforeAll(async () => {
    await Promise.all([bus.plug(), plcLine.plug()]);
    await device.start();
    await device.set('holding', 10, 4711, 12);
    [port, gateway] = [await freePort(), await freePort()];
    agent = await AgentProcess.start(`
ports:
  sim: { driver: mock, faults: [{ channel: broken, kind: error, after: 0ms }] }
  rs485: { driver: modbus, serial: ${bus.master}, line: 19200-8N1, poll: 50ms, misses: 2 }
pins:
  lamp: { port: sim, channel: lamp, direction: out, initial: false, safe: false }
  door: { port: sim, channel: door }
  speed: { port: sim, channel: speed, type: analog, direction: out, range: [0, 50], initial: 12.5 }
  level: { port: sim, channel: level, type: analog, direction: out, initial: 21.5 }
  broken: { port: sim, channel: broken, type: analog }
  metered: { port: rs485, holding: 10 }
servers:
  scada:
    driver: modbus
    tcp: 127.0.0.1:${port}
    coils: { 0: lamp, 1: door }
    discrete: { 0: lamp }
    holding: { 10: speed, 12: { pin: level, type: int16, scale: 0.1 }, 13: lamp, 20: { pin: broken, type: int16 } }
    input: { 0: { pin: metered, type: uint16 } }
  plc: { driver: modbus, serial: ${plcLine.master}, line: 19200-8N1, unit: 7, holding: { 0: { pin: level, type: int16, scale: 0.1 } } }
  share: { driver: modbus, tcp: "127.0.0.1:${gateway}", gateway: rs485 }
`);
  });
  afterAll(async () => {
    await agent?.stop();
    await device.stop();
    await Promise.all([bus.remove(), plcLine.remove()]);
  });

  it('shows pins to pymodbus as coils, discrete inputs and registers, with type and scale', async () => {
    expect(await pymodbus(port, 'read_holding_registers(10, 4)')).toEqual([0x4148, 0, 215, 0]);
    await until('a value of the bus', async () => Array.isArray(await pymodbus(port, 'read_input_registers(0, 1)')));
    expect(await pymodbus(port, 'read_input_registers(0, 1)')).toEqual([4711]);
    expect(await pymodbus(port, 'read_coils(0, 2)')).toEqual([false, false, false, false, false, false, false, false]);
  });

  it('takes a write as a command on the bus, judged by mbpoll, and the pin has it', async () => {
    const mbpoll = (...args: string[]) => run('mbpoll', ['-m', 'tcp', '-p', String(port), '-0', '-1', ...args]);
    await mbpoll('-r', '0', '-t', '0', '127.0.0.1', '1');
    expect(await agent.report('lamp')).toMatchObject({ val: true });
    expect((await mbpoll('-r', '0', '-c', '1', '-t', '1', '127.0.0.1')).stdout).toMatch(/\[0\]:\s+1/);
    expect(await pymodbus(port, 'write_registers(10, [0x4220, 0, 333])')).toBe('done');
    expect(await agent.report('speed')).toMatchObject({ val: 40 });
    expect(await agent.report('level')).toMatchObject({ val: 33.3 });
    expect(await pymodbus(port, 'read_holding_registers(10, 3)')).toEqual([0x4220, 0, 333]);
  });

  it('takes bits of a register (22) and writing with reading (23), each as one command', async () => {
    expect(await pymodbus(port, 'write_register(12, 0x0112)')).toBe('done');
    const mask = 'MaskWriteRegisterRequest(address=12, and_mask=0xfff2, or_mask=0x0025)';
    expect(await pymodbus(port, call('register_write_message', mask))).toBe('done');
    expect(await agent.report('level')).toMatchObject({ val: 27.9 });
    const both =
      'ReadWriteMultipleRegistersRequest(read_address=12, read_count=1, write_address=12, write_registers=[333])';
    expect(await pymodbus(port, call('register_read_message', both))).toEqual([333]);
    expect(await agent.report('level')).toMatchObject({ val: 33.3 });
  });

  it('a pin that is bad is exception 4, and harms no other address', async () => {
    expect(await pymodbus(port, 'read_holding_registers(20, 1)')).toEqual({ exception: 4 });
    expect(await pymodbus(port, 'read_holding_registers(12, 1)')).toMatchObject([expect.any(Number)]);
  });

  it('refuses what the pin refuses: out of range is 3, an input is 2, a cut value or a hole is 2', async () => {
    expect(await pymodbus(port, 'write_registers(10, [0x42c8, 0])')).toEqual({ exception: 3 });
    expect(await pymodbus(port, 'write_coil(1, True)')).toEqual({ exception: 2 });
    expect(await pymodbus(port, 'write_register(10, 0)')).toEqual({ exception: 2 });
    expect(await pymodbus(port, 'read_holding_registers(11, 1)')).toEqual({ exception: 2 });
    expect(await pymodbus(port, 'read_holding_registers(14, 1)')).toEqual({ exception: 2 });
  });

  it('is a slave on a serial line for its own unit only', async () => {
    const mbpoll = (unit: string) =>
      run('mbpoll', [
        '-m',
        'rtu',
        '-b',
        '19200',
        '-P',
        'none',
        '-a',
        unit,
        '-0',
        '-1',
        '-r',
        '0',
        '-c',
        '1',
        plcLine.slave,
      ]);
    expect((await mbpoll('7')).stdout).toMatch(/\[0\]:\s+\d+/);
    await expect(mbpoll('8')).rejects.toThrow();
  });

  it('is a gateway: a TCP master reads and writes the device of a bus that the agent polls meanwhile', async () => {
    expect(await pymodbus(gateway, 'read_holding_registers(10, 2, slave=1)')).toEqual([4711, 12]);
    expect(await pymodbus(gateway, 'write_register(11, 99, slave=1)')).toBe('done');
    expect(await device.get('holding', 11)).toEqual([99]);
    // The functions that our own pins hardly need, from one foreign program to another.
    const mask = 'MaskWriteRegisterRequest(address=11, and_mask=0xfff0, or_mask=0x0005)';
    expect(await pymodbus(gateway, call('register_write_message', mask, 1))).toBe('done');
    expect(await device.get('holding', 11)).toEqual([(99 & 0xfff0) | 5]);
    const both =
      'ReadWriteMultipleRegistersRequest(read_address=10, read_count=2, write_address=11, write_registers=[7])';
    expect(await pymodbus(gateway, call('register_read_message', both, 1))).toEqual([4711, 7]);
    expect(await pymodbus(gateway, 'write_coils(20, [True, False, True], slave=1)')).toBe('done');
    expect(await device.get('coil', 20, 3)).toEqual([1, 0, 1]);
    expect(await agent.report('metered')).toMatchObject({ val: 4711, quality: 'good' });
    await device.stop();
    expect(await pymodbus(gateway, 'read_holding_registers(10, 2, slave=1)')).toMatchObject({
      exception: expect.any(Number),
    });
    // What the device no longer confirms is not shown any more.
    await until(
      'the pin to be bad',
      async () => (await agent.report('metered').catch(() => ({ quality: 'bad' }))).quality === 'bad',
    );
    expect(await pymodbus(port, 'read_input_registers(0, 1)')).toEqual({ exception: 4 });
  });
});

describe('the counters of a server', () => {
  it('are among the counters of the agent', async () => {
    const port = await freePort();
    const agent = await AgentProcess.start(`
pins: { lamp: { virtual: bool, initial: true } }
servers: { scada: { driver: modbus, tcp: 127.0.0.1:${port}, coils: { 0: lamp } } }
`);
    await pymodbus(port, 'read_coils(0, 1)');
    const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'));
    await new Promise((resolve) => socket.once('close', resolve));
    await agent.stop();
    expect(agent.log).toMatch(/"servers":\[\{"name":"scada","frames_corrupt":1\}\]/);
  });
});

describe('the configuration of a server', () => {
  const review = (keys: Record<string, unknown>) => {
    const parsed = modbusServer.options.safeParse({ tcp: '127.0.0.1:1502', ...keys });
    const facts = new Map([
      ['lamp', { kind: 'digital', direction: 'out' }],
      ['level', { kind: 'analog', direction: 'in' }],
    ] as const);
    return parsed.success ? modbusServer.review(parsed.data, facts) : parsed.error.issues.map(({ message }) => message);
  };

  it.each([
    [{ holding: { 0: 'level', 1: 'lamp' } }, /level and lamp share address 1/],
    [{ coils: { 0: 'level' } }, /level is analog; a coil is one bit/],
    [{ holding: { 0: { pin: 'level', type: 'string' } } }, /level is analog/],
    [{ holding: { 70000: 'level' } }, /beyond 65535/],
    [{ holding: { 0: 'level' }, gateway: 'rs485' }, /shows the devices behind it, no pins/],
    [{}, /nothing to show/],
    [{ tcp: '0.0.0.0:502', coils: { 0: 'lamp' } }, /every machine that reaches it/],
  ])('%j is refused', (keys, why) => {
    expect(review(keys).join('; ')).toMatch(why);
  });

  it('requires named clients when other machines can connect', () => {
    expect(review({ tcp: '0.0.0.0:502', clients: ['192.168.1.7'], coils: { 0: 'lamp' } })).toEqual([]);
  });
});
