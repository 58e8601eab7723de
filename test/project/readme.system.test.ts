import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Finished, root, runToEnd } from '../support/agent-process.ts';
import { until } from '../support/wait.ts';

/** The README's own commands, tried as a reader would: `sh` blocks must work, `sh refused` ones must end with 1. */
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```(\S*) ?(\S*)\n([\s\S]*?)^```$/gm)].map(
  ([, language = '', mark = '', text = '']) => ({
    language,
    mark,
    text,
  }),
);
const commands = blocks
  .filter(({ language }) => language === 'sh')
  .flatMap(({ mark, text }) =>
    text
      .trim()
      .split('\n')
      .map((line) => ({ line, code: mark === 'refused' ? 1 : 0 })),
  );
const yaml = blocks.filter(({ language }) => language === 'yaml').map(({ text }) => text);

/** Commands that go on until they are told to end. */
const lasting = /dcs-io (run|watch)/;

const folder = mkdtempSync(join(tmpdir(), 'dcs-io-readme-'));
const prefix = join(folder, 'prefix');
const onSite = join(folder, 'site');
const env = { ...process.env, PATH: `${prefix}/bin:${process.env['PATH']}`, NO_COLOR: '1' };

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a command; one that lasts is ended by Ctrl-C once it has said something. */
async function shell(line: string, cwd: string): Promise<Finished> {
  if (!lasting.test(line)) return runToEnd('/bin/sh', ['-c', line], { cwd, env });
  const child = spawn('/bin/sh', ['-c', `exec ${line}`], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const settled = line.includes('run') ? () => stderr.includes('is running with') : () => stdout.includes('\n');
  await until(`${line} to say something: ${stderr}`, () => settled() || child.exitCode !== null, 20_000);
  child.kill('SIGINT');
  return { code: await exit, stdout, stderr };
}

/** What `npx` finds, without npx between the signals and the program; `python3` as Debian has it. */
function here(line: string): string {
  return line
    .replace(/^npx dcs-io/, `${root}/node_modules/.bin/dcs-io`)
    .replace(/^python3/, '/usr/bin/python3')
    .replace('examples/', `${root}/examples/`);
}

describe('the package, installed elsewhere without running any install script', () => {
  beforeAll(async () => {
    const packed = await runToEnd('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: root });
    expect(packed.code, packed.stderr).toBe(0);
    const tarball = packed.stdout.trim().split('\n').at(-1) ?? '';
    const args = [
      'install',
      '-g',
      '--prefix',
      prefix,
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
    ];
    const installed = await runToEnd('npm', [...args, join(folder, tarball)], { cwd: folder });
    expect(installed.code, installed.stderr).toBe(0);
    mkdirSync(onSite);
    writeFileSync(join(onSite, 'dcs-io.yaml'), yaml[0] ?? '');
    writeFileSync(join(onSite, 'hall.ts'), blocks.find(({ language }) => language === 'ts')?.text ?? '');
    writeFileSync(join(onSite, 'plc.yaml'), yaml[1] ?? '');
  }, 180_000);

  const onPi = commands.filter(({ line }) => line.startsWith('dcs-io'));
  it.each(onPi)('$line', async ({ line, code }) => {
    const done = await shell(line, onSite);
    expect(done.code, done.stdout + done.stderr).toBe(code);
  });

  it('the PLC example is right and runs with its actor', async () => {
    expect(await shell('dcs-io check -c plc.yaml', onSite)).toMatchObject({ code: 0 });
    const { code, stderr } = await shell('dcs-io run --mock -c plc.yaml', onSite);
    expect(code, stderr).toBe(0);
    expect(stderr).not.toContain('left out');
  });

  it('the library entry and its types come along', async () => {
    const script = `import { Actor, Bus, Mesh, DcsError, startAgent } from 'dcs-io'; import { siblingModule } from 'dcs-io/driver';
      console.log([Actor, Bus, Mesh, DcsError, startAgent, siblingModule].every((one) => typeof one === 'function'));`;
    writeFileSync(join(prefix, 'lib/try.mjs'), script);
    const { stdout, stderr } = await runToEnd('node', [join(prefix, 'lib/try.mjs')]);
    expect(stdout, stderr).toBe('true\n');
    const types = readFileSync(join(prefix, 'lib/node_modules/dcs-io/dist/src/index.d.ts'), 'utf8');
    expect(types).toContain('Actor');
  });

  it('without a ZeroMQ for this machine, as on 32-bit ARM, it says which system has one', async () => {
    const native = join(prefix, 'lib/node_modules/dcs-io/node_modules/zeromq/build');
    renameSync(native, `${native}.gone`);
    const { code, stderr } = await runToEnd('/bin/sh', ['-c', 'dcs-io run'], { cwd: onSite, env });
    renameSync(`${native}.gone`, native);
    expect(code).toBe(1);
    expect(stderr).toContain('64-bit');
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  it('has what it needs and nothing of the tests', async () => {
    const { stdout } = await runToEnd('tar', ['tf', join(folder, 'dcs-io-0.1.0.tgz')]);
    for (const file of [
      'schema/dcs-io.schema.json',
      'boards/raspberry-pi-5.yaml',
      'LICENSE',
      'dist/src/cli/main.js',
      'dist/src/web/client/web-client.js',
      'dist/web/index.html',
      'dist/web/licenses.md',
    ]) {
      expect(stdout).toContain(`package/${file}`);
    }
    expect(stdout).not.toMatch(/package\/(test|src|scripts)\//);
  });
});

describe('the demo', () => {
  let demo: ChildProcess;
  let shown = '';

  beforeAll(async () => {
    demo = spawn('scripts/demo', { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env });
    for (const stream of [demo.stdout, demo.stderr]) {
      stream?.on('data', (data) => {
        shown += data;
      });
    }
    await until('pins that change', () => shown.split('tank-level').length > 3, 60_000).catch((error: unknown) => {
      throw new Error(`${error}; the demo said: ${shown}`);
    });
  }, 90_000);
  afterAll(async () => {
    const exit = new Promise((resolve) => demo.once('exit', resolve));
    demo.kill('SIGTERM');
    await exit;
  });

  const besideDemo = commands.filter(({ line }) => /^(npx|python3)/.test(line));
  it.each(besideDemo)('$line ends with $code', async ({ line, code }) => {
    const done = await shell(here(line), root);
    expect(done.code, done.stdout + done.stderr).toBe(code);
  });

  it('answers the client program, which hears the report too', async () => {
    // Beside the installed package, so that it finds dcs-io; jiti compiles the syntax that Node.js 20 does not know.
    const file = join(prefix, 'lib/client.ts');
    writeFileSync(file, blocks.find(({ mark }) => mark === 'client')?.text ?? '');
    const jiti = join(root, 'node_modules/jiti/lib/jiti-register.mjs');
    const { code, stdout, stderr } = await runToEnd('node', ['--import', jiti, file], { env });
    expect(stderr).toBe('');
    expect(stdout).toContain("pin_name: 'green-led'");
    expect(code).toBe(0);
  });

  it('shows the report of what a second shell commanded', async () => {
    await shell(here('npx dcs-io set pump on'), root);
    await until('the report', () => /pump +on/.test(shown));
  });
});

describe('every command of the README', () => {
  it('is tried above, or is what runs these tests', () => {
    const others = commands.map(({ line }) => line).filter((line) => !/^(npx|python3|dcs-io) /.test(line));
    expect(others).toEqual(['scripts/demo', 'scripts/test', 'npm install -g dcs-io']);
    expect(readFileSync(join(root, '.ci/run'), 'utf8')).toContain('scripts/test');
  });
});
