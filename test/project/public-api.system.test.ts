import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { extractApis } from '../../scripts/reference-pages/api-extractor.ts';
import { libraryPages, unexportedTypes } from '../../scripts/reference-pages/library-pages.ts';
import { root, runToEnd } from '../support/agent-process.ts';

/** A user's program that takes something from every entry point. */
const program = `
import { connect, DcsError, startAgent } from 'dcs-io';
import type { Driver, PortContext } from 'dcs-io/driver';
import { MockHardware, startAgent as startTestAgent } from 'dcs-io/testing';
import { WebClient } from 'dcs-io/web-client';
export async function main(): Promise<unknown> {
  await using bus = await connect({ timeoutMs: 1000 });
  bus.on('IoMessage', (message) => console.log(message));
  const report = await bus.set('green-led', true);
  const agent = await startTestAgent({ node: 'a' });
  agent.hardware.set('door', true);
  await new WebClient('http://127.0.0.1:8080').ready();
  return report.val;
}
export type Used = [Driver, PortContext, MockHardware, DcsError, typeof startAgent];
`;
const folder = mkdtempSync(join(tmpdir(), 'dcs-io-types-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const require = createRequire(import.meta.url);
const compilers = {
  'the TypeScript of this project': join(root, 'node_modules/typescript/bin/tsc'),
  'the TypeScript of API Extractor': join(
    createRequire(require.resolve('@microsoft/api-extractor')).resolve('typescript/package.json'),
    '../bin/tsc',
  ),
};

const apis = extractApis();
const files = libraryPages(apis);

describe('the public API', () => {
  it.each([...files.keys()])('docs/%s is what scripts/reference writes today', (path) => {
    expect(readFileSync(join(root, 'docs', path), 'utf8'), 'run scripts/reference').toBe(files.get(path));
  });

  it('has a report and a page for every entry point of package.json with types, and no other', () => {
    expect(apis.map(({ entry }) => entry.specifier)).toEqual(
      expect.arrayContaining(['dcs-io', 'dcs-io/driver', 'dcs-io/testing', 'dcs-io/web-client']),
    );
    const present = [
      ...readdirSync(join(root, 'docs/api')).map((name) => `api/${name}`),
      ...readdirSync(join(root, 'docs/reference')).map((name) => `reference/${name}`),
    ].filter((path) => /^api|\/library/.test(path));
    expect(present.sort()).toEqual([...files.keys()].sort());
  });

  it('exports every type that it mentions', () => {
    expect(unexportedTypes(apis)).toEqual([]);
  });

  it('exports from dcs-io/driver every type that the driver contract mentions', () => {
    expect(apis.find(({ entry }) => entry.specifier === 'dcs-io/driver')?.unexported).toEqual([]);
  });

  it.each(Object.entries(compilers))(
    'compiles in a strict project that checks declarations, with %s',
    async (_, tsc) => {
      mkdirSync(join(folder, 'node_modules'), { recursive: true });
      rmSync(join(folder, 'node_modules/dcs-io'), { force: true });
      symlinkSync(root, join(folder, 'node_modules/dcs-io'));
      const compilerOptions = {
        target: 'ES2022',
        lib: ['ES2023', 'ESNext.Disposable'],
        module: 'NodeNext',
        moduleResolution: 'NodeNext',
        types: ['node'],
        typeRoots: [join(root, 'node_modules/@types')],
        strict: true,
        skipLibCheck: false,
        noEmit: true,
      };
      writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
      writeFileSync(join(folder, 'program.ts'), program);
      expect(await runToEnd(process.execPath, [tsc, '-p', folder])).toMatchObject({ code: 0, stdout: '' });
    },
    120_000,
  );
});
