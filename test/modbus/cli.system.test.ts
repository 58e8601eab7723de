import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { commonLineSettings } from '../../drivers/modbus/scan.ts';
import { cli, cliFile } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';
import { FaultySlave } from './faulty-slave.ts';
import { PtyPair } from './pty-pair.ts';
import { Pymodbus } from './pymodbus.ts';

describe('single requests from the command line', () => {
  const device = new Pymodbus('tcp');
  let port: string;
  beforeAll(async () => {
    await device.start();
    port = `tcp:127.0.0.1:${device.port}`;
  });
  afterAll(() => device.stop());

  it('read prints what pymodbus holds, in one request for many values', async () => {
    await device.set('holding', 10, 7, 8, 0x3fc0, 0);
    const plain = await cli(['modbus', 'read', '--port', port, 'holding', '10', '2']);
    expect(plain).toMatchObject({ code: 0, stdout: 'holding 10     7\nholding 11     8\n', stderr: '' });
    const float = await cli(['modbus', 'read', '--port', port, '--type', 'float32', '--json', 'holding', '12']);
    expect(JSON.parse(float.stdout)).toEqual({ unit: 1, table: 'holding', address: 12, value: 1.5 });
    await device.set('coil', 3, 1);
    expect((await cli(['modbus', 'read', '--port', port, 'coil', '2', '2'])).stdout).toBe(
      'coil 2      off\ncoil 3      on\n',
    );
  });

  it('write arrives at pymodbus, and prints what was read back', async () => {
    const word = await cli(['modbus', 'write', '--port', port, '--type', 'int16', 'holding', '20', '--', '-5']);
    expect(word).toMatchObject({ code: 0, stdout: 'holding 20  -5\n' });
    const coil = await cli(['modbus', 'write', '--port', port, 'coil', '5', 'on']);
    expect(coil).toMatchObject({ code: 0, stdout: 'coil 5  on\n' });
    expect([await device.get('holding', 20), await device.get('coil', 5)]).toEqual([[0xfffb], [1]]);
    const float = await cli(['modbus', 'write', '--port', port, '--type', 'float32', 'holding', '30', '7.3']);
    expect(float).toMatchObject({ code: 0, stdout: 'holding 30  7.300000190734863\n', stderr: '' });
  });

  it('raw sends any function and prints the reply, over TCP and on a line, where only silence ends it', async () => {
    await device.set('holding', 10, 7, 8);
    const tcp = await cli(['modbus', 'raw', '--port', port, '3', '00 0a 00 02']);
    expect(tcp).toMatchObject({ code: 0, stdout: '0400070008\n' });
    const cable = new PtyPair();
    await cable.plug();
    const onLine = new Pymodbus('rtu', cable.slave);
    await onLine.start();
    try {
      await onLine.set('holding', 10, 7, 8);
      const way = ['--port', `serial:${cable.master}`, '--line', '19200-8N1'];
      expect((await cli(['modbus', 'raw', ...way, '3', '000a0002'])).stdout).toBe('0400070008\n');
      expect((await cli(['modbus', 'raw', ...way, '3', 'ffff0002'])).stderr).toMatch(/exception 2/);
    } finally {
      await onLine.stop();
      await cable.remove();
    }
    expect(await cli(['modbus', 'raw', '--port', port, '3', '0'])).toMatchObject({ code: 2 });
  });

  it('a value that does not fit and an invalid port are wrong use and send nothing', async () => {
    const over = await cli(['modbus', 'write', '--port', port, 'holding', '20', '70000']);
    expect(over.code).toBe(1);
    expect(over.stderr).toMatch(/65535/);
    expect(await cli(['modbus', 'read', '--port', port, 'holding', '40011'])).toMatchObject({ code: 2 });
    expect(await cli(['modbus', 'read', '--port', 'elsewhere', 'holding', '1'])).toMatchObject({ code: 2 });
    expect(await device.get('holding', 20)).toEqual([0xfffb]);
  });
});

describe('a write of unknown outcome', () => {
  let slave: FaultySlave;
  beforeEach(() => {
    slave = new FaultySlave();
  });
  afterEach(() => slave.close());

  it('ends with 3 and says that the outcome is unknown', async () => {
    const port = `tcp:127.0.0.1:${await slave.listen()}`;
    slave.script = () => ({ do: 'rst' });
    const done = await cli(['modbus', 'write', '--port', port, 'holding', '20', '1']);
    expect(done.code).toBe(3);
    expect(done.stderr).toContain('whether it took effect is unknown');
  });

  it('a scan finds exactly the units that answer, also behind a gateway that answers for missing units', async () => {
    const port = `tcp:127.0.0.1:${await slave.listen()}`;
    slave.script = ({ unit, fn }) => {
      if (unit === 3) return fn === 43 ? { do: 'exception', code: 1 } : { do: 'answer' };
      if (unit === 7) return { do: 'exception', code: 2 };
      return unit === 5 ? { do: 'exception', code: 11 } : { do: 'silent' };
    };
    const done = await cli(['scan', 'modbus', '--port', port, '--units', '1-9', '--timeout', '50ms', '--json']);
    const found = done.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).unit);
    expect(found).toEqual([3, 7]);
    expect(done.code).toBe(0);
    expect(slave.seen.every(({ fn }) => fn === 3 || fn === 43)).toBe(true);
  });

  it('Ctrl-C ends a scan after the probe under way and prints the units found', async () => {
    const port = `tcp:127.0.0.1:${await slave.listen()}`;
    slave.script = ({ unit }) => (unit === 1 ? { do: 'exception', code: 2 } : { do: 'silent' });
    const child = spawn(process.execPath, [cliFile, 'scan', 'modbus', '--port', port, '--timeout', '300ms']);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
    await until('the scan', () => said.includes('unit 1') && slave.seen.length > 3);
    const asked = slave.seen.length;
    child.kill('SIGINT');
    await new Promise((resolve) => child.once('close', resolve));
    expect(child.exitCode).toBe(1);
    expect(said).toContain('1 unit found; the scan was stopped');
    expect(slave.seen.length - asked).toBeLessThanOrEqual(1);
  });
});

describe('a scan of a serial line', () => {
  it('finds pymodbus on a pty and names its settings and its identity', async () => {
    const cable = new PtyPair();
    await cable.plug();
    const device = new Pymodbus('rtu', cable.slave);
    await device.start();
    try {
      const args = ['--port', `serial:${cable.master}`, '--line', '19200-8N1', '--units', '1-2', '--timeout', '1'];
      const done = await cli(['scan', 'modbus', ...args, '--json']);
      const units = done.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(units[0]).toMatchObject({ unit: 1, line: '19200-8N1' });
      expect(units[0]).not.toHaveProperty('doubt');
    } finally {
      await device.stop();
      await cable.remove();
    }
  });

  it('tries the most common settings first, and only the requested baud rates', () => {
    expect(commonLineSettings()[0]).toEqual({ baud: 9600, dataBits: 8, parity: 'none', stopBits: 1 });
    expect(new Set(commonLineSettings([1200]).map(({ baud }) => baud))).toEqual(new Set([1200]));
    expect(commonLineSettings([1200]).length).toBe(4);
  });
});

describe('profiles', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-profiles-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('are listed and shown with the addresses on the wire, both shipped ones and the user’s own', async () => {
    mkdirSync(join(folder, 'modbus/acme'), { recursive: true });
    writeFileSync(
      join(folder, 'modbus/acme/valve.yaml'),
      'title: Acme valve\nsource: its manual\npins:\n  position: { holding: "40011", uom: "%" }\n',
    );
    const listed = await cli(['profiles', '--folder', folder]);
    expect(listed.stdout).toMatch(/^acme\/valve +modbus +Acme valve$/m);
    expect(listed.stdout).toMatch(/^eastron\/sdm120 +modbus +\S/m);
    const shown = await cli(['profiles', 'show', 'acme/valve', '--folder', folder]);
    expect(shown.stdout).toMatch(/^position +analog +in +u1\/holding\/10 +%$/m);
    expect((await cli(['profiles', 'show', 'eastron/sdm120'])).stdout).toMatch(
      /^voltage +analog +in +u1\/input\/0 +V +voltage$/m,
    );
    const missing = await cli(['profiles', 'show', 'eastron/sdm12']);
    expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean eastron/sdm120?') });
  });

  it('on a serial bus: check tells the load', async () => {
    const file = join(folder, 'load.yaml');
    const port = '{ driver: modbus, serial: /dev/ttyUSB0, line: 9600-8N1 }';
    writeFileSync(file, `ports: { bus: ${port} }\ndevices: { m: { port: bus, profile: eastron/sdm120 } }\n`);
    const done = await cli(['check', '-c', file, '--pins']);
    expect(done).toMatchObject({ code: 0, stdout: expect.stringMatching(/^bus: \d+ % of the bus; \d reads/m) });
    expect(done.stdout).toMatch(/^m\.total +analog +in +bus +u1\/input\/342$/m);
  });

  it('of the user are found by the configuration’s key profiles', async () => {
    const file = join(folder, 'dcs-io.yaml');
    const text =
      'ports: { plc: { driver: modbus, tcp: localhost } }\ndevices: { v: { port: plc, profile: acme/valve } }\n';
    writeFileSync(file, `profiles: .\n${text}`);
    expect(await cli(['check', '-c', file])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('right: 1 pin on 1 port'),
    });
    writeFileSync(file, `profiles: ./nowhere\n${text}`);
    const wrong = await cli(['check', '-c', file]);
    expect(wrong.code).toBe(2);
    expect(wrong.stdout).toMatch(/dcs-io\.yaml:1:11: error: profiles: there is no folder "\.\/nowhere"/);
  });
});
