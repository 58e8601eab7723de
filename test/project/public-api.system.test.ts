import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { extractApis } from '../../scripts/reference-pages/api-extractor.ts';
import { libraryPages, unexportedTypes } from '../../scripts/reference-pages/library-pages.ts';
import { root } from '../support/agent-process.ts';

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
});
