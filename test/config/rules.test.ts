import { describe, expect, test } from 'vitest';
import { configOf, placesOf } from './fakes.ts';

const pin = (name: string, keys = '') => `  ${name}: { virtual: bool${keys === '' ? '' : `, ${keys}`} }\n`;
const file = (pins: Readonly<Record<string, string>>) =>
  `pins:\n${Object.entries(pins)
    .map(([name, keys]) => pin(name, keys))
    .join('')}`;
const wrong = (pins: Readonly<Record<string, string>>) => placesOf(file(pins)).map((text) => text.replace(/^\S+ /, ''));
const rulesOf = (keys: string) => configOf(file({ a: keys, b: '', c: '' })).pins[0]?.spec.rules;

describe('the rules of an output', () => {
  test('are read in their short and their long form', () => {
    expect(rulesOf('follow: b')).toEqual({ follow: { pin: 'b', invert: false, delayMs: 0 } });
    expect(rulesOf('follow: { pin: b, invert: true, delay: 2s }')).toEqual({
      follow: { pin: 'b', invert: true, delayMs: 2000 },
    });
    expect(rulesOf('requires: b')).toEqual({ requires: [{ pin: 'b' }] });
    expect(rulesOf('requires: [b, c]')).toEqual({ requires: [{ pin: 'b' }, { pin: 'c' }] });
    expect(rulesOf('interlock: b')).toEqual({ interlock: { pins: ['b'], deadMs: 0 } });
    expect(rulesOf('interlock: { with: [b, c], dead_time: 500ms }')).toEqual({
      interlock: { pins: ['b', 'c'], deadMs: 500 },
    });
    expect(rulesOf('max_on: 10m, min_on: 5s, min_off: 3m, rate: 10/min')).toEqual({
      maxOnMs: 600_000,
      minOnMs: 5000,
      minOffMs: 180_000,
      rate: { changes: 10, perMs: 60_000 },
    });
  });

  test('an interlock of one pin holds for both, with the longer dead time', () => {
    const { pins } = configOf(
      file({ a: 'interlock: { with: b, dead_time: 2s }', b: 'interlock: { with: c, dead_time: 1s }', c: '' }),
    );
    expect(pins.map(({ spec }) => spec.rules.interlock)).toEqual([
      { pins: ['b'], deadMs: 2000 },
      { pins: ['c', 'a'], deadMs: 2000 },
      { pins: ['b'], deadMs: 1000 },
    ]);
  });

  test('name pins that exist, and never the pin itself', () => {
    expect(wrong({ a: 'requires: [b, bb]', b: '' })).toEqual(['pins.a.requires[1]: there is no pin "bb"']);
    expect(wrong({ a: 'interlock: { with: x }' })).toEqual(['pins.a.interlock.with: there is no pin "x"']);
    expect(wrong({ a: 'requires: a' })).toEqual(['pins.a.requires: a cannot have itself in requires']);
    expect(wrong({ a: 'interlock: a' })).toEqual(['pins.a.interlock: a cannot have itself in interlock']);
    expect(
      placesOf(
        'ports: { sim: { driver: mock } }\npins:\n  a: { virtual: bool, interlock: b }\n  b: { port: sim, channel: 1 }\n',
      ),
    ).toEqual(['3:34 pins.a.interlock: b is an input: only outputs can be interlocked']);
  });

  test.each([
    ['rate: often', 'pins.a.rate: changes in a time: 10/min'],
    ['rate: 0/s', 'pins.a.rate: changes in a time: 10/min'],
    ['max_on: 10', 'pins.a.max_on: a duration with its unit: 20ms, 1s, 10m'],
    ['follow: { pin: b, delai: 1s }', 'pins.a.follow.delai: there is no key delai here'],
    ['min_on: 10s, max_on: 5s', 'pins.a.min_on: min_on is longer than max_on'],
    ['requires: b, initial: on', 'pins.a.initial: a starts off: whether requires allows more is not known yet'],
    ['interlock: b, initial: last', 'pins.a.initial: a starts off: whether interlock allows more is not known yet'],
    ['requires: b, safe: on', 'pins.a.safe: requires may forbid the safe value'],
    ['max_on: 1m, safe: on', 'pins.a.safe: max_on may forbid the safe value'],
  ])('%s is refused', (keys, problem) => {
    expect(wrong({ a: keys, b: '' })).toEqual([problem]);
  });

  test('that need 0 for off are refused with a range without 0', () => {
    expect(
      placesOf(
        'pins:\n  a: { virtual: number, range: [10, 50], max_on: 1m }\n  b: { virtual: number, range: [0, 50], max_on: 1m }\n',
      ),
    ).toEqual(['2:32 pins.a.range: max_on needs the value 0 for off']);
  });
});

describe('rules that can never all hold', () => {
  test.each<[string, Readonly<Record<string, string>>, string[]]>([
    [
      'two that wait for each other',
      { a: 'requires: b', b: 'requires: a' },
      ['pins.a.requires: a can never be on: b requires a', 'pins.b.requires: b can never be on: a requires b'],
    ],
    [
      'three that wait for each other',
      { a: 'requires: b', b: 'requires: c', c: 'requires: a' },
      [
        'pins.a.requires: a can never be on: c requires a',
        'pins.b.requires: b can never be on: a requires b',
        'pins.c.requires: c can never be on: b requires c',
      ],
    ],
    [
      'one that requires what it is interlocked with',
      { a: 'requires: b, interlock: b', b: '' },
      ['pins.a.requires: a can never be on: a requires b, but a is interlocked with b'],
    ],
    [
      'one that requires two that exclude each other',
      { a: 'requires: [b, c]', b: 'interlock: c', c: '' },
      ['pins.a.requires: a can never be on: a requires c, but b is interlocked with c'],
    ],
    [
      'one that requires what it follows inverted',
      { a: 'requires: b, follow: { pin: b, invert: true }', b: '' },
      ['pins.a.requires: a can never be on: a requires b, but a follows b inverted'],
    ],
  ])('%s', (_what, pins, problems) => {
    expect(wrong(pins)).toEqual(problems);
  });

  test('are not reported for rules that can all hold', () => {
    expect(wrong({ a: 'requires: [b, c]', b: 'requires: c', c: '', d: 'interlock: a, requires: c' })).toEqual([]);
  });
});

describe('the safe and initial values of an output', () => {
  const out = (keys: string, kind = 'bool') => `pins:\n  a: { virtual: ${kind}, ${keys} }\n`;

  test('safe: off is false or 0; safe: hold keeps the value', () => {
    expect(configOf(out('safe: off')).pins[0]?.spec).toMatchObject({ safe: false, onExit: 'safe' });
    expect(configOf(out('safe: off', 'number')).pins[0]?.spec.safe).toBe(0);
    const held = configOf(
      'ports: { sim: { driver: mock } }\npins:\n  a: { port: sim, channel: 1, direction: out, safe: hold }\n',
    );
    expect(held.pins[0]?.spec).toMatchObject({ onExit: 'hold' });
    expect(held.pins[0]?.spec.safe).toBeUndefined();
    expect(held.warnings).toEqual([]);
  });

  test('initial may be last, or the safe value', () => {
    expect(configOf(out('safe: on, initial: last')).pins[0]?.spec.initial).toEqual({ last: true });
    expect(configOf(out('safe: on, initial: safe')).pins[0]?.spec.initial).toBe(true);
  });

  test.each([
    ['initial: safe', 'pins.a.initial: initial: safe needs to know the safe value'],
    ['controller: hall', 'pins.a.controller: without its controller this output has no safe value to go to'],
    [
      'controller: hall, safe: hold',
      'pins.a.controller: without its controller this output has no safe value to go to',
    ],
    ['on_exit: safe, safe: hold', 'pins.a.on_exit: on_exit: safe needs to know the safe value'],
    ['rearm: never', 'pins.a.rearm: there is no rearm "never"'],
  ])('%s is refused', (keys, problem) => {
    expect(placesOf(out(keys)).map((text) => text.replace(/^\S+ /, ''))).toEqual([problem]);
  });

  test('off is refused with a range without 0', () => {
    expect(placesOf(out('safe: off, range: [10, 50]', 'number'))).toEqual([
      "2:31 pins.a.safe: off is 0, which is outside the pin's range",
    ]);
  });
});

describe('circles through requires', () => {
  test('are refused when an output may be off because it is on', () => {
    const restless = (pins: Readonly<Record<string, string>>) => {
      const body = Object.entries(pins).map(([name, keys]) => `  ${name}: { ${keys} }\n`);
      return placesOf(`pins:\n  button: { virtual: bool }\n  mode: { virtual: text }\n${body.join('')}`).filter(
        (text) => text.includes('come to rest'),
      );
    };
    const at = (line: number, pin: string, circle: string) =>
      expect.stringMatching(
        new RegExp(`^${line}:\\d+ pins.${pin}.requires\\S*: ${circle}: this may never come to rest`),
      );
    const free = 'expr: "not (a or b)"';
    const out = 'virtual: bool, follow: button';
    expect(restless({ free, a: `${out}, requires: free`, b: out })).toEqual([
      at(5, 'a', 'a depends on free depends on a'),
    ]);
    expect(restless({ free, a: 'virtual: bool, requires: [button, { pin: free, is: on }]', b: out })).toEqual([
      at(5, 'a', 'a depends on free depends on a'),
    ]);
    expect(
      restless({ free: 'expr: "good(a) and not b"', a: out, b: `${out}, requires: a`, c: 'virtual: bool' }),
    ).toEqual([]);
    expect(
      restless({
        x: 'expr: "not a"',
        y: 'expr: "x and button"',
        a: `${out}, requires: b`,
        b: 'virtual: bool, follow: y',
      }),
    ).toEqual([at(6, 'a', 'a depends on b depends on y depends on x depends on a')]);
    const follow = (pin: string) => `virtual: bool, follow: ${pin}`;
    const through = [at(4, 'a', 'a depends on b depends on c depends on a')];
    expect(restless({ a: `${out}, requires: { pin: b, is: off }`, c: follow('a'), b: follow('c') })).toEqual(through);
    const inverted = follow('{ pin: a, invert: true }');
    expect(restless({ a: `${out}, requires: b`, c: inverted, b: follow('c') })).toEqual(through);
    // These come to rest: each waits for the other, or the one that is on stays on.
    const other = (pin: string) => `${out}, requires: { pin: ${pin}, is: off }`;
    expect(restless({ a: other('b'), b: other('a') })).toEqual([]);
    expect(restless({ a: `${out}, requires: b`, c: follow('a'), b: follow('c') })).toEqual([]);
    expect(restless({ x: 'expr: "not a"', a: `${out}, interlock: b`, b: follow('x') })).toEqual([]);
  });
});
