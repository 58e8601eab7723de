import { describe, expect, test } from 'vitest';
import { modbus } from '../../drivers/modbus/driver.ts';
import { serial } from '../../drivers/serial/driver.ts';
import { loadConfigText } from '../../src/config/load.ts';
import { fakeDrivers, machine } from './fakes.ts';

const drivers = [...fakeDrivers.filter(({ name }) => name !== 'modbus'), modbus, serial];
const head = `ports:
  plc: { driver: modbus, tcp: '10.0.0.1:502' }
  tty: { driver: serial, path: /dev/ttyS0 }
pins:
`;
const GUARD = 'guard: { port: plc, holding: 3, values: { 0: open, 1: closed } }';
const MODE = (keys: string) =>
  `mode: { port: plc, holding: 4, direction: out, values: { 0: stop, 1: idle, 2: run }, ${keys} }`;
const SAW = (keys: string) => `saw: { port: plc, coil: 0, direction: out, safe: false, ${keys} }`;

function load(...pins: string[]) {
  const text = head + pins.map((pin) => `  ${pin}\n`).join('');
  return loadConfigText(text, 'plant.yaml', { drivers, machine: machine() });
}
/** Messages of the problems, with what would be right. */
function problems(...pins: string[]): string[] {
  const loaded = load(...pins);
  const found = loaded.ok ? loaded.config.warnings.map((one) => ({ ...one })) : loaded.problems;
  return found
    .filter(({ message }) => !message.includes('no safe value'))
    .map(({ line, column, key, message, expected }) => `${line}:${column} ${key}: ${message} → ${expected}`);
}
function specs(...pins: string[]) {
  const loaded = load(...pins);
  if (!loaded.ok) throw new Error(loaded.problems.map(({ message }) => message).join('; '));
  return Object.fromEntries(loaded.config.pins.map(({ spec }) => [spec.name, spec]));
}

describe('a rule on a text pin without the values that are on', () => {
  test('requires is refused, with the values of the pin', () => {
    expect(problems(GUARD, SAW('requires: guard'))).toEqual([
      '6:69 pins.saw.requires: guard is text, and which of its values are on is not said → requires: { pin: guard, is: [WORD] }; its values are open, closed',
    ]);
    expect(problems(GUARD, SAW('requires: [guard, { pin: guard, is: closed }]'))).toHaveLength(1);
  });

  test('interlock is refused, on both sides of it', () => {
    expect(problems(MODE('safe: stop'), SAW('interlock: mode'))).toEqual([
      '6:70 pins.saw.interlock: mode is text, and which of its values are on is not said → interlock: { pin: mode, is: [WORD] }, or on: [WORD] at mode; its values are stop, idle, run',
    ]);
    expect(problems(MODE('safe: stop, interlock: saw'), SAW('label: x'))).toEqual([
      '5:100 pins.mode.interlock: mode is text, and which of its values are on is not said → on: [WORD] beside it; its values are stop, idle, run',
    ]);
  });

  test('follow of another kind is refused', () => {
    expect(problems(GUARD, SAW('follow: guard'))).toEqual([
      '6:67 pins.saw.follow: saw is digital and cannot follow guard, which is text → a pin that is digital, or follow: { pin: guard, is: [VALUE] }',
    ]);
  });

  test.each(['max_on: 1m', 'min_on: 1m', 'min_off: 1m', 'requires: saw'])(
    '%s of the output itself is refused',
    (rule) => {
      expect(problems(MODE(`safe: stop, ${rule}`), SAW('label: x'))).toEqual([
        expect.stringContaining('mode is text, and which of its values are on is not said → on: [WORD] beside it'),
      ]);
    },
  );

  test('text of any driver counts: virtual, serial, registers of text', () => {
    expect(problems('note: { virtual: text }', SAW('requires: note'))).toHaveLength(1);
    expect(problems('state: { port: tty, match: "S=(\\\\w+)", type: text }', SAW('requires: state'))).toHaveLength(1);
    expect(problems('name: { port: plc, holding: 20, type: string, length: 8 }', SAW('requires: name'))).toHaveLength(
      1,
    );
    expect(problems('note: { virtual: text, max_on: 1m }')).toHaveLength(1);
  });
});

describe('named values', () => {
  test('make the rule right, as one value or a list', () => {
    expect(specs(GUARD, SAW('requires: { pin: guard, is: [closed] }')).saw?.rules.requires).toEqual([
      { pin: 'guard', is: ['closed'] },
    ]);
    expect(specs(GUARD, SAW('requires: { pin: guard, is: closed }')).saw?.rules.requires).toEqual([
      { pin: 'guard', is: ['closed'] },
    ]);
    expect(specs(GUARD, SAW('follow: { pin: guard, is: [closed], delay: 1s }')).saw?.rules.follow).toEqual({
      pin: 'guard',
      is: ['closed'],
      invert: false,
      delayMs: 1000,
    });
    expect(specs('door: { port: plc, discrete: 0 }', SAW('requires: { pin: door, is: off }')).saw?.rules).toEqual({
      requires: [{ pin: 'door', is: [false] }],
    });
    expect(specs('state: { port: plc, input: 0 }', SAW('requires: { pin: state, is: [3, 4] }')).saw?.rules).toEqual({
      requires: [{ pin: 'state', is: [3, 4] }],
    });
  });

  test('of an interlock say what is on for every rule of the other output, which also goes off by them', () => {
    for (const written of [
      '{ pin: mode, is: [run] }',
      '[{ pin: mode, is: run }]',
      '{ with: { pin: mode, is: [run] } }',
      '{ with: mode, is: [run] }',
      '{ with: [mode], is: run }',
    ]) {
      const { mode, saw } = specs(MODE('safe: idle'), SAW(`interlock: ${written}`));
      expect(mode).toMatchObject({ on: ['run'], off: 'idle', rules: { interlock: { pins: ['saw'] } } });
      expect(saw?.rules.interlock).toEqual({ pins: ['mode'], deadMs: 0 });
    }
    expect(specs(MODE('safe: stop'), SAW('interlock: { pin: mode, is: [run], dead_time: 1s }')).saw?.rules).toEqual({
      interlock: { pins: ['mode'], deadMs: 1000 },
    });
  });

  test('on at the pin serves every rule that names it', () => {
    const on = 'guard: { port: plc, holding: 3, values: { 0: open, 1: closed }, on: [closed] }';
    const { guard, saw } = specs(on, SAW('requires: guard, follow: guard'));
    expect(guard?.on).toEqual(['closed']);
    expect(saw?.rules).toMatchObject({ requires: [{ pin: 'guard' }], follow: { pin: 'guard', is: ['closed'] } });
    expect(specs('s: { port: tty, match: "S=(\\\\w+)", type: text, on: [RUN] }').s?.on).toEqual(['RUN']);
  });

  test('on of a pin that is not text stays with its driver', () => {
    const { a } = specs('a: { port: tty, match: "S=(\\\\w+)", type: bool, on: [RUN] }');
    expect(a).toMatchObject({ kind: 'digital' });
    expect(a?.on).toBeUndefined();
  });

  test('off is the one other value, the safe one, or stated', () => {
    const two = (keys: string) =>
      `onoff: { port: plc, holding: 5, direction: out, values: { 0: "off", 1: "on" }, ${keys} }`;
    expect(specs(two('on: ["on"], max_on: 1m')).onoff).toMatchObject({ on: ['on'], off: 'off' });
    expect(specs(two('on: ["on"], safe: off')).onoff).toMatchObject({ safe: 'off' });
    expect(specs(MODE('on: run, safe: off, off: stop, max_on: 1m')).mode).toMatchObject({ safe: 'stop', off: 'stop' });
    expect(problems(MODE('on: [run], max_on: 1m'))).toEqual([
      '5:99 pins.mode.max_on: a rule turns mode off, and which of its values is off is not said → off: WORD beside it, or safe: WORD with a value that is not on; its values are stop, idle, run',
    ]);
  });

  test.each([
    [[GUARD, SAW('requires: { pin: guard, is: [closd] }')], 'there is no value of guard "closd" → one of open, closed'],
    [[GUARD, SAW('requires: { pin: guard, is: [1] }')], 'guard is text → text in quotes: "1"'],
    [['d: { port: plc, discrete: 0 }', SAW('requires: { pin: d, is: [closed] }')], 'd is digital → on or off'],
    [['n: { port: plc, input: 0 }', SAW('requires: { pin: n, is: [closed] }')], 'n is analog → a number'],
    [[MODE('on: [rnu], safe: stop')], 'there is no value of mode "rnu" → one of stop, idle, run'],
    [[MODE('on: [run], off: halt')], 'there is no value of mode "halt" → one of stop, idle, run'],
    [[MODE('on: [run], off: run, safe: stop')], 'run is on → a value that is not in on'],
    [[MODE('safe: halt')], 'there is no value "halt" → one of stop, idle, run'],
    [[MODE('initial: halt, safe: stop')], 'there is no value "halt" → one of stop, idle, run'],
    [
      [MODE('on: [run], safe: run, max_on: 1m, off: stop')],
      'max_on may forbid the safe value → safe: off, or no such rule',
    ],
    [
      [SAW('interlock: { pin: b, is: [off] }'), 'b: { port: plc, coil: 1, direction: out, safe: false }'],
      'b is digital: in an interlock it is on with true',
    ],
    [
      [MODE('on: [run], safe: stop'), SAW('interlock: { pin: mode, is: [idle] }')],
      'mode has other values that are on: run → interlock: mode',
    ],
    [['d: { virtual: bool, on: [x] }'], 'on has no meaning on a pin that is digital'],
    [
      [MODE('safe: stop, follow: { pin: d, is: [on] }'), 'd: { port: plc, discrete: 0 }'],
      'mode is text: only a digital pin is on or off by the values of another',
    ],
    [[MODE('safe: stop, follow: note'), 'note: { virtual: text }'], 'note may be any text, which is no value of mode'],
    [[MODE('safe: stop, follow: guard'), GUARD], 'guard may be "open", which is no value of mode'],
  ])('that the pin cannot have are refused: %j', (pins, problem) => {
    expect(problems(...pins)).toEqual([expect.stringContaining(problem)]);
  });

  test('a number without them is accepted with a warning: every value but 0 is on', () => {
    expect(problems('level: { port: plc, input: 0 }', SAW('requires: level'))).toEqual([
      '6:69 pins.saw.requires: level is a number: every value but 0 counts as on → requires: { pin: level, is: [1] }',
    ]);
  });

  test('that no two rules can meet are reported', () => {
    expect(
      problems(
        'b: { port: plc, coil: 1, direction: out, safe: false }',
        'c: { port: plc, coil: 2, direction: out, safe: false, requires: b }',
        SAW('requires: [c, { pin: b, is: [off] }]'),
      ),
    ).toEqual([expect.stringContaining('saw can never be on')]);
  });
});
