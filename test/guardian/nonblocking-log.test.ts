import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { nonblockingLog } from '../../src/guardian/nonblocking-log.ts';
import { until } from '../support/wait.ts';

it('the log of the guardian has every line in order, also lines added during a write', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-side-log-'));
  const path = join(folder, 'log');
  const fd = openSync(path, 'a');
  const log = nonblockingLog(() => 1, fd);
  const texts = Array.from({ length: 20 }, (_, n) => `line ${n}`);
  for (const text of texts) log.warn({ port: 'plc' }, text);
  const lines = () => readFileSync(path, 'utf8').trim().split('\n');
  await until('the last line', () => lines().at(-1)?.includes('line 19'));
  expect(lines().map((line) => JSON.parse(line))).toEqual(
    texts.map((msg) => ({ level: 40, time: 1, from: 'guardian', port: 'plc', msg })),
  );
  closeSync(fd);
  rmSync(folder, { recursive: true });
});
