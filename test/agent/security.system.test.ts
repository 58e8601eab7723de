import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../mesh/support/lab.ts';
import { cliFile, type Finished, root, runToEnd } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';

/** Every command of docs/security.md, on two machines (network namespaces), in the order of the text. */
const text = readFileSync(join(root, 'docs/security.md'), 'utf8');
const blocks = new Map(
  [...text.matchAll(/^```(\S+) (\S+)\n([\s\S]*?)^```$/gm)].map(([, language, mark, block]) => [
    `${language} ${mark}`,
    block ?? '',
  ]),
);

const lab = new Lab();
const folder = mkdtempSync(join(tmpdir(), 'dcs-io-security-'));
const env: NodeJS.ProcessEnv = { ...process.env, PATH: `${folder}/bin:${process.env['PATH']}`, NO_COLOR: '1' };

interface Machine {
  readonly namespace: string;
  readonly folder: string;
  agent: ChildProcess | undefined;
  log: string;
}

function machine(name: string): Machine {
  const made = { namespace: lab.machine(name), folder: join(folder, name), agent: undefined, log: '' };
  mkdirSync(made.folder);
  writeFileSync(join(made.folder, 'dcs-io.yaml'), block(`yaml ${name}`));
  return made;
}

function block(name: string): string {
  const found = blocks.get(name);
  if (found === undefined) throw new Error(`docs/security.md has no block '${name}'`);
  return found;
}

async function shell(on: Machine, script: string): Promise<Finished> {
  return runToEnd('ip', ['netns', 'exec', on.namespace, '/bin/sh', '-ec', script], { cwd: on.folder, env });
}

function run(on: Machine): void {
  on.log = '';
  const agent = spawn('ip', ['netns', 'exec', on.namespace, process.execPath, cliFile, 'run'], { cwd: on.folder, env });
  on.agent = agent;
  agent.stderr.on('data', (data) => {
    on.log += data;
  });
}

let [boiler, control]: (Machine | undefined)[] = [];
const both = () => {
  if (!boiler || !control) throw new Error('no machines');
  return { boiler, control };
};

beforeAll(() => {
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin/dcs-io'), `#!/bin/sh\nexec ${process.execPath} ${cliFile} "$@"\n`);
  chmodSync(join(folder, 'bin/dcs-io'), 0o755);
  boiler = machine('boiler');
  control = machine('control');
  lab.network(1, { [boiler.namespace]: '10.9.8.1', [control.namespace]: '10.9.8.2' });
});
afterAll(async () => {
  for (const on of [boiler, control]) {
    if (!on?.agent || on.agent.exitCode !== null) continue;
    const gone = new Promise((resolve) => on.agent?.once('close', resolve));
    on.agent.kill('SIGTERM');
    await gone;
  }
  lab.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('two agents with keys, made and run as docs/security.md says', () => {
  it('make their keys, readable by nobody else, and allow each other', async () => {
    const { boiler, control } = both();
    for (const on of [boiler, control]) {
      const made = await shell(on, block('sh both'));
      expect(made.code).toBe(0);
      expect(await shell(on, 'dcs-io keys show')).toMatchObject({ code: 0, stdout: made.stdout });
      expect(statSync(join(on.folder, 'keys/node.key')).mode & 0o777).toBe(0o600);
      expect(await shell(on, block('sh both'))).toMatchObject({ code: 2, stderr: expect.stringContaining('exists') });
    }
    env['BOILER_ROOM_KEY'] = (await shell(boiler, 'dcs-io keys show')).stdout.trim();
    env['CONTROL_ROOM_KEY'] = (await shell(control, 'dcs-io keys show')).stdout.trim();
    expect(await shell(boiler, block('sh boiler'))).toMatchObject({
      code: 0,
      stdout: 'control-room: reads everything, commands pump*, passes on messages of others\n',
    });
    expect(await shell(control, block('sh control'))).toMatchObject({
      code: 0,
      stdout: 'boiler-room: reads everything, commands nothing\n',
    });
  });

  it('do not start with a private key others can read', async () => {
    const { boiler } = both();
    chmodSync(join(boiler.folder, 'keys/node.key'), 0o640);
    expect(await shell(boiler, 'dcs-io keys show')).toMatchObject({ code: 2 });
    const refused = await shell(boiler, 'dcs-io run');
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('can be read by others');
    chmodSync(join(boiler.folder, 'keys/node.key'), 0o600);
  });

  it('command what was granted and are told why they may not command the rest', async () => {
    const { boiler, control } = both();
    for (const on of [boiler, control]) run(on);
    for (const on of [boiler, control])
      await until(`an agent to run: ${on.log}`, () => on.log.includes('is running'), 30_000);
    await until('the pump to be in reach', async () => (await shell(control, 'dcs-io get pump')).code === 0, 30_000);
    expect(await shell(control, block('sh works'))).toMatchObject({ code: 0, stdout: 'pump  on\n' });
    expect(await shell(boiler, 'dcs-io get pump')).toMatchObject({ stdout: expect.stringContaining('on') });
    const refused = await shell(control, block('sh refused'));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('control-room may not write valve');
    expect(await shell(boiler, 'dcs-io get valve')).toMatchObject({ stdout: expect.stringContaining('off') });
    expect(boiler.log).toContain('a message was refused: control-room may not write valve');
  }, 90_000);

  it('part as soon as the key is revoked, and meet again when it is allowed', async () => {
    const { boiler, control } = both();
    expect(await shell(boiler, block('sh revoke'))).toMatchObject({ code: 0 });
    await until(
      'the pump to be out of reach',
      async () => (await shell(control, 'dcs-io set pump off --timeout 1')).code !== 0,
      10_000,
    );
    expect(await shell(boiler, 'dcs-io get pump')).toMatchObject({ stdout: expect.stringContaining('on') });
    expect(await shell(boiler, block('sh boiler'))).toMatchObject({ code: 0 });
    await until('the link to return', async () => (await shell(control, 'dcs-io set pump off')).code === 0, 30_000);
  }, 90_000);

  it('list who is let in, for programs too', async () => {
    const { boiler } = both();
    const { stdout } = await shell(boiler, 'dcs-io keys list --json');
    expect(JSON.parse(stdout)).toEqual({
      name: 'control-room',
      key: env['CONTROL_ROOM_KEY'],
      read: ['*'],
      write: ['pump*'],
      relay: true,
    });
    const reading = `dcs-io keys allow reader "$CONTROL_ROOM_KEY" --keys ./other --read 'a*' 'b*'`;
    expect(await shell(boiler, reading)).toMatchObject({ stdout: 'reader: reads a* b*, commands nothing\n' });
    expect(await shell(boiler, 'dcs-io keys revoke nobody')).toMatchObject({ code: 1 });
  });
});
