import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { describeProblem, loadFile, readConfig } from '../../src/cli/config-file.ts';
import { allDrivers, driverNames, driversIn } from '../../src/driver-registry.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dcs-io-config-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function load(text: string) {
  const file = join(folder, 'dcs-io.yaml');
  writeFileSync(file, text);
  return loadFile(file);
}

describe('reading a configuration file', () => {
  test('loads only the drivers that it names', async () => {
    expect((await driversIn('pins: { lamp: { gpio: GPIO17 } }')).map(({ name }) => name)).toEqual(['gpio']);
    expect((await allDrivers()).map(({ name }) => name)).toEqual(driverNames);
  });

  test('finds a driver whose name is written with an escape', async () => {
    const loaded = await load('ports: { p: { driver: "\\u006dodbus", tcp: "localhost:502" } }');
    expect(loaded).toMatchObject({ ok: true, config: { ports: [{ name: 'p', driver: { name: 'modbus' } }] } });
  });

  test('explains a mistake with all drivers, not only those that the file names', async () => {
    const loaded = await load('ports: { p: { driver: modbsu, tcp: "localhost:502" }, q: { baud: 9600 } }');
    if (loaded.ok) throw new Error('a driver modbsu does not exist');
    const text = loaded.problems.map(describeProblem).join('\n');
    expect(text).toContain("did you mean 'modbus'");
    for (const name of driverNames) expect(text).toContain(name);
  });

  test('a driver that cannot be loaded is a mistake for check, and a warning for run and every other command', async () => {
    writeFileSync(join(folder, 'broken.js'), "throw new Error('no such chip');\n");
    const text = 'drivers: [./broken.js]\npins: { lamp: { virtual: bool } }\n';
    const checked = await load(text);
    expect(checked).toMatchObject({
      ok: false,
      problems: [{ severity: 'error', message: expect.stringContaining('no such chip') }],
    });
    const { pins, warnings } = await readConfig(join(folder, 'dcs-io.yaml'));
    expect(pins).toHaveLength(1);
    expect(warnings).toMatchObject([{ key: 'drivers[0]', message: expect.stringContaining('no such chip') }]);
  });

  test('reports a folder in place of a file', async () => {
    expect(await loadFile(folder)).toMatchObject({
      ok: false,
      problems: [{ message: expect.stringContaining('EISDIR') }],
    });
  });
});
