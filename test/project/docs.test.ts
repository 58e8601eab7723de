import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli, root } from '../support/agent-process.ts';

/** Configurations that a page of the documentation shows. */
const page = 'docs/serial-and-i2c.md';
const blocks = [...readFileSync(join(root, page), 'utf8').matchAll(/^```yaml\n([\s\S]*?)^```$/gm)];

describe(`the configurations in ${page}`, () => {
  it.each(blocks.map(([, text = ''], at) => ({ number: at + 1, text })))(
    'number $number is right',
    async ({ text }) => {
      const folder = mkdtempSync(join(tmpdir(), 'dcs-io-docs-'));
      try {
        writeFileSync(join(folder, 'dcs-io.yaml'), `board: raspberry-pi-4b\n${text}`);
        const { code, stderr } = await cli(['check'], { cwd: folder });
        expect(code, stderr).toBe(0);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});
