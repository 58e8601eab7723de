import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Finished, root, runToEnd } from '../support/agent-process.ts';

/** A driver of somebody else, made and used as its author and its user do: with nothing but packages. */
const folder = mkdtempSync(join(tmpdir(), 'dcs-io-driver-'));
const author = join(folder, 'author');
const user = join(folder, 'user');
const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' };

function npm(cwd: string, ...args: string[]): Promise<Finished> {
  return runToEnd('npm', [...args, '--no-audit', '--no-fund', '--prefer-offline'], { cwd, env });
}

async function done(running: Promise<Finished>): Promise<string> {
  const { code, stdout, stderr } = await running;
  expect(code, stdout + stderr).toBe(0);
  return stdout.trim();
}

/** Packs the package in a folder. */
async function pack(cwd: string, ...args: string[]): Promise<string> {
  const stdout = await done(runToEnd('npm', ['pack', ...args, '--pack-destination', folder], { cwd, env }));
  return join(folder, stdout.split('\n').at(-1) ?? '');
}

let driver = '';
beforeAll(async () => {
  const dcsIo = await pack(root, '--ignore-scripts');
  cpSync(join(root, 'examples/driver'), author, { recursive: true });
  await done(npm(author, 'install', '--ignore-scripts', '--no-save', dcsIo));
  driver = await pack(author);
  mkdirSync(user);
  writeFileSync(join(user, 'package.json'), '{ "type": "module" }');
  await done(npm(user, 'install', '--ignore-scripts', dcsIo, driver));
}, 240_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const dcsIo = (...args: string[]) => runToEnd(join(user, 'node_modules/.bin/dcs-io'), args, { cwd: user, env });

describe('a driver package of its own', () => {
  it('keeps the driver contract: its own tests pass with the shipped suite', async () => {
    const { code, stdout, stderr } = await npm(author, 'test');
    expect(stdout + stderr).toMatch(/driver contract: mcp3008|Tests.* passed/);
    expect(code, stdout + stderr).toBe(0);
  }, 60_000);

  it('contains its code and nothing of its tests', async () => {
    const files = await done(runToEnd('tar', ['tf', driver]));
    expect(files).toContain('package/dist/driver.js');
    expect(files).not.toContain('test');
  });

  it('is checked with its own schema, and named in what is wrong', async () => {
    const adc = 'drivers: [dcs-io-driver-mcp3008]\nports: { adc: { driver: mcp3008, device: /dev/spidev0.0';
    writeFileSync(join(user, 'right.yaml'), `${adc} } }\npins: { pressure: { port: adc, channel: 2, scale: 0.01 } }\n`);
    writeFileSync(join(user, 'wrong.yaml'), `${adc}, sped: 1 } }\npins: { pressure: { port: adc, channel: 8 } }\n`);
    await done(dcsIo('check', '-c', 'right.yaml'));
    const { code, stdout, stderr } = await dcsIo('check', '-c', 'wrong.yaml');
    expect(code).toBe(2);
    expect(stdout + stderr).toMatch(/sped.*did you mean 'speed'/);
    expect(stdout + stderr).toMatch(/channel/);
    expect(await done(dcsIo('schema', '-c', 'right.yaml'))).toContain('spidev');
  });

  it('runs in an agent, on simulated hardware and, where its device is missing, with bad pins', async () => {
    const program = `import { startAgent } from 'dcs-io';
      for (const mock of [true, false]) {
        const agent = await startAgent('right.yaml', { mock });
        const { val, quality, reason } = await agent.pins.get('pressure');
        console.log(JSON.stringify([val, quality, reason]));
        await agent.stop();
      }`;
    const offline = 'bus: { enabled: false }\nguardian: off\n';
    writeFileSync(
      join(user, 'right.yaml'),
      `${offline}drivers: [dcs-io-driver-mcp3008]\nports: { adc: { driver: mcp3008, device: /dev/spidev9.9 } }\npins: { pressure: { port: adc, channel: 2 } }\n`,
    );
    writeFileSync(join(user, 'program.mjs'), program);
    const lines = await done(runToEnd('node', ['program.mjs'], { cwd: user, env }));
    const [simulated, real] = lines.split('\n').map((line) => JSON.parse(line));
    expect(simulated).toEqual([0, 'good', null]);
    expect(real).toEqual([null, 'bad', expect.stringContaining('there is no /dev/spidev9.9')]);
  });
});
