import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { modbus } from '../../drivers/modbus/driver.ts';
import { loadConfigText } from '../../src/config/load.ts';
import { fakeDrivers, machine } from './fakes.ts';

const dataFolder = mkdtempSync(join(tmpdir(), 'boards-'));
mkdirSync(join(dataFolder, 'modbus', 'acme'), { recursive: true });
writeFileSync(join(dataFolder, 'linux.yaml'), 'title: any\nchips: {}\n');
writeFileSync(
  join(dataFolder, 'modbus', 'acme', 'drive.yaml'),
  `source: manual
title: drive
defaults: { type: float32, order: CDAB, scale: 0.1 }
pins:
  speed: { input: 0, precision: 1 }
  relay: { coil: 3, type:, order: }
`,
);
const context = {
  drivers: [...fakeDrivers.filter(({ name }) => name !== 'modbus'), modbus],
  machine: machine(),
  dataFolder,
};

function load(devices: string) {
  return loadConfigText(`ports: { plc: { driver: modbus, tcp: 10.0.0.1 } }\n${devices}`, 'plant.yaml', context);
}
function problems(devices: string): string[] {
  const loaded = load(devices);
  return (loaded.ok ? loaded.config.warnings : loaded.problems).map(
    ({ line, column, key, message, expected }) => `${line}:${column} ${key}: ${message} → ${expected}`,
  );
}
function pinsOf(devices: string) {
  const loaded = load(devices);
  if (!loaded.ok) throw new Error(problems(devices).join('\n'));
  return Object.fromEntries(loaded.config.pins.map(({ spec, address }) => [spec.name, { spec, address }]));
}

describe('a key that a pin inherits and that does not fit it', () => {
  test('is reported with the pin and the cure, which works', () => {
    const device = (keys: string) =>
      `devices:\n  m: { port: plc, order: CDAB, pins: { u: { input: 0 }, relay: { coil: 3${keys} } } }\n`;
    expect(problems(device(''))).toEqual([
      '3:26 devices.m.order: a coil is one bit and has no order: m.relay inherits order → `order:` without a value in m.relay, which undoes it there',
    ]);
    expect(pinsOf(device(', order:'))['m.relay']?.address).toMatchObject({ table: 'coil', first: 3 });
  });

  test('of several pins is one problem that names them', () => {
    const coils = [1, 2, 3, 4, 5].map((at) => `r${at}: { coil: ${at} }`).join(', ');
    expect(problems(`devices:\n  m: { port: plc, order: CDAB, pins: { u: { input: 0 }, ${coils} } }\n`)).toEqual([
      '3:26 devices.m.order: a coil is one bit and has no order: m.r1, m.r2, m.r3 and 2 more inherit order → `order:` without a value in each of them, which undoes it there',
    ]);
  });

  test('may be a common key too: a safe value out of range, text for a number, a policy without safe', () => {
    const device = (keys: string, pin: string) =>
      `devices:\n  m: { port: plc, direction: out, ${keys}, pins: { a: { holding: 0, safe: 20 }, b: { holding: 1, ${pin} } } }\n`;
    expect(problems(device('range: [10, 50]', 'safe: 0'))).toEqual([
      "3:112 devices.m.pins.b.safe: this value is outside the pin's range → 10 to 50",
    ]);
    expect(problems(device('safe: off', 'range: [10, 50]'))).toEqual([
      "3:41 devices.m.safe: off is 0, which is outside the pin's range: m.b inherits safe → 10 to 50; or `safe:` without a value in m.b, which undoes it there",
    ]);
    expect(problems(device('on_exit: safe', 'label: b'))[0]).toBe(
      '3:44 devices.m.on_exit: on_exit: safe needs to know the safe value: m.b inherits on_exit → safe: VALUE beside it; or `on_exit:` without a value in m.b, which undoes it there',
    );
  });

  test('may clash with a key of the pin itself', () => {
    expect(
      problems(
        'devices:\n  m: { port: plc, type: float32, pins: { a: { input: 0 }, b: { input: 2, values: { 0: x } } } }\n',
      ),
    ).toEqual([
      '3:82 devices.m.pins.b.values: type float32 holds no whole numbers to name: m.b inherits type → `type:` without a value in m.b, which undoes it there',
    ]);
  });

  test('that is wrong in itself is one problem without the pins', () => {
    expect(problems('devices:\n  m: { port: plc, order: XYZ, pins: { a: { input: 0 }, b: { input: 1 } } }\n')).toEqual([
      '3:26 devices.m.order: there is no order "XYZ" → one of ABCD, CDAB, BADC, DCBA',
    ]);
  });
});

describe('a key without a value', () => {
  test('undoes a default of the profile, in the profile, at the device and at a pin of it', () => {
    const { 'd.speed': speed, 'd.relay': relay } = pinsOf('devices: { d: { port: plc, profile: acme/drive } }\n');
    expect(speed).toMatchObject({ spec: { scale: 0.1, precision: 1 }, address: { type: 'float32', order: 'CDAB' } });
    expect(relay).toMatchObject({ spec: { kind: 'digital' }, address: { table: 'coil' } });
    const atDevice = pinsOf('devices: { d: { port: plc, profile: acme/drive, scale: } }\n');
    expect(atDevice['d.speed']?.spec.scale).toBe(1);
    const atPin = pinsOf(
      'devices: { d: { port: plc, profile: acme/drive, pins: { speed: { precision:, scale: } } } }\n',
    );
    expect(atPin['d.speed']?.spec).toMatchObject({ scale: 1 });
    expect(atPin['d.speed']?.spec.precision).toBeUndefined();
  });

  test('that undoes nothing is a mistake as before: a safe value may be missing behind it', () => {
    expect(problems('pins: { a: { port: plc, coil: 0, direction: out, safe: } }\n')).toHaveLength(1);
    expect(problems('devices: { d: { port: plc, pins: { a: { coil: 0, order: } } } }\n')).toHaveLength(1);
  });
});

describe('an unknown key', () => {
  const expected = (pin: string) =>
    (/→ one of (.*)$/.exec(problems(`pins: { a: { port: plc, ${pin}, qqq: 1 } }\n`)[0] ?? '')?.[1] ?? '').split(', ');

  test('lists every key that fits here, and none that does not', () => {
    const coil = expected('coil: 0, direction: out');
    expect(coil).toEqual(expect.arrayContaining(['unit', 'verify', 'poll', 'quirks', 'safe', 'max_on', 'invert']));
    for (const key of ['order', 'bits', 'values', 'holding', 'coil', 'direction', 'scale', 'range', 'debounce']) {
      expect(coil).not.toContain(key);
    }
    const register = expected('input: 0');
    expect(register).toEqual(expect.arrayContaining(['type', 'order', 'values', 'bit', 'scale', 'deadband']));
    for (const key of ['safe', 'verify', 'holding', 'debounce', 'requires']) expect(register).not.toContain(key);
    expect(register.join()).not.toContain('more');
  });

  test('of a device is one problem that lists the keys of a device, not those of its last pin', () => {
    const found = problems('devices: { m: { port: plc, qqq: 1, pins: { a: { coil: 0 }, b: { input: 1 } } } }\n');
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/devices\.m\.qqq: there is no key qqq here → one of .*, profile, .*, unit,/);
  });
});
