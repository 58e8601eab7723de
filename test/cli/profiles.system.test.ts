import { describe, expect, it } from 'vitest';
import { cli } from '../support/agent-process.ts';

describe('dcs-io profiles', () => {
  it('lists profiles alone, not the other data of a kind of hardware', async () => {
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
  it('knows the profiles of every driver, also those whose port or device needs keys of its own', async () => {
    const chip = await cli(['profiles', 'show', 'bosch/bme280']);
    expect(chip.code, chip.stderr).toBe(0);
    expect(chip.stdout).toMatch(/pressure +analog +in .* hPa/);
    const receiver = await cli(['profiles', 'show', 'nmea/gps']);
    expect(receiver.code, receiver.stderr).toBe(0);
    expect(receiver.stdout).toMatch(/altitude +analog/);
    expect(receiver.stdout).toContain('its port needs { line: 4800-8N1, checksum: { type: xor8,');
  }, 60_000);
});
