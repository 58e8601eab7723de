import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRoutable, ownAddresses } from '../../src/mesh/transport/addresses.ts';
import { AgentProcess, cli, cliFile, LineReader } from '../support/agent-process.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';

describe('client commands against a running agent', () => {
  let agent: AgentProcess;

  beforeAll(async () => {
    agent = await AgentProcess.start(`
board: mock
ports:
  sim: { driver: mock, faults: [{ channel: broken, kind: error, after: 0ms }] }
pins:
  green-led: { gpio: GPIO17, direction: out, initial: false, safe: false }
  door: { gpio: GPIO27 }
  speed: { port: sim, channel: speed, type: analog, direction: out, range: [0, 50], safe: 0, uom: Hz }
  name: { port: sim, channel: name, type: text, direction: out, initial: '', safe: '' }
  broken: { port: sim, channel: broken }
`);
  });
  afterAll(async () => {
    await agent?.stop();
  });

  it('set prints the confirmation of the pin, and watch shows its report', async () => {
    const watch = new LineReader(process.execPath, [cliFile, 'watch', '--json', '--bus', agent.bus, 'green-*']);
    await watch.line('"green-led"');
    const done = await agent.cli('set', 'green-led', 'on');
    expect(done).toMatchObject({ code: 0, stdout: 'green-led  on\n', stderr: '' });
    const report = await until('the report', () => {
      const seen = watch.lines.map((line) => JSON.parse(line));
      return seen.find(({ val, reply_to }) => val === true && reply_to !== undefined);
    });
    expect(report).toMatchObject({ subject: 'IoMessage', quality: 'good', last_change: expect.any(Number) });
    expect(watch.lines.some((line) => JSON.parse(line).last_change === undefined)).toBe(true);
    await watch.stop('SIGTERM');
    expect(watch.child.exitCode).toBe(0);
    expect(watch.lines.filter((line) => !line.includes('green-led'))).toEqual([]);
    expect(await agent.report('green-led')).toMatchObject({ val: true });
  });

  it('set makes a pulse, a lease or a blinking output, but only one of them', async () => {
    const watch = new LineReader(process.execPath, [cliFile, 'watch', '--json', '--bus', agent.bus, 'green-led']);
    await watch.line('"green-led"');
    const levels = () => {
      const seen = watch.lines.map((line) => JSON.parse(line)).filter(({ last_change }) => last_change !== undefined);
      return seen.map(({ val }) => val).filter((val, at, all) => val !== all[at - 1]);
    };
    expect(await agent.cli('set', 'green-led', 'off')).toMatchObject({ code: 0 });
    for (const way of ['--pulse', '--hold']) {
      const before = levels().length;
      expect(await agent.cli('set', 'green-led', 'on', way, '0.05')).toMatchObject({ code: 0 });
      await until(`on and off again after ${way}`, () => levels().length === before + 2);
      expect(levels().at(-1)).toBe(false);
    }
    const before = levels().length;
    expect(await agent.cli('set', 'green-led', 'on', '--blink', '0.05,0.1')).toMatchObject({ code: 0 });
    await until('three times on', () => levels().length >= before + 5);
    expect(await agent.cli('set', 'green-led', 'off')).toMatchObject({ code: 0 });
    expect(await agent.report('green-led')).toMatchObject({ val: false });
    expect(await agent.cli('set', 'green-led', 'on', '--pulse', '1', '--blink', '1')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('not more than one'),
    });
    await watch.stop('SIGTERM');
  });

  it('a refused set exits with 1 and the reason, and changes nothing', async () => {
    await agent.cli('set', 'green-led', 'off');
    const refused = await agent.cli('set', 'green-led', 'banana');
    expect(refused.code).toBe(1);
    expect(refused.stdout).toBe('');
    expect(refused.stderr).toContain('green-led is digital and cannot be "banana"');
    expect(await agent.report('green-led')).toMatchObject({ val: false });
    expect(await agent.cli('set', 'door', 'on')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('an input'),
    });
    expect(await agent.cli('set', 'speed', '51')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('0 to 50'),
    });
  });

  it('a text pin gets the typed text unchanged', async () => {
    await agent.cli('set', 'name', '007');
    expect(await agent.report('name')).toMatchObject({ val: '007' });
    await agent.cli('set', 'name', 'on');
    expect(await agent.report('name')).toMatchObject({ val: 'on' });
  });

  it('get prints a bad value, but fails', async () => {
    const bad = await agent.cli('get', 'broken');
    expect(bad.code).toBe(1);
    expect(bad.stderr).toContain('fails, as the fault script says');
  });

  it('pins lists every pin with value, quality and node', async () => {
    const listed = await agent.cli('pins', '--json');
    const rows = listed.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows.map(({ pin_name }) => pin_name)).toEqual(['broken', 'door', 'green-led', 'name', 'speed']);
    expect(rows.find(({ pin_name }) => pin_name === 'speed')).toMatchObject({
      kind: 'analog',
      uom: 'Hz',
      node: 'tested',
    });
    const table = (await agent.cli('pins')).stdout.split('\n');
    expect(table[0]).toMatch(/^PIN +VALUE +QUALITY/);
    expect(table).toHaveLength(7);
  });

  it('a misspelt pin exits with 3 and the closest name', async () => {
    const { code, stderr } = await agent.cli('set', 'gren-led', 'on');
    expect(code).toBe(3);
    expect(stderr).toContain("did you mean 'green-led'?");
  });
});

describe('the configuration that -c names to a client command', () => {
  const env = { ...process.env, DCS_IO_BUS: '127.0.0.1:1:2' };

  it('gives the address and ports of the bus; it overrides $DCS_IO_BUS, and --bus overrides it', async () => {
    const agent = await AgentProcess.start('pins: { lamp: { virtual: bool, direction: out } }\n');
    const file = join(agent.folder, 'dcs-io.yaml');
    try {
      expect(await cli(['set', 'lamp', 'on', '-c', file], { env })).toMatchObject({ code: 0, stdout: 'lamp  on\n' });
      expect(await cli(['get', 'lamp', '-c', file], { env })).toMatchObject({ code: 0, stdout: 'lamp  on\n' });
      const other = ['get', 'lamp', '-c', file, '--bus', '127.0.0.1:1:2', '--timeout', '0.3'];
      expect(await cli(other, { env })).toMatchObject({ code: 3, stderr: expect.stringContaining('127.0.0.1:1:2') });
    } finally {
      await agent.stop();
    }
  });

  it('gives the keys for an encrypted connection to a secured node, which refuses a key that is not allowed', async () => {
    const host = ownAddresses().find(isRoutable);
    if (host === undefined) throw new Error('this machine has no network address');
    const folder = mkdtempSync(join(tmpdir(), 'dcs-io-secured-'));
    const [rx, tx] = [await freePort(), await freePort()];
    const config = (name: string, bus: string) => {
      const file = join(folder, name, 'dcs-io.yaml');
      mkdirSync(join(folder, name));
      const security = `security: { keys: ${join(folder, name, 'keys')} }`;
      writeFileSync(
        file,
        `node: ${name}\nguardian: off\nbus: { ${bus}, ${security} }\npins: { ${name}-lamp: { virtual: bool, direction: out } }\n`,
      );
      return file;
    };
    const node = config('node', `listen: ${host}, rx: ${rx}, tx: ${tx}`);
    const operator = config('operator', `rx: ${await freePort()}, tx: ${await freePort()}`);
    const keysOf = async (file: string) => (await cli(['keys', 'new', '-c', file])).stdout.trim();
    const [nodeKey, operatorKey] = [await keysOf(node), await keysOf(operator)];
    await cli(['keys', 'allow', 'node', nodeKey, '-c', operator]);
    const agent = await AgentProcess.launch(join(folder, 'node'), `${host}:${rx}:${tx}`);
    const set = (file: string) =>
      cli(['set', 'node-lamp', 'on', '-c', file, '--bus', agent.bus, '--timeout', '3'], { env });
    try {
      expect(await set(operator)).toMatchObject({
        code: 1,
        stderr: expect.stringContaining("does not allow this client's key"),
      });
      await cli(['keys', 'allow', 'operator', operatorKey, '-c', node]);
      const done = await until('the key to be allowed', async () =>
        [await set(operator)].find(({ code }) => code === 0),
      );
      expect(done.stdout).toBe('node-lamp  on\n');
      // The node's own configuration, on the node's machine: its own key.
      expect(await cli(['get', 'node-lamp', '-c', node], { env })).toMatchObject({
        code: 0,
        stdout: 'node-lamp  on\n',
      });
    } finally {
      await agent.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('client commands without an agent', () => {
  it('exit with 3 and the address that does not answer', async () => {
    const bus = `127.0.0.1:${await freePort()}:${await freePort()}`;
    for (const args of [['get', 'x'], ['set', 'x', 'on'], ['pins']]) {
      const { code, stderr } = await cli([...args, '--bus', bus, '--timeout', '0.3']);
      expect(code).toBe(3);
      expect(stderr).toContain(bus);
    }
  });

  it.each([
    [['set', 'only-a-pin']],
    [['nonsense']],
    [['set', 'x', 'on', '--blink', '0.1,0']],
    [['override', 'x', 'on']],
    [['override', 'x', 'on', '--for', '10']],
    [['override', 'x', 'on', '--for', '10m', '--end']],
    [['get', 'x', '--bus', 'here']],
    [['get', 'x', '--timeout', 'soon']],
    [['run', '-c', '/nowhere.yaml']],
    [['check', '-c', '/nowhere.yaml']],
    [['run', '--log-level', 'loud']],
  ])('%j is wrong use: exit 2 and a reason', async (args) => {
    const { code, stdout, stderr } = await cli(args);
    expect(code).toBe(2);
    expect(stdout + stderr).not.toMatch(/^\s+at /m);
    expect((stdout + stderr).trim()).not.toBe('');
  });

  it('output in a pipe has no colour, also in a CI job', async () => {
    const { stdout } = await cli(['boards'], { env: { ...process.env, CI: 'true' } });
    expect(stdout).not.toContain(String.fromCharCode(27));
  });

  it('boards, schema, --help and --version need no bus', async () => {
    for (const args of [['boards'], ['schema'], ['--help'], ['--version'], ['set', '--help']]) {
      const { code, stdout } = await cli(args);
      expect(code).toBe(0);
      expect(stdout).not.toBe('');
    }
  });
});
