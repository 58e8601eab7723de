import { describe, expect, test } from 'vitest';
import { loadConfigText } from '../../src/config/load.ts';
import { linesInUse } from '../../src/config/resolved.ts';
import { allDrivers } from '../../src/driver-registry.ts';
import { machine } from '../config/fakes.ts';

const drivers = await allDrivers();
const load = (text: string) =>
  loadConfigText(`node: n\nboard: raspberry-pi-4b\n${text}`, 'dcs-io.yaml', { drivers, machine: machine() });
function errorsOf(text: string): string[] {
  const loaded = load(text);
  return loaded.ok ? [] : loaded.problems.map(({ line, key, message }) => `${line} ${key}: ${message}`);
}

describe('one line and several pins', () => {
  test.each([
    [
      'two outputs',
      '{ gpio: GPIO22, direction: out, safe: false }',
      '{ gpio: J8-15, pwm: 10, direction: out, safe: 0 }',
    ],
    ['an input and an output', '{ gpio: GPIO22, count: rising }', '{ gpio: GPIO22, direction: out, safe: false }'],
    ['two resistors', '{ gpio: GPIO22, bias: pull-up }', '{ gpio: GPIO22, count: rising }'],
    ['two debounce times', '{ gpio: GPIO22, debounce: 20ms }', '{ gpio: GPIO22, measure: frequency }'],
    [
      "an encoder's second line and an output",
      '{ gpio: GPIO23, encoder: J8-15 }',
      '{ gpio: GPIO22, direction: out, safe: false }',
    ],
  ])('%s are a mistake that names both pins', (_, first, second) => {
    const [error, ...more] = errorsOf(`pins:\n  first: ${first}\n  second: ${second}\n`);
    expect(more).toEqual([]);
    expect(error).toMatch(/^5 pins\.second: line 22 is used by another pin .*: pin first in line 4$/);
  });

  test('a level, counters and measurements of one wire are not', () => {
    const keys = ['', ', count: rising', ', count: both', ', measure: frequency', ', measure: high-time'];
    const pins = keys.map((key, at) => `  p${at}: { gpio: GPIO22, bias: pull-up${key} }`);
    expect(errorsOf(`pins:\n${pins.join('\n')}\n`)).toEqual([]);
  });

  test('two ports on one chip are a mistake: neither would know the lines of the other', () => {
    const ports =
      'ports:\n  a: { driver: gpio, chip: pinctrl-bcm2711 }\n  b: { driver: gpio, chip: pinctrl-bcm2711 }\n';
    expect(errorsOf(ports)).toEqual(['5 ports.b: gpiochip pinctrl-bcm2711 already is port a in line 4']);
  });
});

describe("an encoder's second line", () => {
  test('is shown as in use too', () => {
    const loaded = load('pins: { wheel: { gpio: GPIO24, encoder: J8-22 }, lamp: { gpio: GPIO17 } }');
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    expect([...linesInUse(loaded.config)]).toEqual([
      ['pinctrl-bcm2711:24', 'wheel'],
      ['pinctrl-bcm2711:25', 'wheel'],
      ['pinctrl-bcm2711:17', 'lamp'],
    ]);
  });

  test('is named like the first: by position, by function or as the chip has it', () => {
    for (const name of ['J8-22', 'GPIO25', 'pinctrl-bcm2711:25', '25']) {
      const loaded = load(`pins: { wheel: { gpio: GPIO24, encoder: '${name}' } }`);
      const addresses = loaded.ok ? loaded.config.pins.map(({ address }) => address) : loaded.problems;
      expect(addresses).toEqual([{ gpio: 24, encoder: 25 }]);
    }
  });

  test('is on the chip of the first', () => {
    expect(errorsOf('pins: { wheel: { gpio: GPIO24, encoder: "gpiochip3:5" } }')).toEqual([
      '3 pins.wheel.encoder: both lines of an encoder are on one chip, and "gpiochip3:5" is on gpiochip3',
    ]);
  });

  test('is refused when an enabled bus has it', () => {
    const text = 'pins: { wheel: { gpio: GPIO24, encoder: SDA1 } }';
    const config = `node: n\nboard: { model: raspberry-pi-4b, enabled: [i2c1] }\n${text}`;
    const loaded = loadConfigText(config, 'dcs-io.yaml', { drivers, machine: machine() });
    expect(loaded.ok ? [] : loaded.problems.map(({ key, message }) => `${key}: ${message}`)).toEqual([
      'pins.wheel.encoder: this line belongs to i2c1, which is enabled',
    ]);
  });
});
