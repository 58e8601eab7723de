import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type LoadedConfig, loadConfig, loadConfigText } from '../../src/config/load.ts';
import { allDrivers } from '../../src/driver-registry.ts';
import { load, machine } from './fakes.ts';

const drivers = await allDrivers();

const demo = readFileSync('examples/demo/dcs-io.yaml', 'utf8');

/** Expects no mistakes, or at least one error, each at a place within the text. */
function expectSane(loaded: LoadedConfig, text: string): void {
  if (loaded.ok) return;
  const lines = text.split('\n');
  expect(loaded.problems.some(({ severity }) => severity === 'error')).toBe(true);
  for (const { file, line, column, message } of loaded.problems) {
    expect(message).not.toBe('');
    if (file !== 'dcs-io.yaml' && file !== '/etc/dcs-io.yaml') continue;
    expect(line).toBeGreaterThanOrEqual(1);
    expect(line).toBeLessThanOrEqual(lines.length);
    expect(column).toBeGreaterThanOrEqual(1);
    expect(column).toBeLessThanOrEqual((lines[line - 1]?.length ?? 0) + 1);
  }
}

describe('random input', { timeout: 60_000 }, () => {
  test('random edits of a file are reported and throw nothing', () => {
    const edit = fc.record({
      at: fc.nat(demo.length),
      drop: fc.nat(40),
      put: fc.oneof(
        fc.string({ maxLength: 8 }),
        fc.constantFrom('{', ']', ': ', '\n', '\t', '- ', '&a ', '*a', '!!x ', '"', "'", '|\n', '<<: ', '%', '\u0000'),
      ),
    });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const text = edits.reduce((now, { at, drop, put }) => now.slice(0, at) + put + now.slice(at + drop), demo);
        expectSane(loadConfigText(text, 'dcs-io.yaml', { drivers, machine: machine() }), text);
      }),
      { numRuns: 300 },
    );
  });

  test('any value at any place of a section is reported and throws nothing', () => {
    const value = fc.jsonValue({ maxDepth: 2 });
    const key = fc.constantFrom('node', 'board', 'hats', 'bus', 'ports', 'devices', 'pins', 'actors', 'constructor');
    fc.assert(
      fc.property(fc.dictionary(key, fc.oneof(value, fc.dictionary(fc.string(), value))), (found) => {
        const text = JSON.stringify(found);
        expectSane(load(text), text);
      }),
      { numRuns: 300 },
    );
  });

  test('any object is reported and throws nothing', async () => {
    const key = fc.constantFrom('node', 'board', 'bus', 'drivers', 'ports', 'devices', 'pins', 'servers', 'web');
    const config = fc.dictionary(key, fc.anything({ withBigInt: true, withDate: true, withMap: true }));
    await fc.assert(
      fc.asyncProperty(config, async (found) => {
        const loaded = await loadConfig(found, { drivers, machine: machine() });
        expect(loaded.ok || loaded.problems.some(({ severity }) => severity === 'error')).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('any value of any pin key is reported and throws nothing', () => {
    const keys = [
      'gpio',
      'port',
      'virtual',
      'channel',
      'type',
      'direction',
      'range',
      'safe',
      'follow',
      'debounce',
      'scale',
    ];
    const pin = fc.dictionary(
      fc.constantFrom(...keys),
      fc.oneof(fc.jsonValue({ maxDepth: 1 }), fc.constantFrom('sim', 'bool', 'a', 'GPIO17')),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom('a', 'b', 'c'), pin), (pins) => {
        const text = JSON.stringify({ board: 'mock', ports: { sim: { driver: 'mock' } }, pins });
        expectSane(load(text), text);
      }),
      { numRuns: 300 },
    );
  });

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('the key %s is only a key', (key) => {
    const text = `${key}: 1\npins: { ${key}: { virtual: bool }, a: { virtual: bool, ${key}: 1 } }\n`;
    const loaded = load(text);
    const errors = loaded.ok ? [] : loaded.problems.map(({ line, message }) => [line, message]);
    expect(errors).toEqual([
      [1, `there is no key ${key} here`],
      [2, `there is no key ${key} here`],
    ]);
  });
});
