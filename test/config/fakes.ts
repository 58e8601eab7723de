import { z } from 'zod';
import { gpioPlacer } from '../../drivers/gpio/place.ts';
import { createMock } from '../../drivers/mock/driver.ts';
import { virtual } from '../../drivers/virtual/driver.ts';
import type { ConfigContext, Machine } from '../../src/config/context.ts';
import { type LoadedConfig, loadConfigText } from '../../src/config/load.ts';
import type { Problem, ResolvedConfig } from '../../src/config/resolved.ts';
import type { Driver } from '../../src/driver/contract.ts';
import { durationSchema, lineSchema } from '../../src/driver/kit/schemas.ts';

async function open(): Promise<never> {
  throw new Error('reading a configuration must not open hardware');
}

/** A driver with the keys of GPIO lines. */
const gpio: Driver<{ chip: string }, { gpio: number | string }> = {
  contract: 1,
  name: 'gpio',
  summary: 'lines of a chip',
  options: z.strictObject({ chip: z.string() }),
  pin: z.strictObject({
    gpio: z.union([z.int().min(0), z.string()], { error: 'a line of the chip: its offset or its name' }),
    bias: z.enum(['pull-up', 'pull-down', 'off']).optional(),
  }),
  placer: gpioPlacer,
  claims: ({ chip }) => `gpiochip ${chip}`,
  describe: ({ gpio: line }) => ({ key: `line ${line}`, kind: 'digital', directions: ['in', 'out'] }),
  open,
};

/** A driver with units, tables and defaults that devices hand down, as field buses have them. */
const modbus: Driver<{ tcp: string }, { unit: number; input?: number | undefined; holding?: number | undefined }> = {
  contract: 1,
  name: 'modbus',
  summary: 'registers of a device',
  options: z.strictObject({
    tcp: z.string(),
    line: lineSchema.optional(),
    timing: z.strictObject({ gap: durationSchema.optional(), retries: z.int().min(0).max(5).optional() }).optional(),
  }),
  pin: z.strictObject({
    unit: z.int().min(0).max(255).default(1),
    input: z.int().min(0).optional(),
    holding: z.int().min(0).optional(),
    type: z.enum(['uint16', 'float32']).default('uint16'),
    poll: durationSchema.optional(),
  }),
  describe: ({ unit, input, holding }) => ({
    key: input === undefined ? `u${unit}/holding/${holding}` : `u${unit}/input/${input}`,
    kind: 'analog',
    directions: input === undefined ? ['in', 'out'] : ['in'],
  }),
  claims: ({ tcp }) => (tcp === 'shared' ? undefined : tcp),
  review: ({ tcp }, channels) => [
    ...(tcp === 'slow' ? [{ message: 'the bus is too slow', expected: 'poll: 5s' }] : []),
    ...channels.filter(({ address }) => address.holding === 666).map(({ key }) => ({ channel: key, message: 'odd' })),
  ],
  open,
};

export const fakeDrivers: readonly Driver[] = [gpio, modbus, createMock(), virtual];

/** A computer with a fixed name, without a device tree, and with the given files only. */
export function machine(
  given: Partial<{ model: string; files: readonly string[]; contents: ReadonlyMap<string, Buffer> }> = {},
): Machine {
  const { contents = new Map<string, Buffer>() } = given;
  return {
    hostname: () => 'test-host',
    deviceTree: () => ({ model: given.model, compatible: [] }),
    exists: (path) => given.files?.includes(path) ?? false,
    read: (path) => contents.get(path),
    list: (folder) => [
      ...new Set(
        [...contents.keys()].flatMap((path) =>
          path.startsWith(`${folder}/`) ? (path.slice(folder.length + 1).split('/')[0] ?? []) : [],
        ),
      ),
    ],
  };
}

export function load(text: string, context: Partial<ConfigContext> = {}): LoadedConfig {
  return loadConfigText(text, '/etc/dcs-io.yaml', { drivers: fakeDrivers, machine: machine(), ...context });
}

/** The configuration of a text that is right. */
export function configOf(text: string, context: Partial<ConfigContext> = {}): ResolvedConfig {
  const loaded = load(text, context);
  if (!loaded.ok)
    throw new Error(
      loaded.problems
        .map(
          ({ line, column, key, message, found, expected }) =>
            `${line}:${column} ${key} ${message}; ${found}; ${expected}`,
        )
        .join('\n'),
    );
  return loaded.config;
}

/** The errors of a text that is wrong. */
export function errorsOf(text: string, context: Partial<ConfigContext> = {}): Problem[] {
  const loaded = load(text, context);
  return loaded.ok ? [] : loaded.problems.filter(({ severity }) => severity === 'error');
}

/** `line:column key: message` of each error. */
export function placesOf(text: string, context: Partial<ConfigContext> = {}): string[] {
  return errorsOf(text, context).map(({ line, column, key, message }) => `${line}:${column} ${key}: ${message}`);
}
