import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { Driver } from '../../src/driver/contract.ts';
import { configOf, fakeDrivers, load, machine, placesOf } from './fakes.ts';

const pi = { machine: machine({ model: 'Raspberry Pi 4 Model B Rev 1.4' }) };

describe('the place of a pin', () => {
  test('gpio without a port names a line of the board; each chip is one port, opened by its label', () => {
    const { ports, pins, board } = configOf(
      'pins:\n  a: { gpio: GPIO17 }\n  b: { gpio: J8-13, bias: pull-up }\n  c: { gpio: "gpiochip2:door" }\n',
      pi,
    );
    expect(board).toBe('raspberry-pi-4b');
    expect(ports.map(({ name, options, mock }) => [name, options, mock])).toEqual([
      ['gpio.pinctrl-bcm2711', { chip: 'pinctrl-bcm2711' }, false],
      ['gpio.gpiochip2', { chip: 'gpiochip2' }, false],
    ]);
    expect(pins.map(({ port, key, address }) => [port, key, address])).toEqual([
      ['gpio.pinctrl-bcm2711', 'line 17', { gpio: 17 }],
      ['gpio.pinctrl-bcm2711', 'line 27', { gpio: 27, bias: 'pull-up' }],
      ['gpio.gpiochip2', 'line door', { gpio: 'door' }],
    ]);
  });

  test('a chip that the user opens is not opened twice, and aliases name its lines', () => {
    const text =
      'ports: { io: { driver: gpio, chip: pinctrl-bcm2711 } }\npins:\n  a: { gpio: GPIO17 }\n  b: { port: io, gpio: GPIO27 }\n';
    const { ports, pins } = configOf(text, pi);
    expect(ports.map(({ name }) => name)).toEqual(['io']);
    expect(pins.map(({ port, key }) => [port, key])).toEqual([
      ['io', 'line 17'],
      ['io', 'line 27'],
    ]);
  });

  test('two names of one line are one line', () => {
    expect(placesOf('pins:\n  a: { gpio: GPIO17 }\n  b: { gpio: P1-11 }\n', pi)).toEqual([
      '3:3 pins.b: line 17 of port gpio.pinctrl-bcm2711 already is pin a in line 2',
    ]);
  });

  test('a misspelt alias gets a suggestion; without a known board there are no aliases', () => {
    const [found] = placesOf('pins: { a: { gpio: GPIO71 } }\n', pi);
    expect(found).toBe('1:20 pins.a.gpio: raspberry-pi-4b has no line "GPIO71"');
    expect(placesOf('pins: { a: { gpio: GPIO17 } }\n')).toEqual([
      '1:20 pins.a.gpio: no board is known, so "GPIO17" is not the name of a line',
    ]);
    expect(placesOf('board: none\npins: { a: { gpio: "gpiochip0:17" } }\n')).toEqual([]);
  });

  test('a line of an enabled bus is refused, on the machine that has it enabled or where the file says so', () => {
    const enabled = { machine: machine({ model: 'Raspberry Pi 4 Model B Rev 1.4', files: ['/dev/i2c-1'] }) };
    const message = '1:20 pins.a.gpio: this line belongs to i2c1, which is enabled';
    expect(placesOf('pins: { a: { gpio: GPIO2 } }\n', enabled)).toEqual([message]);
    expect(placesOf('pins: { a: { gpio: GPIO2 } }\n', pi)).toEqual([]);
    expect(placesOf('pins: { a: { gpio: GPIO2 } }\nboard: { model: raspberry-pi-5, enabled: [i2c1] }\n')).toEqual([
      message,
    ]);
    // For another board, the buses of this machine do not matter.
    expect(placesOf('pins: { a: { gpio: GPIO2 } }\nboard: raspberry-pi-5\n', enabled)).toEqual([]);
  });

  test('virtual pins are outputs on one port, each with its own channel', () => {
    const { ports, pins, warnings } = configOf(
      'pins:\n  a: { virtual: bool, initial: on }\n  b: { virtual: number }\n',
    );
    expect(ports.map(({ name, mock }) => [name, mock])).toEqual([['virtual', false]]);
    expect(pins.map(({ key, spec }) => [key, spec.kind, spec.direction, spec.initial])).toEqual([
      ['a', 'digital', 'out', true],
      ['b', 'analog', 'out', undefined],
    ]);
    expect(warnings).toEqual([]);
  });

  test('a port of another driver with the name of an implied port is a mistake, and is not replaced', () => {
    const text = 'ports: { virtual: { driver: mock } }\npins: { a: { virtual: bool } }\n';
    expect(placesOf(text)).toEqual(['2:9 pins.a: this pin needs a port of driver virtual named virtual']);
  });

  test('what a driver throws while it places a pin is a mistake at that pin, and hides no other mistake', () => {
    const broken: Driver = {
      contract: 1,
      name: 'broken',
      summary: 'throws',
      options: z.strictObject({}),
      pin: z.strictObject({ broken: z.string() }),
      placer: {
        keys: ['broken'],
        usage: 'broken: x',
        place() {
          throw new Error('no idea');
        },
      },
      describe: () => ({ kind: 'digital', directions: ['in'] }),
      open: () => Promise.reject(new Error('never opened')),
    };
    const text = 'pins:\n  a: { broken: x }\n  b: { virtual: boole }\n';
    expect(placesOf(text, { drivers: [...fakeDrivers, broken] })).toEqual([
      '2:3 pins.a: no idea',
      '3:17 pins.b.virtual: there is no virtual "boole"',
    ]);
  });

  test('a pin without a place, on an unknown port or with a misspelt key is a mistake', () => {
    expect(
      placesOf(
        'ports: { plc: { driver: modbus, tcp: x } }\npins:\n  a: { label: x }\n  b: { port: pcl }\n  c: { gpoi: 17 }\n',
      ),
    ).toEqual([
      '3:3 pins.a: this pin does not say where it is',
      '4:14 pins.b.port: there is no port "pcl"',
      '5:3 pins.c: this pin does not say where it is',
      '5:8 pins.c.gpoi: there is no key gpoi here',
    ]);
  });

  test('a wrong port does not make its pins wrong; their own mistakes are reported', () => {
    expect(
      placesOf('ports: { plc: { driver: modbus } }\npins: { a: { port: plc, holding: 1, direction: up, typ: x } }\n'),
    ).toEqual([
      '1:10 ports.plc: tcp is missing',
      '2:48 pins.a.direction: there is no direction "up"',
      '2:52 pins.a.typ: there is no key typ here',
    ]);
  });
});

describe('the specification of a pin', () => {
  const sim = 'ports: { sim: { driver: mock } }\npins:\n';

  test('the common keys become the specification, with their defaults', () => {
    const { pins } = configOf(
      `${sim}  a: { port: sim, channel: 1 }\n  b: { port: sim, channel: 2, type: analog, direction: out, range: [0, 50], initial: 5, safe: 0, scale: 0.1, offset: 2, deadband: 1, precision: 2, max_silence: 10s, on_loss: rewrite, uom: Hz, label: pump }\n`,
    );
    expect(pins[0]?.spec).toEqual({
      name: 'a',
      kind: 'digital',
      direction: 'in',
      invert: false,
      scale: 1,
      offset: 0,
      deadband: 0,
      onExit: 'hold',
      onLoss: 'safe',
      rearm: 'auto',
      debounceMs: 0,
      rules: {},
      simulated: true,
    });
    expect(pins[1]?.spec).toMatchObject({
      range: [0, 50],
      initial: 5,
      safe: 0,
      onExit: 'safe',
      scale: 0.1,
      offset: 2,
      deadband: 1,
      precision: 2,
      maxSilenceMs: 10_000,
      onLoss: 'rewrite',
      uom: 'Hz',
      label: 'pump',
    });
  });

  test.each([
    ['true', true],
    ['on', true],
    ['ON', true],
    ['1', true],
    ['false', false],
    ['off', false],
    ['0', false],
  ])('a digital value may be written %s', (written, value) => {
    const text = `${sim}  a: { port: sim, channel: 1, direction: out, safe: ${written} }\n`;
    expect(configOf(text).pins[0]?.spec.safe).toBe(value);
  });

  test.each([
    ['direction: out, safe: banana', 'pins.a.safe: this is no value of a digital pin'],
    ['direction: out, safe: 2', 'pins.a.safe: this is no value of a digital pin'],
    ['type: analog, direction: out, safe: "5"', 'pins.a.safe: this is no value of an analog pin'],
    ['type: analog, direction: out, safe: .nan', 'pins.a.safe: safe must be true or false or a number or text'],
    ['type: text, direction: out, safe: 5', 'pins.a.safe: this is no value of a text pin'],
    ['type: analog, direction: out, range: [0, 9], safe: 10', "pins.a.safe: this value is outside the pin's range"],
    ['type: analog, direction: out, range: [9, 0]', 'pins.a.range: the range is empty'],
    ['type: analog, scale: 0', 'pins.a.scale: scale 0 makes every value 0'],
    ['initial: true', 'pins.a.initial: initial has no meaning on an input'],
    ['safe: true', 'pins.a.safe: safe has no meaning on an input'],
    ['follow: a', 'pins.a.follow: follow has no meaning on an input'],
    ['type: analog, invert: true', 'pins.a.invert: invert has no meaning on a pin that is analog'],
    ['scale: 2', 'pins.a.scale: scale has no meaning on a pin that is digital'],
    ['debounce: 20', 'pins.a.debounce: a duration with its unit: 20ms, 1s, 10m'],
    ['direction: out, debounce: 20ms', 'pins.a.debounce: debounce has no meaning on an output'],
    ['direction: out, on_exit: safe', 'pins.a.on_exit: on_exit: safe needs to know the safe value'],
    ['direction: out, on_exit: input', 'pins.a.on_exit: this output is always driven and cannot become an input'],
    ['direction: out, on_loss: safe', 'pins.a.on_loss: on_loss: safe needs to know the safe value'],
    ['on_loss: hold', 'pins.a.on_loss: on_loss has no meaning on an input'],
    ['precision: 2', 'pins.a.precision: precision has no meaning on a pin that is digital'],
    ['max_silence: 1ms', 'pins.a.max_silence: at least 100ms'],
    ['direction: inout', 'pins.a.direction: there is no direction "inout"'],
  ])('%s is refused', (keys, problem) => {
    expect(
      placesOf(`${sim}  a: { port: sim, channel: 1, ${keys} }
`)[0]?.replace(/^3:\d+ /, ''),
    ).toBe(problem);
  });

  test('a direction the channel does not have is refused', () => {
    expect(
      placesOf(
        'ports: { plc: { driver: modbus, tcp: x } }\npins: { a: { port: plc, input: 1, direction: out, safe: 0 } }\n',
      ),
    ).toEqual(['2:46 pins.a.direction: this channel cannot be direction: out']);
  });

  test('an output without a safe value is a warning, and it holds on exit', () => {
    const { pins, warnings } = configOf(`${sim}  a: { port: sim, channel: 1, direction: out }\n`);
    expect(warnings.map(({ line, key }) => [line, key])).toEqual([[3, 'pins.a']]);
    expect(pins[0]?.spec.onExit).toBe('hold');
  });

  test('a name that patterns or paths cannot handle is refused', () => {
    expect(placesOf(`${sim}  "a b": { port: sim, channel: 1 }\n`)).toEqual([
      '3:3 pins.a b: a name is made of letters, digits and _ - . : /',
    ]);
  });

  test('mistakes in nested options have their place and a suggestion', () => {
    const loaded = load('ports: { plc: { driver: modbus, tcp: x, line: 9600-8X1, timing: { gap: 5, retrys: 1 } } }\n');
    expect(loaded.ok ? [] : loaded.problems.map(({ column, key, didYouMean }) => [column, key, didYouMean])).toEqual([
      [47, 'ports.plc.line', undefined],
      [72, 'ports.plc.timing.gap', undefined],
      [75, 'ports.plc.timing.retrys', 'retries'],
    ]);
  });
});

describe('read_on', () => {
  const pins = (other: string) =>
    `pins:\n  int: { virtual: bool }\n  door: { gpio: "gpiochip2:4", read_on: ${other} }\n`;

  test('an input is read when another pin changes; an unknown pin, the pin itself and an output are mistakes', () => {
    expect(configOf(pins('int')).pins[1]?.spec.readOn).toBe('int');
    expect(placesOf(pins('ind'))).toEqual(['3:41 pins.door.read_on: there is no pin "ind"']);
    expect(placesOf(pins('door'))).toEqual(['3:41 pins.door.read_on: door waits for itself']);
    expect(placesOf('pins:\n  a: { virtual: bool, read_on: b }\n  b: { virtual: bool }\n')).toEqual([
      '2:23 pins.a.read_on: read_on has no meaning on an output',
    ]);
  });
});

describe('follow', () => {
  const pins = (...follow: string[]) =>
    `pins:\n${follow.map((other, at) => `  p${at}: { virtual: bool${other === '' ? '' : `, follow: ${other}`} }\n`).join('')}  n: { virtual: number }\n`;

  test('a pin may follow another with the same type of value', () => {
    expect(placesOf(pins('', 'p0', 'p1'))).toEqual([]);
    expect(configOf(pins('', 'p0')).pins[1]?.spec.rules.follow?.pin).toBe('p0');
  });

  test('a pin cannot follow itself, a cycle, an unknown pin or another type of value', () => {
    expect(placesOf(pins('p0'))).toEqual(['2:32 pins.p0.follow: p0 follows p0: this never comes to rest']);
    expect(placesOf(pins('p1', 'p2', 'p0'))).toEqual([
      '2:32 pins.p0.follow: p0 follows p1 follows p2 follows p0: this never comes to rest',
      '3:32 pins.p1.follow: p1 follows p2 follows p0 follows p1: this never comes to rest',
      '4:32 pins.p2.follow: p2 follows p0 follows p1 follows p2: this never comes to rest',
    ]);
    expect(placesOf(pins('p9'))).toEqual(['2:32 pins.p0.follow: there is no pin "p9"']);
    expect(placesOf(pins('n'))).toEqual(['2:32 pins.p0.follow: p0 is digital and cannot follow n, which is analog']);
  });

  test('a pin that follows into a cycle without being in it is not reported, and nothing hangs', () => {
    expect(placesOf(pins('p1', 'p0', 'p0'))).toHaveLength(2);
  });
});

describe('mock', () => {
  const text =
    'board: raspberry-pi-5\nports: { sim: { driver: mock }, plc: { driver: modbus, tcp: x } }\npins: { a: { gpio: GPIO17 }, v: { virtual: bool } }\n';

  test('the mock driver opens all ports but those without real hardware', () => {
    const mocked = configOf(text, { mock: true }).ports.map(({ name, mock }) => [name, mock]);
    expect(mocked).toEqual([
      ['sim', false],
      ['plc', true],
      ['gpio.pinctrl-rp1', true],
      ['virtual', false],
    ]);
    expect(configOf(text).ports.some(({ mock }) => mock)).toBe(false);
  });

  test('the board mock has no real chip; other ports are real', () => {
    const ports = configOf(text.replace('raspberry-pi-5', 'mock')).ports.map(({ name, mock }) => [name, mock]);
    expect(ports).toContainEqual(['gpio.mock', true]);
    expect(ports).toContainEqual(['plc', false]);
  });

  test('with --mock a file for a detected board runs on the board mock on any machine', () => {
    expect(configOf('board: auto\npins: { a: { gpio: GPIO17 } }\n', { mock: true }).board).toBe('mock');
  });
});
