import { dirname } from 'node:path';
import { z } from 'zod';
import type { Driver } from '../driver/contract.ts';
import { DcsError, messageOf } from '../errors/errors.ts';
import type { PinKind } from '../pin/pin.ts';
import type { ConfigContext } from './context.ts';
import { isEmpty, type Located, textOf } from './located.ts';
import type { Problems } from './problems.ts';
import { driversSchema } from './schema.ts';
import { validate } from './validation.ts';

/** The result of loading the drivers that `drivers:` names. */
export interface LoadedDrivers {
  readonly drivers: readonly Driver[];
  /** Why the others could not be loaded. Empty when all were loaded. */
  readonly failures: readonly string[];
}

/**
 * Loads the drivers that `drivers:` of `file` names. Reports each that cannot be loaded at its place: as an error, or as a
 * warning when the agent is to run without it.
 */
export async function loadDrivers(
  located: Located | undefined,
  file: string,
  { loadDriver, skipBrokenDrivers = false }: ConfigContext,
  problems: Problems,
): Promise<LoadedDrivers> {
  const drivers: Driver[] = [];
  const failures: string[] = [];
  for (const item of itemsOf(located, problems)) {
    const specifier = textOf(item) ?? '';
    try {
      const driver = await loadDriver?.(specifier, dirname(file));
      if (driver) drivers.push(withNewName(driver, drivers, specifier));
    } catch (error) {
      failures.push(messageOf(error));
      const { found = specifier, expected } = error instanceof DcsError ? error : {};
      const detail = { found: String(found), expected };
      problems[skipBrokenDrivers ? 'warning' : 'error'](item.at, item.path, messageOf(error), detail);
    }
  }
  return { drivers, failures };
}

function itemsOf(located: Located | undefined, problems: Problems): readonly Located[] {
  if (located === undefined || isEmpty(located)) return [];
  const checked = validate(driversSchema, located, problems);
  return checked && located.node.kind === 'list' ? located.node.items : [];
}

function withNewName(driver: Driver, others: readonly Driver[], specifier: string): Driver {
  if (!others.some(({ name }) => name === driver.name)) return driver;
  throw new DcsError('BAD_CONFIG', `the driver of ${specifier} has the name of another one: ${driver.name}`);
}

/**
 * Takes the place of a driver that could not be loaded: accepts all keys, and skips its ports with the reason. Its pins
 * exist and are bad, so that the rest of the configuration runs.
 */
export function standInDriver(name: string, failures: readonly string[]): Driver {
  const reason = `driver ${name} could not be loaded: ${failures.join('; ')}`;
  return {
    contract: 1,
    name,
    summary: reason,
    options: z.looseObject({}),
    pin: z.looseObject({}),
    describe: () => ({ kind: 'digital', directions: ['in', 'out'], floats: true }),
    open: async () => ({ kind: 'skipped', reason }),
  };
}

/** Calls a driver. Reports what it throws as a mistake at a place, so that no other mistake is hidden. */
export function callDriver<T>(located: Located | undefined, problems: Problems, call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    const expected = error instanceof DcsError ? error.expected : undefined;
    if (located) problems.error(located.keyAt, located.path, messageOf(error), { expected });
    return undefined;
  }
}

const NUMBER_KEYS = ['range', 'scale', 'offset', 'deadband', 'precision', 'tolerance'];

/** The kind of value that the keys of a pin suggest when its driver cannot say it. */
export function guessKind(entries: ReadonlyMap<string, Located>): PinKind {
  if (NUMBER_KEYS.some((key) => entries.has(key))) return 'analog';
  const values = ['safe', 'initial'].flatMap((key) => {
    const node = entries.get(key)?.node;
    return node?.kind === 'scalar' ? [node.value] : [];
  });
  if (values.some((value) => typeof value === 'number')) return 'analog';
  const words = ['on', 'off', 'true', 'false', 'safe', 'last', 'hold'];
  return values.some((value) => typeof value === 'string' && !words.includes(value.toLowerCase())) ? 'text' : 'digital';
}
