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

/** The first block of the README that begins with this text. */
function block(start: string): string {
  const found = [...readme.matchAll(/^```[^\n]*\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
  return found.find((text) => text.startsWith(start)) ?? '';
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

describe("a user's own test, as the README shows it", () => {
  const test = block("import { startAgent } from 'dcs-io/testing'");

  it('is short', () => {
    expect(test.split('\n').filter((line) => line !== '' && !line.startsWith('import')).length).toBeLessThanOrEqual(10);
  });

  it('passes on the plant of the README, and fails when its actor is wrong', async () => {
    writeFileSync(join(site, 'dcs-io.yaml'), block('node: hall'));
    writeFileSync(join(site, 'hall.ts'), block('// hall.ts'));
    writeFileSync(join(site, 'hall.test.ts'), test);
    const right = await runToEnd('npx', ['vitest', 'run'], { cwd: site, env });
    expect(right.stdout + right.stderr).toMatch(/Tests.* 1 passed/);
    expect(right.code).toBe(0);
    writeFileSync(join(site, 'hall.ts'), block('// hall.ts').replace('val < 2', 'val < 1'));
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
