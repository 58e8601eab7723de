import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { jsonSchema } from '../../src/config/json-schema.ts';
import { loadConfig, loadConfigText } from '../../src/config/load.ts';
import { allDrivers } from '../../src/driver-registry.ts';
import { machine } from './fakes.ts';

const drivers = await allDrivers();
const schema = jsonSchema(drivers);
const validate = new Ajv({ strict: false, allErrors: true }).compile({ ...schema });

function accepts(text: string): boolean {
  return validate(parse(text));
}

/** The configuration the documentation explains. */
const DOCUMENTED = `
node: boiler-room
board: raspberry-pi-4b
bus:
  brokers: ["192.168.2.161:5012:5013"]
ports:
  plc:    { driver: modbus, tcp: 192.168.1.10:502 }
  scale:  { driver: serial, path: /dev/ttyUSB1, line: 9600-8N1, framing: { delimiter: "\\r\\n" } }
  sim:    { driver: mock, loopback: [[a, b]], latency: 5ms }
devices:
  meter:  { port: plc, unit: 1, poll: 1s, pins: { power: { input: 12, type: float32, uom: W } } }
pins:
  green-led:  { gpio: GPIO17, direction: out, initial: false, safe: false }
  door:       { gpio: GPIO27, direction: in, bias: pull-up, invert: true, debounce: 20ms }
  pump-speed: { port: plc, unit: 1, holding: 10, type: float32, order: CDAB, direction: out, range: [0, 50], safe: 0 }
  weight:     { port: scale, match: "ST,GS,\\\\s*([-+0-9.]+)kg" }
  request:    { virtual: bool, initial: false }
  lamp:       { virtual: bool, follow: door }
`;

function recordOf(found: unknown): Record<string, unknown> {
  return typeof found === 'object' && found !== null ? { ...found } : {};
}

/** Every key with its schema, however deep it is. */
function keysWithin(found: unknown): [string, unknown][] {
  if (Array.isArray(found)) return found.flatMap(keysWithin);
  const record = recordOf(found);
  return [...Object.entries(recordOf(record['properties'])), ...Object.values(record).flatMap(keysWithin)];
}

describe('the JSON Schema for editors', () => {
  test('the documented configuration is right, for the loader and for editors', () => {
    const loaded = loadConfigText(DOCUMENTED, 'dcs-io.yaml', { drivers, machine: machine() });
    expect(loaded.ok ? [] : loaded.problems).toEqual([]);
    expect(accepts(DOCUMENTED), JSON.stringify(validate.errors)).toBe(true);
  });

  test('registers that overlap are a warning; bits of one register and neighbours are none', () => {
    const pin = (name: string, keys: string) => `  ${name}: { port: plc, ${keys} }\n`;
    const text = `ports: { plc: { driver: modbus, tcp: 127.0.0.1 } }
pins:
${pin('power', 'holding: 10, type: float32')}${pin('wrong', 'holding: 11')}${pin('next', 'holding: 12')}${pin('other', 'holding: 11, unit: 2')}${pin('low', 'holding: 20, bit: 0')}${pin('high', 'holding: 20, bit: 1')}`;
    const loaded = loadConfigText(text, 'dcs-io.yaml', { drivers, machine: machine() });
    const warnings = loaded.ok ? loaded.config.warnings : loaded.problems;
    expect(warnings.map(({ severity, line, key, message }) => [severity, line, key, message])).toEqual([
      ['warning', 4, 'pins.wrong', 'u1/holding/11 lies in the registers of u1/holding/10 (10 to 11)'],
    ]);
  });

  test('a safe or initial value that its registers cannot hold is a mistake at its own place', () => {
    const text = `ports: { plc: { driver: modbus, tcp: 127.0.0.1 } }
pins:
  a: { port: plc, holding: 1, direction: out, safe: 70000 }
  b: { port: plc, holding: 2, type: int16, scale: 0.001, direction: out, safe: 0, initial: 100 }
  c: { port: plc, holding: 3, direction: out, safe: "mode=1", fields: { mode: {}, power: {} } }
  d: { port: plc, holding: 5, scale: 0.1, offset: -10, direction: out, safe: 6543.5, initial: safe }
  e: { port: plc, holding: 6, direction: out, safe: 5, scale_from: 7 }
`;
    const loaded = loadConfigText(text, 'dcs-io.yaml', { drivers, machine: machine() });
    const problems = loaded.ok ? [] : loaded.problems;
    expect(problems.map(({ severity, line, key, message }) => [severity, line, key, message])).toEqual([
      ['error', 3, 'pins.a.safe', 'this value cannot be written: 70000 does not fit: uint16 holds 0 to 65535'],
      ['error', 4, 'pins.b.initial', 'this value cannot be written: 100000 does not fit: int16 holds -32768 to 32767'],
      ['error', 5, 'pins.c.safe', 'this value cannot be written: "mode=1" is not text of the form mode=… power=…'],
    ]);
  });

  test('a pin that reads a field of several values lies in them on purpose', () => {
    const fields = 'fields: { mode: {}, power: { type: int32 } }';
    const text = `ports: { plc: { driver: modbus, tcp: 127.0.0.1 } }
pins:
  all: { port: plc, holding: 10, direction: out, safe: "mode=0 power=0", ${fields} }
  power: { port: plc, holding: 11, type: int32 }
  between: { port: plc, holding: 32 }
  apart: { port: plc, holding: [30, 40], type: uint32 }
  wrong: { port: plc, holding: 40 }
`;
    const loaded = loadConfigText(text, 'dcs-io.yaml', { drivers, machine: machine() });
    const warnings = loaded.ok ? loaded.config.warnings : loaded.problems;
    expect(warnings.map(({ key }) => key)).toEqual(['pins.wrong']);
  });

  test('one serial adapter cannot be two ports, whatever their drivers', () => {
    const text = 'ports:\n  a: { driver: modbus, serial: /dev/ttyUSB0 }\n  b: { driver: serial, path: /dev/ttyUSB0 }\n';
    const loaded = loadConfigText(text, 'dcs-io.yaml', { drivers, machine: machine() });
    expect(loaded.ok ? [] : loaded.problems).toMatchObject([
      { line: 3, message: '/dev/ttyUSB0 already is port a in line 2' },
    ]);
  });

  test('the demo is right, for the loader and for editors', async () => {
    const file = 'examples/demo/dcs-io.yaml';
    const loaded = await loadConfig(file, { drivers });
    expect(loaded.ok ? [] : loaded.problems).toEqual([]);
    expect(accepts(readFileSync(file, 'utf8')), JSON.stringify(validate.errors)).toBe(true);
  });

  test.each([
    ['an empty file section', 'pins:\nports:\n'],
    ['the board with its buses', 'board: { model: raspberry-pi-5, enabled: [i2c1] }\n'],
  ])('%s is right', (_what, text) => {
    expect(accepts(text), JSON.stringify(validate.errors)).toBe(true);
  });

  test.each([
    ['an unknown section', 'prots: {}\n'],
    ['an unknown driver', 'ports: { a: { driver: modbas, tcp: x } }\n'],
    ['a port without driver', 'ports: { a: { tcp: x } }\n'],
    ["a key of another port's driver", 'ports: { a: { driver: gpio, tcp: x, chip: y } }\n'],
    ['a missing option', 'ports: { a: { driver: gpio } }\n'],
    ['a misspelt pin key', 'pins: { a: { gpio: GPIO17, debounse: 20ms } }\n'],
    ['a duration without unit', 'pins: { a: { gpio: GPIO17, debounce: 20 } }\n'],
    ['a wrong direction', 'pins: { a: { gpio: GPIO17, direction: up } }\n'],
    ['half a range', 'pins: { a: { virtual: number, range: [1] } }\n'],
    ['a wrong bus port', 'bus: { rx: 70000 }\n'],
    ['a device without port', 'devices: { a: { profile: x/y } }\n'],
    ['a misspelt pin key of a device', 'devices: { a: { port: p, unti: 1 } }\n'],
  ])('%s is marked', (_what, text) => {
    expect(accepts(text)).toBe(false);
  });

  test('every key has a description to show while typing', () => {
    const keys = keysWithin(schema);
    expect(keys.length).toBeGreaterThan(200);
    expect(keys.filter(([, property]) => !JSON.stringify(property).includes('"description"'))).toEqual([]);
  });
});
