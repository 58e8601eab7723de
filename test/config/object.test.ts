import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ConfigObject, loadConfig } from '../../src/config/load.ts';
import { configOf, fakeDrivers, machine } from './fakes.ts';

async function problemsOf(config: ConfigObject): Promise<string[]> {
  const loaded = await loadConfig(config, { drivers: fakeDrivers, machine: machine() });
  const problems = loaded.ok ? loaded.config.warnings : loaded.problems;
  return problems.map(({ line, key, message }) => `${line} ${key}: ${message}`);
}

const PLANT = {
  node: 'hall',
  ports: { plc: { driver: 'modbus', tcp: 'x' } },
  devices: { m: { port: 'plc', unit: 7, pins: { a: { holding: 1, scale: 0.5 }, b: { input: 2, label: undefined } } } },
  pins: { lamp: { virtual: 'bool', initial: false }, list: { virtual: 'text', follow: { pin: 'lamp2' } } },
};

describe('a configuration as an object', () => {
  test('means the same as the file with the same keys; undefined is an absent key', async () => {
    const config = { ...PLANT, pins: { lamp: { virtual: 'bool', initial: false } } };
    const loaded = await loadConfig(config, { drivers: fakeDrivers, machine: machine() }, '/etc');
    const { file, warnings, ...rest } = configOf(JSON.stringify(config));
    expect(loaded).toMatchObject({ ok: true, config: rest });
  });

  test('each mistake has its key path as place, and one message at two keys is two mistakes', async () => {
    const pins = { a: { virtual: 'bool', saef: 1 }, b: { virtual: 'bool', saef: 1 }, c: {}, d: { virtual: 'boole' } };
    expect(await problemsOf({ ...PLANT, pins })).toEqual([
      '0 pins.a.saef: there is no key saef here',
      '0 pins.b.saef: there is no key saef here',
      '0 pins.c: this pin does not say where it is',
      '0 pins.d.virtual: there is no virtual "boole"',
    ]);
    expect(await problemsOf(PLANT)).toEqual(['0 pins.list.follow.pin: there is no pin "lamp2"']);
  });

  test('a mistake that names another place names its key path', async () => {
    const ports = { a: { driver: 'modbus', tcp: 'x' }, b: { driver: 'modbus', tcp: 'x' } };
    const pins = { p: { port: 'a', holding: 1 }, q: { port: 'a', holding: 1 } };
    expect(await problemsOf({ ports, pins })).toEqual([
      '0 pins.q: u1/holding/1 of port a already is pin p at pins.p',
      '0 ports.b: x already is port a at ports.a',
    ]);
  });

  test('values that no file can hold, and objects that contain themselves, are mistakes', async () => {
    const pin: Record<string, unknown> = { virtual: 'bool', label: () => 'x' };
    pin['rules'] = pin;
    expect(await problemsOf({ node: 1n, pins: { pin }, actors: [new Date(0)] })).toEqual([
      '0 node: a configuration cannot hold this',
      '0 pins.pin.label: a configuration cannot hold this',
      '0 pins.pin.rules: this contains itself',
      '0 actors[0]: a configuration cannot hold this',
      '0 pins.pin.label: label must be text',
      '0 pins.pin.rules: there is no key rules here',
      '0 actors[0]: an actor is a TypeScript or JavaScript file',
    ]);
  });

  test('relative paths start at the given folder', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'object-'));
    writeFileSync(join(folder, 'plant.mjs'), '');
    const loaded = await loadConfig({ actors: ['./plant.mjs'] }, { drivers: fakeDrivers }, folder);
    expect(loaded).toMatchObject({ ok: true, config: { actors: [join(folder, 'plant.mjs')] } });
  });
});
