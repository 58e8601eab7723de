import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { ConfigContext } from './config/context.ts';
import type { ConfigObject, LoadedConfig } from './config/load.ts';
import type { Driver } from './driver/contract.ts';
import { DcsError, messageOf } from './errors/errors.ts';

/** The drivers of this package. Each is loaded when it is wanted. */
const BUILT_IN: Readonly<Record<string, () => Promise<Driver>>> = {
  gpio: async () => (await import('../drivers/gpio/driver.ts')).gpio,
  i2c: async () => (await import('../drivers/i2c/driver.ts')).i2c,
  modbus: async () => (await import('../drivers/modbus/driver.ts')).modbus,
  pwm: async () => (await import('../drivers/pwm/driver.ts')).pwm,
  serial: async () => (await import('../drivers/serial/driver.ts')).serial,
  sysfs: async () => (await import('../drivers/sysfs/driver.ts')).sysfs,
  virtual: async () => (await import('../drivers/virtual/driver.ts')).virtual,
  mock: async () => (await import('../drivers/mock/driver.ts')).createMock(),
};

export const driverNames: readonly string[] = Object.keys(BUILT_IN);

export function allDrivers(): Promise<readonly Driver[]> {
  return loadAll(driverNames);
}

/** The drivers whose name occurs in a text. A pin names its driver by a key of that name (`gpio: 17`) or by its port. */
export function driversIn(text: string): Promise<readonly Driver[]> {
  return loadAll(driverNames.filter((name) => text.includes(name)));
}

/** Loads one after the other: jiti gives half of a module to the second of two imports at once. */
async function loadAll(names: readonly string[]): Promise<readonly Driver[]> {
  const drivers: Driver[] = [];
  for (const name of names) drivers.push(...[await BUILT_IN[name]?.()].filter((driver) => driver !== undefined));
  return drivers;
}

export interface LoadOptions {
  /** Replace all hardware by the mock driver. */
  readonly mock?: boolean;
  /** A driver of `drivers:` that cannot be loaded is a warning, and its pins are bad. Otherwise it is an error. */
  readonly skipBrokenDrivers?: boolean;
  /** Start of relative paths in an object; default: the working directory. */
  readonly folder?: string;
}

/**
 * Reads and checks a configuration file, or an object with the same keys, with the drivers that it names: loading all of them
 * would take most of a start. A configuration with mistakes is read again with all drivers, because messages list them.
 */
export async function loadConfiguration(
  source: string | ConfigObject,
  options: LoadOptions = {},
): Promise<LoadedConfig> {
  const { folder, ...rest } = options;
  const { loadConfig } = await import('./config/load.ts');
  const outside = new Map<string, Promise<Driver>>();
  const loadDriver = (specifier: string, from: string): Promise<Driver> => {
    const loading = outside.get(specifier) ?? loadOutsideDriver(specifier, from);
    outside.set(specifier, loading);
    return loading;
  };
  const load = (drivers: readonly Driver[]) => loadConfig(source, { ...rest, drivers, loadDriver }, folder);
  const loaded = await load(await driversIn(textOf(source)));
  return loaded.ok ? loaded : load(await allDrivers());
}

/** All drivers that a configuration may use: those of this package, and those it loads. Broken ones are left out. */
export async function driversFor(source: string | ConfigObject | undefined): Promise<readonly Driver[]> {
  const builtIn = await allDrivers();
  if (source === undefined) return builtIn;
  const { readDrivers } = await import('./config/load.ts');
  const context: ConfigContext = { drivers: builtIn, loadDriver: loadOutsideDriver };
  return [...builtIn, ...(await readDrivers(source, context))];
}

function textOf(source: string | ConfigObject): string {
  try {
    return typeof source === 'string' ? readFileSync(source, 'utf8') : JSON.stringify(source);
  } catch {
    // Loading the configuration says what is wrong with it.
    return '';
  }
}

/**
 * Loads a driver of others: a package installed beside the configuration, or a file. Rejects with a DcsError that says what
 * is wrong and what would be right.
 */
export async function loadOutsideDriver(specifier: string, folder: string): Promise<Driver> {
  const file = await resolveModule(specifier, folder);
  const { loadUserModule } = await import('./agent/load-module.ts');
  const driver = checkDriver(await loadUserModule(file), specifier);
  if (Object.hasOwn(BUILT_IN, driver.name)) {
    throw new DcsError('BAD_CONFIG', `the driver of ${specifier} has the name of a driver of dcs-io`, {
      found: driver.name,
      expected: 'another name',
    });
  }
  return driver;
}

/** The file of a module, as Node finds it from a folder. */
async function resolveModule(specifier: string, folder: string): Promise<string> {
  if (/^(\.{0,2}\/)/.test(specifier)) return resolve(folder, specifier);
  try {
    return createRequire(resolve(folder, 'package.json')).resolve(specifier);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return resolveEsm(specifier, folder);
    throw new DcsError('BAD_CONFIG', `there is no package ${specifier} in ${folder}`, {
      expected: `an installed package (npm install ${specifier} in that folder), or a file like ./my-driver.ts`,
      cause: error,
    });
  }
}

/** Resolves a package that exports itself to `import` only, which `require.resolve` refuses. */
async function resolveEsm(specifier: string, folder: string): Promise<string> {
  const { createJiti } = await import('jiti');
  const parentURL = pathToFileURL(resolve(folder, 'package.json'));
  try {
    return fileURLToPath(
      createJiti(import.meta.url).esmResolve(specifier, { parentURL, conditions: ['node', 'import'] }),
    );
  } catch (error) {
    throw new DcsError('BAD_CONFIG', `the package ${specifier} cannot be imported: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

const CONTRACT = 1;
/** Members that every driver has, and the check of each. */
const MEMBERS: Readonly<Record<string, (value: unknown) => boolean>> = {
  name: (value) => typeof value === 'string' && /^[a-z][a-z0-9-]*$/.test(value),
  summary: (value) => typeof value === 'string',
  options: isSchema,
  pin: isSchema,
  describe: (value) => typeof value === 'function',
  open: (value) => typeof value === 'function',
};

/** Checks the default export of a module that should be a driver. */
function checkDriver(exported: unknown, specifier: string): Driver {
  const expected = `export default { contract: ${CONTRACT}, ${Object.keys(MEMBERS).join(', ')} }, a Driver of dcs-io/driver`;
  if (typeof exported !== 'object' || exported === null) {
    const found = exported === undefined ? 'no default export' : `a default export of type ${typeof exported}`;
    throw new DcsError('BAD_CONFIG', `${specifier} does not export a driver`, { found, expected });
  }
  const contract: unknown = Reflect.get(exported, 'contract');
  if (typeof contract === 'number' && contract !== CONTRACT) {
    throw new DcsError('BAD_CONFIG', `${specifier} was made for another version of the driver contract`, {
      found: `contract: ${contract}`,
      expected: `contract: ${CONTRACT}: a version of ${specifier} made for this dcs-io`,
    });
  }
  if (isDriver(exported)) return exported;
  const wrong = Object.entries(MEMBERS).filter(([key, fits]) => !fits(Reflect.get(exported, key)));
  const names = [...(contract === CONTRACT ? [] : ['contract']), ...wrong.map(([key]) => key)];
  throw new DcsError('BAD_CONFIG', `${specifier} does not export a driver`, {
    found: `a default export with a missing or wrong ${names.join(', ')}`,
    expected,
  });
}

function isDriver(exported: object): exported is Driver {
  if (Reflect.get(exported, 'contract') !== CONTRACT) return false;
  return Object.entries(MEMBERS).every(([key, fits]) => fits(Reflect.get(exported, key)));
}

/** A schema of zod 4, whichever copy of it. */
function isSchema(value: unknown): boolean {
  return typeof value === 'object' && value !== null && '_zod' in value && 'safeParse' in value;
}
