import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli } from '../support/agent-process.ts';

describe('dcs-io profiles', () => {
  it('lists only profiles, not the other data files of a driver', async () => {
    const { stdout } = await cli(['profiles', 'list', '--json']);
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => String(JSON.parse(line).name));
    expect(names).toContain('eastron/sdm120');
    expect(names.filter((name) => !/^[^/]+\/[^/]+$/.test(name))).toEqual([]);
  }, 60_000);
});

describe('dcs-io profiles show', () => {
  it('shows profiles of every driver, also of drivers whose ports or devices have required keys', async () => {
    const chip = await cli(['profiles', 'show', 'bosch/bme280']);
    expect(chip.code, chip.stderr).toBe(0);
    expect(chip.stdout).toMatch(/pressure +analog +in .* hPa/);
    const receiver = await cli(['profiles', 'show', 'nmea/gps']);
    expect(receiver.code, receiver.stderr).toBe(0);
    expect(receiver.stdout).toMatch(/altitude +analog/);
    expect(receiver.stdout).toContain('its port needs { line: 4800-8N1, checksum: { type: xor8,');
  }, 60_000);
});

describe('dcs-io profiles new', () => {
  it('writes a profile that a device can have, says what it left out, and replaces no file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'profiles-new-'));
    const table = join(folder, 'map.csv');
    writeFileSync(table, 'Address;FC;Name;Type;Unit\n0x10;4;Power;float;W\n0x20;4;Odd;???;\n');
    const made = await cli(['profiles', 'new', table, 'acme/meter', '--folder', folder]);
    expect(made.code, made.stderr).toBe(0);
    expect(made.stderr).toContain('line 3: left out, because ??? is no clear type');
    const shown = await cli(['profiles', 'show', 'acme/meter', '--folder', folder]);
    expect(shown.stdout).toMatch(/power +analog +in +u1\/input\/16 +W/);
    const again = await cli(['profiles', 'new', table, 'acme/meter', '--folder', folder]);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain('EEXIST');
    rmSync(folder, { recursive: true });
  }, 60_000);
});
