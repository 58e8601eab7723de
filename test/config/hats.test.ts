import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { dataFolder, listBoards, listHats, loadBoard, loadHat } from '../../src/board/load-board.ts';
import { loadConfigText } from '../../src/config/load.ts';
import { allDrivers } from '../../src/driver-registry.ts';
import { configOf, errorsOf, load, machine, placesOf } from './fakes.ts';

const drivers = await allDrivers();

describe('every HAT', () => {
  test.each(listHats())('%s follows the schema, cites its source and fits every board with its header', (name) => {
    const hat = loadHat(name);
    if (!hat) throw new Error(`no HAT ${name}`);
    expect(readFileSync(join(dataFolder(), 'hats', `${name}.yaml`), 'utf8')).toMatch(/^# .+\n# Source: http/);
    const boards = listBoards().flatMap((board) => loadBoard(board) ?? []);
    const hosts = boards.filter((board) => board.headerNames.includes(hat.header));
    expect(hosts.length).toBeGreaterThan(10);
    for (const host of hosts) {
      expect(host.withHat(hat).name).toBe(host.name);
      expect(host.buses.map((bus) => bus.name)).toEqual(expect.arrayContaining(hat.needs));
    }
  });

  test.each(listHats())('%s gives its pins keys that the drivers take', (name) => {
    const hat = loadHat(name);
    const pins = Object.keys(hat?.lines ?? {}).map((alias) => `  ${alias}: { gpio: ${alias} }\n`);
    const text = `board: { model: raspberry-pi-4b, enabled: [] }\nhats: [${name}]\npins:\n${pins.join('')}`;
    const loaded = loadConfigText(text, 'dcs-io.yaml', { drivers, machine: machine() });
    expect(loaded.ok ? [] : loaded.problems).toEqual([]);
  });
});

describe('hats:', () => {
  const head = 'board: raspberry-pi-4b\nhats: [waveshare-relay-3]\n';

  test('a pin on a HAT inherits the keys of its wiring by any name of the line; its own keys win', () => {
    const { pins } = configOf(
      `${head}pins:\n  a: { gpio: RELAY1, safe: off }\n  b: { gpio: GPIO20, safe: off }\n  c: { gpio: RELAY3, invert: false, safe: off }\n  d: { gpio: GPIO5 }\n`,
    );
    expect(pins.map(({ spec, key }) => [key, spec.direction, spec.invert])).toEqual([
      ['line 26', 'out', true],
      ['line 20', 'out', true],
      ['line 21', 'out', false],
      ['line 5', 'in', false],
    ]);
  });

  test('a pin that names its port inherits the wiring too', () => {
    const port = 'ports: { io: { driver: gpio, chip: pinctrl-bcm2711 }, x: { driver: gpio, chip: other } }\n';
    const text = `${head}${port}pins:\n  a: { port: io, gpio: RELAY1, safe: off }\n  b: { port: io, gpio: 20, safe: off }\n  c: { port: x, gpio: 21 }\n`;
    expect(configOf(text).pins.map(({ spec, key }) => [key, spec.direction, spec.invert])).toEqual([
      ['line 26', 'out', true],
      ['line 20', 'out', true],
      ['line 21', 'in', false],
    ]);
  });

  test('a direction against the wiring is refused', () => {
    expect(placesOf(`${head}pins: { a: { gpio: RELAY1, direction: in } }\n`)).toEqual([
      '3:39 pins.a.direction: RELAY1 of waveshare-relay-3 is wired the other way',
    ]);
  });

  test('an unknown HAT gets a suggestion; a HAT that does not fit the board or another HAT is refused', () => {
    expect(errorsOf('board: raspberry-pi-5\nhats: [waveshare-relay-4]\n')).toMatchObject([
      { line: 2, column: 8, key: 'hats[0]', didYouMean: 'waveshare-relay-3' },
    ]);
    expect(placesOf('board: beaglebone-black\nhats: [waveshare-relay-3]\n')).toEqual([
      '2:8 hats[0]: board beaglebone-black: waveshare-relay-3 needs a raspberry-pi-40pin header',
    ]);
    expect(placesOf('board: raspberry-pi-5\nhats: [piface-digital-2, unipi-1]\n')).toEqual([
      '2:26 hats[1]: unipi-1 and piface-digital-2 both use GPIO25',
    ]);
    expect(placesOf('board: raspberry-pi-5\nhats: unipi-1\n')).toEqual(['2:7 hats: this must be a list, like [a, b]']);
  });

  test('a bus that a HAT needs keeps its lines, and is a warning when it is not enabled', () => {
    const text = (enabled: string) =>
      `board: { model: raspberry-pi-5, enabled: [${enabled}] }\nhats: [io-pi-plus]\npins: { a: { gpio: GPIO2 } }\n`;
    expect(placesOf(text('i2c1'))).toEqual(['3:20 pins.a.gpio: this line belongs to i2c1, which is enabled']);
    const loaded = load('board: { model: raspberry-pi-5, enabled: [] }\nhats: [io-pi-plus]\n');
    expect(loaded.ok && loaded.config.warnings.map(({ line, column }) => [line, column])).toEqual([[2, 8]]);
  });
});
