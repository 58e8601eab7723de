import type { Driver, PinFacts } from '../driver/contract.ts';
import type { Placement } from '../driver/placement.ts';
import type { ConfigContext } from './context.ts';
import { keysAt } from './json-schema.ts';
import { entriesOf, type Located, textOf, withEntries } from './located.ts';
import type { Problems } from './problems.ts';
import type { ResolvedPin, ResolvedServer } from './resolved.ts';
import { checkName, lastKey, reportUnknownKey, reportUnknownName, sectionEntries, validate } from './validation.ts';

/** An entry of `ports:`, or a port that stands for pins that name none. */
export interface PortEntry {
  readonly name: string;
  readonly driver: Driver;
  /** Undefined: they are wrong, which has been reported. */
  readonly options: { readonly value: unknown } | undefined;
  readonly mock: boolean;
  /** Where the user wrote it; absent on a port that stands for pins that name none. */
  readonly located?: Located;
}

type ImpliedPort = Extract<Placement, { kind: 'placed' }>['port'];

/** All ports by name. Undefined in place of one that is too wrong to say anything about its pins. */
export type Ports = Map<string, PortEntry | undefined>;

/** Reads `ports:`. */
export function readPorts(located: Located | undefined, context: ConfigContext, problems: Problems): Ports {
  const ports: Ports = new Map();
  for (const [name, entry] of sectionEntries(located, problems)) {
    ports.set(name, readPort(name, entry, context, problems));
    checkName(name, entry, problems);
  }
  return ports;
}

function readPort(name: string, located: Located, context: ConfigContext, problems: Problems): PortEntry | undefined {
  if (located.node.kind !== 'section') {
    problems.invalid(located, `port ${name} must be a section of keys`, { expected: '{ driver: …, … }' });
    return undefined;
  }
  const entries = entriesOf(located);
  const named = entries.get('driver');
  const names = context.drivers.map((driver) => driver.name);
  if (named === undefined) {
    reportNoDriver(located, context.drivers, problems);
    return undefined;
  }
  const driver = context.drivers.find((known) => known.name === textOf(named));
  if (driver === undefined) {
    reportUnknownName(named, 'driver', names, problems);
    return undefined;
  }
  const rest = new Map([...entries].filter(([key]) => key !== 'driver'));
  const options = validate(driver.options, withEntries(located, rest), problems, ['driver']);
  return { name, driver, options, mock: isMocked(driver, context, false), located };
}

function reportNoDriver(located: Located, drivers: readonly Driver[], problems: Problems): void {
  const known = ['driver', ...drivers.flatMap((driver) => keysAt(driver.options))];
  const strangers = [...entriesOf(located).keys()].filter((key) => !known.includes(key));
  for (const key of strangers) reportUnknownKey(located, key, problems, ['driver']);
  problems.error(located.keyAt, located.path, `port ${lastKey(located)} does not say its driver`, {
    expected: `driver: one of ${drivers.map((driver) => driver.name).join(', ')}`,
  });
}

/**
 * The port of a driver for pins that name none: an open one with the same claim, because two ports on one piece of hardware
 * would not see each other's channels. Otherwise made once for all such pins. `undefined` when the options do not fit the
 * driver, or the user has given the name to something else.
 */
export function impliedPort(
  ports: Ports,
  driver: Driver,
  { name, options: given, mock = false }: ImpliedPort,
  context: ConfigContext,
): PortEntry | undefined {
  const parsed = driver.options.safeParse(given);
  if (!parsed.success) return undefined;
  const claim = driver.claims?.(parsed.data);
  const opened = [...ports.values()].find(
    (port) =>
      port?.driver === driver &&
      (claim === undefined ? port.name === name : port.options && driver.claims?.(port.options.value) === claim),
  );
  if (opened !== undefined) return opened;
  if (ports.get(name) !== undefined) return undefined;
  const made = { name, driver, options: { value: parsed.data }, mock: isMocked(driver, context, mock) };
  ports.set(name, made);
  return made;
}

function isMocked(driver: Driver, context: ConfigContext, simulated: boolean): boolean {
  return (context.mock === true || simulated) && driver.hardware === undefined;
}

/** Reads `servers:`: what shows pins to other systems. */
export function readServers(
  located: Located | undefined,
  ports: Ports,
  pins: readonly Pick<ResolvedPin, 'spec'>[],
  context: ConfigContext,
  problems: Problems,
): ResolvedServer[] {
  const facts = new Map(pins.map(({ spec: { name, kind, direction } }) => [name, { kind, direction }]));
  return [...sectionEntries(located, problems)].flatMap(([name, entry]) => {
    checkName(name, entry, problems);
    return readServer(name, entry, ports, facts, context, problems) ?? [];
  });
}

function readServer(
  name: string,
  located: Located,
  ports: Ports,
  facts: ReadonlyMap<string, PinFacts>,
  context: ConfigContext,
  problems: Problems,
): ResolvedServer | undefined {
  const serving = context.drivers.flatMap(({ name: driver, server }) => (server ? [{ driver, server }] : []));
  const names = serving.map(({ driver }) => driver);
  const entries = entriesOf(located);
  const named = entries.get('driver');
  if (named === undefined) {
    problems.error(located.keyAt, located.path, `server ${name} does not say its driver`, {
      expected: `driver: one of ${names.join(', ')}`,
    });
    return undefined;
  }
  const kind = serving.find(({ driver }) => driver === textOf(named))?.server;
  if (kind === undefined) {
    reportUnknownName(named, 'driver of servers', names, problems);
    return undefined;
  }
  const rest = new Map([...entries].filter(([key]) => key !== 'driver'));
  const options = validate(kind.options, withEntries(located, rest), problems, ['driver']);
  if (options === undefined) return undefined;
  const needs = kind.needs(options.value);
  const strangers = [
    ...needs.pins.filter((pin) => !facts.has(pin)).map((pin) => `there is no pin ${pin}`),
    ...needs.ports.filter((port) => !ports.has(port)).map((port) => `there is no port ${port}`),
  ];
  const mistakes = strangers.length > 0 ? strangers : kind.review(options.value, facts);
  for (const mistake of mistakes) problems.error(located.keyAt, located.path, mistake);
  return mistakes.length > 0 ? undefined : { name, kind, options: options.value, pins: needs.pins };
}
