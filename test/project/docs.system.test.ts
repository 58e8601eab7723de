import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeProblem } from '../../src/cli/config-file.ts';
import { loadConfigText } from '../../src/config/load.ts';
import { allDrivers } from '../../src/driver-registry.ts';
import { root } from '../support/agent-process.ts';

/**
 * Configurations that the pages of the documentation show as they are. A part of one, or of another file, is marked
 * `yaml part`; those with a file name are tried by the guides' own test.
 */
const drivers = await allDrivers();
const pages = readdirSync(join(root, 'docs')).filter((file) => file.endsWith('.md'));
const blocks = pages.flatMap((page) =>
  [...readFileSync(join(root, 'docs', page), 'utf8').matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(
    ([, text = ''], at) => ({ page, number: at + 1, text }),
  ),
);

describe('the configurations in docs/', () => {
  it('are there', () => {
    expect(blocks.length).toBeGreaterThan(4);
  });

  it.each(blocks)('$page: number $number is right', ({ text }) => {
    const board = text.includes('board:') ? '' : 'board: raspberry-pi-4b\n';
    const loaded = loadConfigText(`${board}${text}`, join(root, 'docs/dcs-io.yaml'), { drivers });
    expect(loaded.ok ? [] : loaded.problems.map(describeProblem)).toEqual([]);
  });
});
