import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { referencePages } from '../../scripts/reference-pages/pages.ts';
import { allDrivers } from '../../src/driver-registry.ts';
import { root } from '../support/agent-process.ts';

const folder = join(root, 'docs/reference');
const pages = await referencePages();

describe('docs/reference', () => {
  it.each([...pages.keys()])('%s is what scripts/reference writes today', (name) => {
    expect(readFileSync(join(folder, name), 'utf8'), 'run scripts/reference').toBe(pages.get(name));
  });

  it('has no page that nothing writes', () => {
    const others = readdirSync(folder).filter((name) => !name.startsWith('library'));
    expect(others.sort()).toEqual([...pages.keys()].sort());
  });

  it('says of every key of a configuration what it is', () => {
    const rows = (pages.get('config.md') ?? '').split('\n').filter((line) => line.startsWith('| `'));
    expect(rows.length).toBeGreaterThan(200);
    expect(rows.filter((row) => row.endsWith('|  |'))).toEqual([]);
  });

  it('has the keys of every driver and server', async () => {
    const text = pages.get('config.md') ?? '';
    for (const { name, server } of await allDrivers()) {
      expect(text).toContain(`\n## Driver ${name}\n`);
      if (server) expect(text).toContain(`\n### Server ${name}\n`);
    }
  });
});
