import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { pinsOf } from '../../src/expression/parse.ts';
import { configOf, errorsOf, placesOf } from './fakes.ts';

const head = 'ports: { plc: { driver: modbus, tcp: "h:502" } }\n';
const pins = (lines: Readonly<Record<string, string>>) =>
  `${head}pins:\n${Object.entries(lines)
    .map(([name, keys]) => `  ${name}: { ${keys} }\n`)
    .join('')}`;
const base = { a: 'port: plc, holding: 1', b: 'port: plc, input: 2', door: 'virtual: bool', mode: 'virtual: text' };
const specOf = (name: string, lines: Readonly<Record<string, string>>) =>
  configOf(pins({ ...base, ...lines })).pins.find(({ spec }) => spec.name === name);
const mistakes = (lines: Readonly<Record<string, string>>) => placesOf(pins({ ...base, ...lines }));

describe('a computed pin', () => {
  test('takes its kind from its expression, and needs no port', () => {
    const sum = specOf('sum', { sum: 'expr: "(a + b) * 2", uom: W, precision: 1' });
    expect(sum).toMatchObject({ port: 'computed', key: 'sum = (a + b) * 2' });
    expect(sum?.spec).toMatchObject({ kind: 'analog', direction: 'in', uom: 'W', precision: 1 });
    expect(sum?.computed?.qualityFrom).toEqual(['a', 'b']);
    expect(specOf('x', { x: 'expr: "a > 3 and door"' })?.spec.kind).toBe('digital');
    expect(specOf('x', { x: 'expr: door' })?.spec.kind).toBe('digital');
    expect(specOf('x', { x: 'expr: "door ? mode : \'none\'"' })?.spec.kind).toBe('text');
    expect(specOf('x', { x: 'expr: 20' })?.spec.kind).toBe('analog');
    expect(specOf('y', { y: 'expr: x', x: 'expr: "not door"' })?.spec.kind).toBe('digital');
  });

  test('says at its place which pin is unknown, and which is meant', () => {
    const [mistake] = errorsOf(pins({ 'tank-level': 'virtual: number', sum: 'expr: "2 * tank-lvel"' }));
    expect(mistake).toMatchObject({
      line: 4,
      column: 16,
      key: 'pins.sum.expr',
      message: 'there is no pin tank-lvel',
      didYouMean: 'tank-level',
    });
  });

  test('is refused in a circle, its own or one through follow', () => {
    expect(mistakes({ x: 'expr: "x + 1"' })).toEqual(['7:14 pins.x.expr: x is computed from x']);
    expect(mistakes({ x: 'expr: "y + a"', y: 'expr: "z * 2"', z: 'expr: "x"' })).toEqual([
      '7:14 pins.x.expr: x is computed from y is computed from z is computed from x',
    ]);
    expect(mistakes({ x: 'expr: "not lamp"', lamp: 'virtual: bool, follow: x' })).toEqual([
      expect.stringContaining('lamp follows x follows lamp'),
    ]);
  });

  test('refuses keys that belong to the pins it is computed from', () => {
    for (const key of ['safe: 0', 'stale_after: 5s', 'port: plc', 'requires: door', 'initial: 1', 'read_on: door'])
      expect(mistakes({ x: `expr: "a * 2", ${key}` })).toEqual([
        expect.stringContaining(`${key.split(':')[0]} has no meaning on a computed pin`),
      ]);
    expect(mistakes({ x: 'expr: "a * 2", holding: 3' })).toEqual([
      expect.stringContaining('there is no key holding here'),
    ]);
    expect(mistakes({ x: 'port: plc, holding: 3, quality_from: [a]' })).toEqual([
      expect.stringContaining('quality_from has no meaning without expr'),
    ]);
  });

  test('reports a type that does not fit, and no mistake twice', () => {
    expect(mistakes({ x: 'expr: "mode + 1"' })).toEqual([expect.stringContaining('+ takes numbers, and mode is text')]);
    expect(mistakes({ y: 'port: plc, holdin: 1', x: 'expr: "y + 1"' })).toHaveLength(1);
    expect(mistakes({ x: 'expr: ""' })).toHaveLength(1);
    expect(mistakes({ x: 'expr: "1 / 0"' })).toEqual(['7:14 pins.x.expr: 1 / 0 has no value']);
    expect(mistakes({ x: 'expr: 10 ** 400' })).toEqual(['7:14 pins.x.expr: the result of ** is no number']);
    expect(mistakes({ x: 'expr: [a]' })).toHaveLength(1);
  });

  test('counts the quality of the pins that it lists', () => {
    expect(specOf('x', { x: 'expr: "a + b", quality_from: [a]' })?.computed?.qualityFrom).toEqual(['a']);
    expect(specOf('x', { x: 'expr: "a + b", quality_from: []' })?.computed?.qualityFrom).toEqual([]);
    expect(mistakes({ x: 'expr: "a + 1", quality_from: [a, b]' })).toEqual([
      expect.stringContaining('b is no pin of the expression'),
    ]);
  });

  test('can be written where it only scales an output', () => {
    const out = 'port: plc, holding: 9, direction: out, range: [0, 50], safe: 0';
    const percent = specOf('percent', { hz: out, percent: 'expr: "hz * 2", direction: out, range: [0, 100]' });
    expect(percent?.spec).toMatchObject({ direction: 'out', scaleOf: { pin: 'hz', factor: 2, offset: 0 } });
    expect(specOf('percent', { hz: out, percent: 'expr: "hz * 2"' })?.spec.direction).toBe('in');
    for (const expr of ['hz * a', 'hz ** 2', 'a * 2', 'door'])
      expect(mistakes({ hz: out, x: `expr: "${expr}", direction: out` })).toEqual([
        expect.stringContaining('this expression cannot be written'),
      ]);
    expect(mistakes({ hz: out, p: 'expr: "hz * 2", direction: out', q: 'virtual: number, interlock: p' })).toEqual([
      expect.stringContaining('p is computed'),
    ]);
  });

  test('of a device means the pins of the device first, and takes none of its keys', () => {
    const devices = (keys: string) =>
      `${head}pins: { ct: { virtual: number } }\ndevices:\n  m:\n    port: plc\n    unit: 3\n    scale: 0.1\n    uom: W\n    pins:\n      raw: { holding: 1 }\n      power: { ${keys} }\n`;
    const { pins: found } = configOf(devices('expr: "raw * ct"'));
    const power = found.find(({ spec }) => spec.name === 'm.power');
    expect(power?.computed && pinsOf(power.computed.expression)).toEqual(['m.raw', 'ct']);
    expect(power?.spec).toMatchObject({ scale: 1 });
    expect(power?.spec.uom).toBeUndefined();
    expect(placesOf(`${head}devices: { m: { port: plc, expr: "1", pins: { raw: { holding: 1 } } } }`)).toEqual([
      expect.stringContaining('expr is no default of pins'),
    ]);
  });

  test('of a profile can be given another expression, or take the place of a register', () => {
    const folder = mkdtempSync(join(tmpdir(), 'computed-'));
    mkdirSync(join(folder, 'modbus/acme'), { recursive: true });
    writeFileSync(
      join(folder, 'modbus/acme/meter.yaml'),
      'title: a meter\nsource: its manual\npins:\n  raw: { holding: 1 }\n  ct: { holding: 6, scale: 0.1 }\n  power: { expr: "raw * ct", uom: W }\n',
    );
    const load = (own: string) =>
      configOf(`${head}devices: { m: { port: plc, profile: acme/meter, pins: { ${own} } } }`, {
        profileFolder: folder,
      });
    const byName = (own: string) => new Map(load(own).pins.map((pin) => [pin.spec.name, pin]));
    expect(byName('').get('m.power')?.key).toBe('m.power = raw * ct');
    expect(byName('ct: { expr: 40 }').get('m.ct')).toMatchObject({ key: 'm.ct = 40', spec: { scale: 1 } });
    expect(byName('power: { expr: "raw * 2" }').get('m.power')).toMatchObject({
      spec: { uom: 'W' },
      key: 'm.power = raw * 2',
    });
    rmSync(folder, { recursive: true });
  });

  test('needs no driver of its sources to be checked', () => {
    const text =
      'drivers: [./gone.ts]\nports: { p: { driver: gone } }\npins:\n  a: { port: p, x: 1 }\n  b: { expr: "a + 1" }\n';
    const loaded = configOf(text, { driverFailures: ['there is no file'] });
    expect(loaded.pins.map(({ spec }) => spec.kind)).toEqual(['digital', 'analog']);
  });

  test('leaves the name of a port alone', () => {
    expect(placesOf('ports: { computed: { driver: mock } }\npins: { x: { expr: 1 } }\n')).toEqual([
      expect.stringContaining('computed is the place of pins with expr'),
    ]);
  });
});
