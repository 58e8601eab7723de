import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { kernelError } from '../../drivers/gpio/uapi.ts';
import { DcsError } from '../../src/errors/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'dcs-io-chip-'));
const chip = join(folder, 'gpiochip0');
writeFileSync(chip, '');
afterAll(() => rmSync(folder, { recursive: true }));
const said = (code: string, path = chip) => kernelError(Object.assign(new Error(code), { code }), 'io line 4', path);

describe('errors of the kernel for a line', () => {
  it.each([
    ['EBUSY', 'BUSY', 'io line 4 is held by another process'],
    ['ENODEV', 'PORT_DOWN', 'io line 4 is gone'],
    ['EINVAL', 'NOT_SUPPORTED', 'io line 4: the chip refuses these settings'],
    ['EIO', 'PORT_DOWN', 'io line 4: EIO'],
  ])('%s is %s', (found, code, message) => {
    expect(said(found)).toMatchObject({ code, message });
  });

  it.each(['EACCES', 'EPERM'])('%s names the group with the right, and how to join it', (found) => {
    if (process.getuid?.() === 0) chownSync(chip, 0, 20);
    const group = process.getuid?.() === 0 ? 'dialout' : '\\S+';
    expect(said(found)).toMatchObject({
      code: 'NO_PERMISSION',
      message: expect.stringMatching(new RegExp(`this user may not use ${chip}; it needs the group ${group}$`)),
      expected: expect.stringMatching(new RegExp(`usermod -aG ${group} USER`)),
    });
    // Root's alone: the usual group, for whose udev rule is missing.
    expect(said(found, '/proc/version').message).toMatch(/needs the group gpio$/);
  });

  it('a DcsError stays as it is', () => {
    const error = new DcsError('BUSY', 'line 4 is held by gpioset');
    expect(kernelError(error, 'io line 4', chip)).toBe(error);
  });
});
