import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { COUNTS_WRITE_MS, KeptCounts, stateFile } from '../../src/output/kept-state.ts';
import { memoryLog } from '../support/ports.ts';
import { until } from '../support/wait.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function bench() {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-counts-'));
  folders.push(folder);
  const file = stateFile(join(folder, 'made'), 'hall/1', 'counts') ?? '';
  const clock = new ManualClock();
  const log = memoryLog();
  const open = async () => {
    const counts = new KeptCounts(file, { clock, log });
    await counts.load();
    return counts;
  };
  return { file, clock, log, open };
}

describe('counts', () => {
  it('are there again after a restart', async () => {
    const { open, log } = bench();
    const counts = await open();
    expect(counts.get('water')).toBeUndefined();
    counts.set('water', 41);
    counts.set('water', 42);
    await counts.close();
    expect((await open()).get('water')).toBe(42);
    expect(log.lines.filter(({ level }) => level !== 'info').length).toBe(1);
  });

  it('are written within 5 s of the first that is not, and not more often', async () => {
    const { open, file, clock } = bench();
    const counts = await open();
    counts.set('water', 1);
    await clock.advance(COUNTS_WRITE_MS - 1);
    counts.set('water', 2);
    expect(existsSync(file)).toBe(false);
    await clock.advance(1);
    await until('the file', () => existsSync(file));
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ version: 1, counts: { water: 2 } });
    counts.set('water', 3);
    await clock.advance(COUNTS_WRITE_MS - 1);
    expect(readFileSync(file, 'utf8')).toContain('"water":2');
    await counts.close();
    expect(readFileSync(file, 'utf8')).toContain('"water":3');
    expect(existsSync(`${file}.new`)).toBe(false);
  });

  it.each(['', '{"version":1,"counts":{"wat', '{"version":1,"counts":{"water":"many"}}', '[]'])(
    'begin anew with a warning when the file is %j, which is set aside',
    async (text) => {
      const { open, file, log } = bench();
      const first = await open();
      first.set('water', 1);
      await first.close();
      writeFileSync(file, text);
      expect((await open()).get('water')).toBeUndefined();
      expect(log.lines.at(-1)).toMatchObject({ level: 'warn', message: expect.stringContaining('is damaged') });
      expect(readFileSync(`${file}.damaged`, 'utf8')).toBe(text);
    },
  );

  it('that cannot be written are said once, kept in memory and tried again', async () => {
    const { open, file, clock, log } = bench();
    const counts = await open();
    const folder = join(file, '..');
    writeFileSync(folder, 'a file where the folder should be');
    counts.set('water', 5);
    const said = () => log.lines.filter(({ level }) => level === 'error').length;
    await clock.advance(COUNTS_WRITE_MS);
    await until('the failure', () => said() === 1);
    rmSync(folder);
    await counts.close();
    expect(readFileSync(file, 'utf8')).toContain('"water":5');
    expect(counts.get('water')).toBe(5);
    expect(said()).toBe(1);
  });
});
