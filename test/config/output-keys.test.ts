import { describe, expect, it } from 'vitest';
import { modbus } from '../../drivers/modbus/driver.ts';
import { configOf, load, placesOf } from './fakes.ts';

const context = { drivers: [modbus] };
const plant = (keys: string) =>
  `ports: { plc: { driver: modbus, tcp: a } }\npins:\n  a: { port: plc, holding: 5, ${keys} }\n`;

describe('the keys that say how an output is written', () => {
  it.each([
    ['repeat: 1s', 'a.repeat: repeat has no meaning on an input'],
    ['direction: out, safe: 0, repeat: 1ms', 'a.repeat: at least 100ms'],
    [
      'direction: out, on: 1, self_clearing: true, repeat: 1s',
      'a.repeat: an order is over once it has been given: it is never written again',
    ],
    [
      'direction: out, on: 1, self_clearing: true, safe: off, on_loss: rewrite',
      'a.on_loss: an order is over once it has been given: it is never written again',
    ],
    ['self_clearing: true', 'a.self_clearing: self_clearing has no meaning on an input'],
    ['read: { input: 3 }', 'a.read: read has no meaning on an input'],
    ['write: { register: 16 }', 'a.write: write has no meaning on an input'],
  ])('are refused where they have no meaning: %s', (keys, problem) => {
    expect(placesOf(plant(keys), context)[0]?.replace(/^3:\d+ pins\./, '')).toBe(problem);
  });

  it.each([
    'direction: out, safe: 0, write: { register: 17 }',
    'direction: out, safe: 0, write: { coil: 6 }',
    'direction: out, safe: 0, write: { bits: 6 }',
    'direction: out, safe: 0, write: { regster: 16 }',
  ])('are refused with their place when they are no function: %s', (keys) => {
    expect(placesOf(plant(keys), context)[0]).toMatch(/^3:\d+ pins\.a\.write\./);
  });

  it('reach the pin: repetition, and that it takes orders, which need no safe value', () => {
    const [a] = configOf(plant('direction: out, safe: 0, repeat: 10s'), context).pins;
    expect(a?.spec).toMatchObject({ repeatMs: 10_000 });
    const order = load(plant('direction: out, on: 1, self_clearing: true'), context);
    expect(order.ok && order.config.warnings).toEqual([]);
    expect(order.ok && order.config.pins[0]?.spec).toMatchObject({ kind: 'digital', momentary: true });
  });

  it('may come from the device, where an order among its pins does not mind', () => {
    const text =
      'ports: { plc: { driver: modbus, tcp: a } }\ndevices:\n  d:\n    port: plc\n    repeat: 5s\n    pins:\n' +
      '      limit: { holding: 1, direction: out, safe: 0 }\n      reset: { holding: 2, on: 1, self_clearing: true, direction: out }\n';
    const [limit, reset] = configOf(text, context).pins;
    expect(limit?.spec.repeatMs).toBe(5000);
    expect(reset?.spec.repeatMs).toBeUndefined();
  });
});

it('a name of a number that is no number is refused with what would be right', () => {
  const loaded = load(plant('values: { 0: open, 0x0G: closed }'), context);
  expect(loaded.ok ? [] : loaded.problems).toMatchObject([
    { key: 'pins.a.values.0x0G', found: '0x0G', expected: 'a whole number: its name' },
  ]);
});
