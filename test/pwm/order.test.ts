import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';

/** The share of on-time after each write. */
const shares: number[] = [];

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const recording: typeof writeFile = async (file, ...rest) => {
    await real.writeFile(file, ...rest);
    const get = (name: string) => Number(readFileSync(join(dirname(String(file)), name), 'utf8'));
    shares.push(get('duty_cycle') / get('period'));
  };
  return { ...real, writeFile: recording };
});

// Unit tests share a process: the module may be loaded already, and must not stay loaded with the replaced file system.
vi.resetModules();
afterAll(() => vi.resetModules());
const { ChannelFiles } = await import('../../drivers/pwm/channel-files.ts');

it.each([
  { name: 'shorter', frequency: 1000, share: 0.1, duty: 1_000_000 },
  { name: 'shorter, to be on for more', frequency: 1000, share: 0.5, duty: 1_000_000 },
  { name: 'longer', frequency: 10, share: 0.1, duty: 1_000_000 },
  { name: 'shorter than the old duty', frequency: 1000, share: 0.2, duty: 7_500_000 },
])(
  'a period that gets $name is at no moment on for a larger share than before and after',
  async ({ frequency, share, duty }) => {
    const chip = mkdtempSync(join(tmpdir(), 'dcs-io-pwm-'));
    mkdirSync(join(chip, 'pwm0'));
    for (const [name, value] of Object.entries({ period: 10_000_000, duty_cycle: duty, enable: 1, polarity: 'normal' }))
      writeFileSync(join(chip, 'pwm0', name), `${value}\n`);
    shares.length = 0;
    await new ChannelFiles(chip, 0, frequency).set(share);
    rmSync(chip, { recursive: true });
    expect(shares.at(-1)).toBe(share);
    expect(Math.max(...shares)).toBeLessThanOrEqual(Math.max(share, duty / 10_000_000));
  },
);
