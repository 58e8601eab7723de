import type * as disk from 'node:fs/promises';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { systemClock } from '../../src/clock/clock.ts';
import { memoryLog } from '../support/ports.ts';

/** What is done to files, in order, by the last part of their names. */
const done: string[] = [];
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof disk>();
  const name = (path: unknown) => String(path).split('/').at(-1);
  return {
    ...real,
    async rename(from: string, to: string) {
      done.push(`${name(from)} becomes ${name(to)}`);
      await real.rename(from, to);
    },
    async open(path: string, ...rest: [number, number]) {
      const handle = await real.open(path, ...rest);
      const sync = handle.sync.bind(handle);
      const write = handle.writeFile.bind(handle);
      handle.writeFile = async (...args: Parameters<typeof write>) => {
        done.push(`${name(path)} written`);
        await write(...args);
      };
      handle.sync = async () => {
        done.push(`${name(path)} synced`);
        await sync();
      };
      return handle;
    },
  };
});

// Unit tests share a process: the module may be loaded already, and must not stay loaded with the replaced file system.
vi.resetModules();
afterAll(() => vi.resetModules());
const { KeptFile } = await import('../../src/output/kept-state.ts');

it('a kept file is synced before it replaces the old one, and the folder after that', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kept-'));
  const file = join(folder, 'counts.json');
  const content = () => ({ water: 4 });
  const schema = z.object({ water: z.number() });
  const keeping = { file, schema, contentName: 'counts', whenMissing: 'anew', everyMs: 5000, content };
  const kept = new KeptFile(keeping, { clock: systemClock, log: memoryLog() });
  expect(await kept.save()).toBe(true);
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ water: 4 });
  expect(done).toEqual([
    'counts.json.new written',
    'counts.json.new synced',
    'counts.json.new becomes counts.json',
    `${folder.split('/').at(-1)} synced`,
  ]);
  await rm(folder, { recursive: true });
});

it('a save counts as on the disk although the content changed during the write', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kept-'));
  const file = join(folder, 'outputs.json');
  let water = 1;
  const schema = z.object({ water: z.number() });
  const content = () => {
    queueMicrotask(() => {
      if (water === 2) return;
      water = 2;
      kept.changed();
    });
    return { water };
  };
  const keeping = { file, schema, contentName: 'outputs', whenMissing: 'anew', everyMs: 5000, content };
  const kept = new KeptFile(keeping, { clock: systemClock, log: memoryLog() });
  expect(await kept.save()).toBe(true);
  await kept.close();
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ water: 2 });
  await rm(folder, { recursive: true });
});
