import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { PortContext } from '../../src/driver/contract.ts';
import { driversFor, type LoadOptions, loadConfiguration } from '../../src/driver-registry.ts';
import { startAgent } from '../../src/start-agent.ts';

/** A folder with files, and a configuration in it. */
function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'drivers-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const SPI = `
  contract: 1,
  name: 'spi',
  summary: 'converters on a bus',
  options: z.strictObject({ bus: z.int().min(0) }),
  pin: z.strictObject({ input: z.int().min(0).max(7) }),
  describe: ({ input }) => ({ key: 'input ' + input, kind: 'analog', directions: ['in'] }),
  open: async () => ({ kind: 'skipped', reason: 'no hardware' }),
`;
const zod = import.meta.resolve('zod');
const module = (members: string) => `import { z } from '${zod}';\nexport default {${members}};\n`;
const CONFIG = `node: n
drivers: [./spi.mjs]
ports: { adc: { driver: spi, bus: 0 } }
pins:
  level: { port: adc, input: 3, scale: 10 }
  lamp: { virtual: bool, initial: off }
`;

/** The problems of a configuration as `line:column key: message; expected`. */
async function problemsOf(folder: string, options: LoadOptions = {}): Promise<string[]> {
  const loaded = await loadConfiguration(join(folder, 'dcs-io.yaml'), options);
  const problems = loaded.ok ? loaded.config.warnings : loaded.problems;
  return problems.map(({ severity, line, column, key, message, found, expected }) =>
    `${severity} ${line}:${column} ${key}: ${message}; ${found}; ${expected}`.replaceAll(folder, ''),
  );
}

async function configOf(folder: string, options: LoadOptions = {}) {
  const loaded = await loadConfiguration(join(folder, 'dcs-io.yaml'), options);
  if (!loaded.ok) throw new Error(loaded.problems.map(({ key, message }) => `${key}: ${message}`).join('\n'));
  return loaded.config;
}

describe('drivers:', () => {
  test.each([
    ['a JavaScript file', './spi.mjs', { 'spi.mjs': module(SPI) }],
    [
      'a TypeScript file',
      './spi.ts',
      { 'spi.ts': module(SPI.replace('({ input })', '({ input }: { input: number })')).replace(zod, 'dcs-io/driver') },
    ],
    [
      'a package beside the configuration',
      'dcs-io-driver-spi',
      {
        'node_modules/dcs-io-driver-spi/package.json': '{ "exports": { ".": { "import": "./lib/main.js" } } }',
        'node_modules/dcs-io-driver-spi/lib/main.js': module(SPI),
      },
    ],
    [
      'a package with a main file',
      '"@acme/spi"',
      {
        'node_modules/@acme/spi/package.json': '{ "main": "main.js", "type": "module" }',
        'node_modules/@acme/spi/main.js': module(SPI),
      },
    ],
  ])('%s gives ports, pins and their checks like a driver of this package', async (_, specifier, files) => {
    const folder = folderWith({ 'dcs-io.yaml': CONFIG.replace('./spi.mjs', specifier), ...files });
    const { ports, pins } = await configOf(folder);
    expect(ports.map(({ name, options, mock }) => [name, options, mock])).toEqual([
      ['adc', { bus: 0 }, false],
      ['virtual', {}, false],
    ]);
    expect(pins.map(({ spec, key, address }) => [spec.name, spec.kind, key, address])).toEqual([
      ['level', 'analog', 'input 3', { input: 3 }],
      ['lamp', 'digital', 'lamp', { virtual: 'bool' }],
    ]);
    writeFileSync(join(folder, 'dcs-io.yaml'), CONFIG.replace('./spi.mjs', specifier).replace('input: 3', 'inptu: 9'));
    expect(await problemsOf(folder)).toEqual([
      expect.stringMatching(/^error 5:3 pins\.level: input is missing/),
      expect.stringMatching(/^error 5:23 pins\.level\.inptu: there is no key inptu here/),
    ]);
  });

  test('with --mock the ports of such a driver are simulated', async () => {
    const folder = folderWith({ 'dcs-io.yaml': CONFIG, 'spi.mjs': module(SPI) });
    const { ports } = await configOf(folder, { mock: true });
    expect(ports.map(({ name, mock }) => [name, mock])).toEqual([
      ['adc', true],
      ['virtual', false],
    ]);
  });

  test('the drivers for a schema are those of this package and those that the file loads', async () => {
    const folder = folderWith({ 'dcs-io.yaml': CONFIG, 'spi.mjs': module(SPI) });
    const names = (await driversFor(join(folder, 'dcs-io.yaml'))).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['gpio', 'mock', 'spi']));
    expect((await driversFor(undefined)).map(({ name }) => name)).not.toContain('spi');
  });
});

const BROKEN: [string, string, string | undefined, RegExp][] = [
  ['a file that is missing', './spi.mjs', undefined, /cannot be loaded: Cannot find module/],
  [
    'a package that is missing',
    'dcs-io-driver-none',
    undefined,
    /there is no package .*npm install dcs-io-driver-none/,
  ],
  ['a module that throws', './spi.mjs', "throw new Error('no licence');\n", /cannot be loaded: no licence/],
  ['a module without a default export', './spi.mjs', 'export const spi = 1;\n', /no default export; export default \{/],
  ['a driver without open', './spi.mjs', module(SPI.replace(/open:.*/, '')), /a missing or wrong open;/],
  ['a driver without a contract', './spi.mjs', module(SPI.replace('contract: 1,', '')), /a missing or wrong contract;/],
  [
    'a driver of another contract',
    './spi.mjs',
    module(SPI.replace('contract: 1', 'contract: 2')),
    /another version of the driver contract; contract: 2; contract: 1: /,
  ],
  [
    'a driver with a schema that is none of zod 4',
    './spi.mjs',
    module(SPI.replace(/pin: .*/, 'pin: { parse: (x) => x },')),
    /a missing or wrong pin;/,
  ],
  [
    'a driver with a name that is taken',
    './spi.mjs',
    module(SPI.replace("'spi'", "'gpio'")),
    /has the name of a driver/,
  ],
];

describe('a driver that cannot be used', () => {
  const files = (specifier: string, text: string | undefined): Record<string, string> => ({
    'dcs-io.yaml': CONFIG.replace('./spi.mjs', specifier),
    ...(text !== undefined && { 'spi.mjs': text }),
  });

  test.each(BROKEN)(
    '%s is a mistake at its place in drivers:, with what would be right',
    async (_, specifier, text, message) => {
      const found = await problemsOf(folderWith(files(specifier, text)));
      expect(found).toEqual([expect.stringMatching(message)]);
      expect(found[0]).toMatch(/^error 2:11 drivers\[0\]: /);
    },
  );

  test.each(BROKEN)(
    '%s is a warning for an agent that runs: only its port is skipped, with the reason',
    async (_, specifier, text, message) => {
      const folder = folderWith(files(specifier, text));
      const { ports, pins, warnings } = await configOf(folder, { skipBrokenDrivers: true, mock: true });
      expect(warnings.map(({ key }) => key)).toEqual(['drivers[0]']);
      expect(pins.map(({ spec, port }) => [spec.name, port])).toEqual([
        ['level', 'adc'],
        ['lamp', 'virtual'],
      ]);
      const [adc] = ports;
      expect(adc?.mock).toBe(false);
      const context = {} satisfies Partial<PortContext>;
      const opened = await adc?.driver.open(adc.options, [], Object.assign(Object.create(null), context));
      expect(opened).toEqual({ kind: 'skipped', reason: expect.stringMatching(/^driver spi could not be loaded: ./) });
      expect(message.source).not.toBe('');
    },
  );

  test('its pins may be in rules, servers and devices, whatever type of value they would have', async () => {
    const text = `node: n
drivers: [./spi.mjs]
ports: { adc: { driver: spi, bus: 0 } }
devices: { d: { port: adc, speed: 3, pins: { a: { input: 1, safe: 5, direction: out, range: [0, 9] } } } }
pins:
  level: { port: adc, input: 3, invert: true, scale: 3 }
  lamp: { virtual: bool, initial: off, requires: [level], follow: d.a }
  free: { spi: 7, label: nowhere }
servers: { out: { driver: spi, whatever: 1 }, plc: { driver: modbus, tcp: '127.0.0.1:1502', coils: { 0: level } } }
`;
    const folder = folderWith({ 'dcs-io.yaml': text, 'spi.mjs': 'throw new Error("boom");\n' });
    const { pins, ports } = await configOf(folder, { skipBrokenDrivers: true });
    expect(pins.map(({ spec }) => [spec.name, spec.kind, spec.direction])).toEqual([
      ['level', 'analog', 'in'],
      ['lamp', 'digital', 'out'],
      ['free', 'digital', 'in'],
      ['d.a', 'analog', 'out'],
    ]);
    expect(ports.map(({ name }) => name)).toEqual(['adc', 'virtual', '(spi)']);
  });

  test('an agent runs without it: its pin is bad with the reason, and the others work', async () => {
    const text = `bus: { enabled: false }\nguardian: off\nstate: none\n${CONFIG}`;
    const folder = folderWith({ 'dcs-io.yaml': text, 'spi.mjs': 'throw new Error("no licence");\n' });
    await using agent = await startAgent(join(folder, 'dcs-io.yaml'));
    const level = await agent.pins.get('level');
    expect([level.quality, level.reason]).toEqual([
      'bad',
      expect.stringMatching(/driver spi could not be loaded: .*spi\.mjs cannot be loaded: no licence/),
    ]);
    await expect(agent.pins.set('lamp', true)).resolves.toMatchObject({ val: true, quality: 'good' });
  });

  test('two drivers of one name are a mistake at the second', async () => {
    const text = CONFIG.replace('[./spi.mjs]', '[./spi.mjs, ./more.mjs]');
    const folder = folderWith({ 'dcs-io.yaml': text, 'spi.mjs': module(SPI), 'more.mjs': module(SPI) });
    expect(await problemsOf(folder)).toEqual([
      expect.stringMatching(/^error 2:22 drivers\[1\]: the driver of \.\/more\.mjs has the name of another one: spi/),
    ]);
  });

  test('a list of something else is a mistake, and an unknown driver stays one when all were loaded', async () => {
    const folder = folderWith({ 'dcs-io.yaml': CONFIG.replace('[./spi.mjs]', '[5]'), 'spi.mjs': module(SPI) });
    expect(await problemsOf(folder)).toEqual([
      expect.stringMatching(/^error 2:11 drivers\[0\]: 0 must be text/),
      expect.stringMatching(/^error 3:25 ports\.adc\.driver: there is no driver "spi"/),
    ]);
  });
});

describe('a driver that throws while a configuration is checked', () => {
  test.each(['describe', 'claims', 'review'])('%s: the mistake is at its pin or port', async (member) => {
    const throws = `${member}: () => { throw new Error('boom'); },`;
    const members = member === 'describe' ? SPI.replace(/describe: .*/, throws) : SPI + throws;
    const folder = folderWith({ 'dcs-io.yaml': CONFIG, 'spi.mjs': module(members) });
    expect(await problemsOf(folder)).toEqual([
      expect.stringMatching(member === 'describe' ? /^error 5:3 pins\.level: boom/ : /^error 3:10 ports\.adc: boom/),
    ]);
  });
});
