import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { configOf, errorsOf, fakeDrivers, load, machine, placesOf } from './fakes.ts';

describe('the file as a whole', () => {
  test('an empty file is a node without pins, named after its host', () => {
    expect(configOf('')).toMatchObject({
      node: 'test-host',
      board: undefined,
      ports: [],
      pins: [],
      actors: [],
      warnings: [],
    });
    expect(configOf('node:\npins:\nports:\nbus:\nboard:\ndevices:\nactors:\n')).toMatchObject({ node: 'test-host' });
  });

  test('a file that cannot be read is a problem, not an exception', async () => {
    const loaded = await loadConfig('/nowhere/dcs-io.yaml', { drivers: fakeDrivers });
    expect(loaded).toMatchObject({ ok: false, problems: [{ line: 1, column: 1, file: '/nowhere/dcs-io.yaml' }] });
  });

  test('a misspelt section gets a suggestion; a value in place of a section is a mistake', () => {
    const [error] = errorsOf('prots: {}\n');
    expect(error).toMatchObject({ line: 1, column: 1, key: 'prots', didYouMean: 'ports' });
    expect(placesOf('pins: 5\nports: [a]\n')).toEqual([
      '1:7 pins: pins must be a section of keys',
      '2:8 ports: ports must be a section of keys',
    ]);
    expect(placesOf('just text\n')).toEqual(['1:1 : a configuration is a section of keys']);
  });

  test('a syntax error does not hide the other mistakes', () => {
    expect(placesOf('nodes: a\npins: { a: { virtual: boole }\nbus: { rx: x }\n').length).toBeGreaterThanOrEqual(3);
  });
});

describe('bus', () => {
  test('without a section it is on loopback with the ports of aktos-dcs', () => {
    expect(configOf('').bus).toEqual({
      enabled: true,
      listen: '127.0.0.1',
      rx: 5012,
      tx: 5013,
      brokers: [],
      proxyBrokers: [],
      insecure: false,
    });
  });

  test('brokers are written ip:rx:tx, IPv6 in brackets', () => {
    const { bus } = configOf(
      'bus: { brokers: ["192.168.2.161:5012:5013", "[fe80::1]:1:2"], proxy_brokers: ["plant:1:2"] }\n',
    );
    expect(bus.brokers).toEqual([
      { host: '192.168.2.161', rx: 5012, tx: 5013 },
      { host: 'fe80::1', rx: 1, tx: 2 },
    ]);
    expect(bus.proxyBrokers).toEqual([{ host: 'plant', rx: 1, tx: 2 }]);
  });

  test.each(['192.168.2.161', '192.168.2.161:5012', 'a:b:c', 'a:0:5013', 'a:1:70000'])(
    'broker %s is refused',
    (broker) => {
      expect(errorsOf(`bus: { brokers: ["${broker}"] }\n`)).toMatchObject([
        { line: 1, column: 18, key: 'bus.brokers[0]' },
      ]);
    },
  );

  test('the path of the keys is relative to the file, and with keys the bus may listen on the network', () => {
    const { bus } = configOf('bus: { listen: 0.0.0.0, security: { keys: ./keys } }\n');
    expect(bus).toMatchObject({ insecure: false, security: { keys: expect.stringMatching(/^\/.*keys$/) } });
    expect(errorsOf('bus: { listen: 0.0.0.0, security: { keys: 1 } }\n')).not.toEqual([]);
    expect(errorsOf('bus: { security: { curve: true } }\n')).not.toEqual([]);
  });

  test('listening on the network needs keys or insecure; loopback needs neither', () => {
    expect(errorsOf('bus: { listen: 0.0.0.0 }\n')).toMatchObject([{ column: 16, key: 'bus.listen' }]);
    expect(errorsOf('bus: { listen: 0.0.0.0, insecure: true }\n')).toEqual([]);
    for (const address of ['127.0.0.1', '127.1.2.3', '"::1"', 'localhost']) {
      expect(errorsOf(`bus: { listen: ${address} }\n`)).toEqual([]);
    }
  });

  test('an impossible address is a mistake of the configuration, not of the start', () => {
    for (const address of ['192.168.1.300', '192.168.1', '10.0.0.0.1']) {
      expect(errorsOf(`bus: { listen: ${address}, insecure: true }\n`)).toMatchObject([{ key: 'bus.listen' }]);
    }
  });

  test('the two ports differ', () => {
    expect(placesOf('bus: { rx: 6000, tx: 6000 }\n')).toEqual(['1:22 bus.tx: rx and tx must be two different ports']);
  });
});

describe('board', () => {
  test('an unknown board gets a suggestion, and its pins are not reported', () => {
    expect(errorsOf('board: rasberry-pi-5\npins: { a: { gpio: GPIO17 } }\n')).toMatchObject([
      { line: 1, column: 8, didYouMean: 'raspberry-pi-5' },
    ]);
    expect(errorsOf('board: { model: rasberry-pi-5 }\n')).toMatchObject([{ column: 17, key: 'board.model' }]);
  });

  test('a bus the board does not have cannot be enabled', () => {
    expect(errorsOf('board: { model: raspberry-pi-5, enabled: [i2c11] }\n')).toMatchObject([
      { column: 43, key: 'board.enabled[0]', didYouMean: 'i2c1' },
    ]);
  });

  test('enabled: [] frees the lines of a bus that the machine has', () => {
    const here = { machine: machine({ model: 'Raspberry Pi 5 Model B Rev 1.0', files: ['/dev/i2c-1'] }) };
    expect(placesOf('board: { enabled: [] }\npins: { a: { gpio: GPIO2 } }\n', here)).toEqual([]);
  });
});

describe('actors', () => {
  test('paths are relative to the file, and must exist', () => {
    const files = ['/etc/actors/plant.ts', '/opt/x.mjs'];
    const text = 'actors: [actors/plant.ts, /opt/x.mjs]\n';
    expect(configOf(text, { machine: machine({ files }) }).actors).toEqual(files);
    expect(placesOf(text)).toHaveLength(2);
    expect(placesOf('actors: [./plant.py]\n')).toEqual(['1:10 actors[0]: an actor is a TypeScript or JavaScript file']);
    expect(placesOf('actors: ./plant.ts\n')).toEqual(['1:9 actors: actors is a list of files']);
  });
});

describe('devices', () => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'boards-'));
  mkdirSync(join(dataFolder, 'modbus', 'acme'), { recursive: true });
  writeFileSync(join(dataFolder, 'linux.yaml'), 'title: any\nchips: {}\n');
  writeFileSync(
    join(dataFolder, 'modbus', 'acme', 'meter.yaml'),
    'source: manual\ntitle: meter\ndefaults: { type: float32, poll: 5s }\npins:\n  voltage: { input: 0, uom: V }\n  power: { input: 12, uom: W, poll: 1s }\n',
  );
  const port = 'ports: { plc: { driver: modbus, tcp: x } }\n';
  const context = { dataFolder };

  test('a device has the pins of its profile, named after it; its keys are defaults for their own keys', () => {
    const text = `${port}devices: { meter: { port: plc, profile: acme/meter, unit: 7, poll: 2s, pins: { power: { label: main }, extra: { holding: 3 } } } }\n`;
    const { pins } = configOf(text, context);
    expect(pins.map(({ spec, key, address }) => [spec.name, spec.uom, spec.label, key, address])).toEqual([
      ['meter.voltage', 'V', undefined, 'u7/input/0', { unit: 7, input: 0, type: 'float32', poll: 2000 }],
      ['meter.power', 'W', 'main', 'u7/input/12', { unit: 7, input: 12, type: 'float32', poll: 1000 }],
      ['meter.extra', undefined, undefined, 'u7/holding/3', { unit: 7, holding: 3, type: 'float32', poll: 2000 }],
    ]);
  });

  test('an unknown profile, port or key is reported once, with a suggestion', () => {
    const text = `${port}devices:\n  m: { port: plc, profile: acme/metre, unti: 3 }\n  n: { port: plx, profile: acme/meter }\n  o: { profile: acme/meter }\n`;
    expect(errorsOf(text, context).map(({ line, column, key, didYouMean }) => [line, column, key, didYouMean])).toEqual(
      [
        [3, 28, 'devices.m.profile', 'acme/meter'],
        [3, 40, 'devices.m.unti', 'unit'],
        [4, 14, 'devices.n.port', 'plc'],
        [5, 3, 'devices.o', undefined],
      ],
    );
  });

  test('a wrong default is reported once, not once a pin', () => {
    const text = `${port}devices: { m: { port: plc, profile: acme/meter, unit: 700 } }\n`;
    expect(placesOf(text, context)).toEqual(['2:55 devices.m.unit: unit must be at most 255']);
  });

  test('an inherited key without meaning on some pins is ignored there', () => {
    const text = `${port}devices: { m: { port: plc, profile: acme/meter, safe: 0 } }\n`;
    expect(load(text, context).ok).toBe(true);
  });

  test('a pin and a pin of a device cannot have one name', () => {
    const text = `${port}pins: { m.power: { virtual: bool } }\ndevices: { m: { port: plc, profile: acme/meter } }\n`;
    const [error] = errorsOf(text, context);
    expect(error?.message).toBe('a pin m.power already stands in line 2');
  });
});

describe('ports', () => {
  test('hardware that two ports claim is a mistake that names the place of the first', () => {
    const text = 'ports:\n  a: { driver: modbus, tcp: plc }\n  b: { driver: modbus, tcp: plc }\n';
    expect(placesOf(text)).toEqual(['3:3 ports.b: plc already is port a in line 2']);
    expect(placesOf(text.replaceAll('plc', 'shared'))).toEqual([]);
  });

  test('a remark of a driver is a warning at its pin or port', () => {
    const text =
      'ports:\n  a: { driver: modbus, tcp: slow }\npins:\n  p: { port: a, holding: 666 }\n  q: { port: a, holding: 1 }\n';
    const { warnings } = configOf(text);
    expect(warnings.map(({ line, column, key, message }) => [line, column, key, message])).toEqual([
      [2, 3, 'ports.a', 'the bus is too slow'],
      [4, 3, 'pins.p', 'odd'],
    ]);
  });
});
