import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Finished, root, runToEnd } from '../support/agent-process.ts';

/** The package as a user has it: packed, and installed with Vitest into an empty folder. */
const folder = mkdtempSync(join(tmpdir(), 'dcs-io-library-'));
const site = join(folder, 'site');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const vitest: string = JSON.parse(readFileSync(join(root, 'node_modules/vitest/package.json'), 'utf8')).version;

/** A plant and its test, as a page shows them: file names and texts. */
const plants = {
  'the README': { 'dcs-io.yaml': block('node: hall'), 'hall.ts': block('// hall.ts'), 'hall.test.ts': testOf(readme) },
  'the guide': named('docs/write-a-driver-or-actor.md', 'dcs-io.yaml', 'hall.ts', 'hall.test.ts'),
};

/** The first block of the README that begins with this text. */
function block(start: string): string {
  const found = [...readme.matchAll(/^```[^\n]*\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
  return found.find((text) => text.startsWith(start)) ?? '';
}

function testOf(page: string): string {
  return /^```ts hall\.test\.ts\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? '';
}

/** The blocks of a page that are shown with these file names. */
function named(page: string, ...names: string[]): Record<string, string> {
  const text = readFileSync(join(root, page), 'utf8');
  const blocks = [...text.matchAll(/^```\S+ (\S+)\n([\s\S]*?)^```$/gm)];
  return Object.fromEntries(names.map((name) => [name, blocks.find((one) => one[1] === name)?.[2] ?? '']));
}

const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' };

function npm(...args: string[]): Promise<Finished> {
  return runToEnd('npm', [...args, '--no-audit', '--no-fund', '--prefer-offline'], { cwd: site });
}

beforeAll(async () => {
  mkdirSync(site);
  const packed = await runToEnd('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: root });
  expect(packed.code, packed.stderr).toBe(0);
  const tarball = join(folder, packed.stdout.trim().split('\n').at(-1) ?? '');
  writeFileSync(join(site, 'package.json'), '{ "type": "module" }');
  const installed = await npm('install', '--ignore-scripts', tarball, `vitest@${vitest}`);
  expect(installed.code, installed.stderr).toBe(0);
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(Object.entries(plants))("a user's own test, as %s shows it", (_, files) => {
  it('is short', () => {
    const lines = (files['hall.test.ts'] ?? '').split('\n').filter((line) => line !== '' && !line.startsWith('import'));
    expect(lines.length).toBeGreaterThan(5);
    expect(lines.length).toBeLessThanOrEqual(10);
  });

  it('passes on its plant, and fails when the actor is wrong', async () => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(site, name), text);
    const right = await runToEnd('npx', ['vitest', 'run'], { cwd: site, env });
    expect(right.stdout + right.stderr).toMatch(/Tests.* 1 passed/);
    expect(right.code).toBe(0);
    const wrong = (files['hall.ts'] ?? '').replace('val < 2', 'val < 1').replace('val < 80', 'val < 99');
    expect(wrong).not.toBe(files['hall.ts']);
    writeFileSync(join(site, 'hall.ts'), wrong);
    expect(await runToEnd('npx', ['vitest', 'run'], { cwd: site, env })).toMatchObject({ code: 1 });
  }, 60_000);
});

describe('startAgent inside another program', () => {
  it('runs a configuration given as an object, answers for its pins and ends with the program', async () => {
    const program = `import { DcsError, startAgent } from 'dcs-io';
      await using agent = await startAgent({ bus: { enabled: false }, board: 'raspberry-pi-4b', pins: { lamp: { gpio: 'GPIO17', direction: 'out', safe: false } } }, { mock: true });
      console.log((await agent.pins.set('lamp', true)).val);
      const refused = await agent.pins.set('lamp', 'green').catch((error) => error);
      console.log(refused instanceof DcsError, refused.code);`;
    // Node.js 20 does not know the syntax yet.
    const plain = program.replace('await using', 'const').concat('\nawait agent.stop();');
    writeFileSync(join(site, 'program.mjs'), plain);
    const { code, stdout, stderr } = await runToEnd('node', ['program.mjs'], { cwd: site });
    expect(stderr).toBe('');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'true\ntrue BAD_VALUE\n' });
  });
});
