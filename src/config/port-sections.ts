import type { Driver, ServerKind, ServerNeeds } from '../driver/contract.ts';
import type { Placement } from '../driver/placement.ts';
import type { ConfigContext } from './context.ts';
import { callDriver, standInDriver } from './drivers-section.ts';
import { keysAt } from './json-schema.ts';
import { entriesOf, type Located, lastKey, textOf, withEntries } from './located.ts';
import type { CheckedPin } from './pin-section.ts';
import type { Problems } from './problems.ts';
import type { ResolvedServer } from './resolved.ts';
import { checkName, reportUnknownKey, reportUnknownName, sectionEntries, validate } from './validation.ts';

/** An entry of `ports:`, or a port made for pins that name none. */
export interface PortEntry {
  readonly name: string;
  readonly driver: Driver;
  /** `undefined` when they are wrong, which has been reported. */
  readonly options: { readonly value: unknown } | undefined;
  readonly mock: boolean;
  /** Its driver could not be loaded, which has been reported: nothing is known about its pins. */
  readonly standIn?: true;
  /** Its entry; `undefined` for a port made for pins that name none. */
  readonly located?: Located;
}

type ImpliedPort = Extract<Placement, { kind: 'placed' }>['port'];

/** All ports by name. `undefined` for a port that is too wrong to say anything about its pins. */
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
  const rest = new Map([...entries].filter(([key]) => key !== 'driver'));
  if (driver === undefined) {
    const standIn = standInPort(name, textOf(named), context, located);
    if (standIn === undefined) reportUnknownName(named, 'driver', names, problems);
    return standIn;
  }
  const options = validate(driver.options, withEntries(located, rest), problems, ['driver']);
  return { name, driver, options, mock: isMocked(driver, context, false), located };
}

/** The port of a driver that could not be loaded. `undefined` when all drivers of the configuration were loaded. */
export function standInPort(
  name: string,
  driverName: string | undefined,
  { driverFailures = [] }: ConfigContext,
  located?: Located,
): PortEntry | undefined {
  if (driverName === undefined || driverFailures.length === 0) return undefined;
  const driver = standInDriver(driverName, driverFailures);
  return { name, driver, options: { value: {} }, mock: false, standIn: true, ...(located && { located }) };
}

function reportNoDriver(located: Located, drivers: readonly Driver[], problems: Problems): void {
  const known = ['driver', ...drivers.flatMap((driver) => keysAt(driver.options))];
  const unknown = [...entriesOf(located).keys()].filter((key) => !known.includes(key));
  for (const key of unknown) reportUnknownKey(located, key, problems, ['driver']);
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

/** Reads `servers:`: servers that show pins to other systems. */
export function readServers(
  located: Located | undefined,
  ports: Ports,
  pins: readonly CheckedPin[],
  context: ConfigContext,
  problems: Problems,
): ResolvedServer[] {
  return [...sectionEntries(located, problems)].flatMap(([name, entry]) => {
    checkName(name, entry, problems);
    return readServer(name, entry, { ports, pins }, context, problems) ?? [];
  });
}

interface ServedHardware {
  readonly ports: Ports;
  readonly pins: readonly CheckedPin[];
}

function readServer(
  name: string,
  located: Located,
  served: ServedHardware,
  context: ConfigContext,
  problems: Problems,
): ResolvedServer | undefined {
  const kind = serverKind(name, located, context, problems);
  if (kind === undefined) return undefined;
  const rest = new Map([...entriesOf(located)].filter(([key]) => key !== 'driver'));
  const options = validate(kind.options, withEntries(located, rest), problems, ['driver']);
  if (options === undefined) return undefined;
  const needs = callDriver(located, problems, () => kind.needs(options.value));
  const mistakes = needs && callDriver(located, problems, () => reviewServer(kind, options.value, needs, served));
  if (needs === undefined || mistakes === undefined) return undefined;
  // Without the driver of a pin its kind of value is a guess: the agent runs without the server.
  const guessed = served.pins.some(({ spec, kindIsGuess }) => kindIsGuess && needs.pins.includes(spec.name));
  for (const mistake of mistakes) problems[guessed ? 'warning' : 'error'](located.keyAt, located.path, mistake);
  return mistakes.length > 0 ? undefined : { name, kind, options: options.value, pins: needs.pins };
}

/** The kind of server that an entry names. Reports a wrong name, unless a driver is missing that may have it. */
function serverKind(
  name: string,
  located: Located,
  { drivers, driverFailures = [] }: ConfigContext,
  problems: Problems,
): ServerKind | undefined {
  const serving = drivers.filter(({ server }) => server !== undefined);
  const names = serving.map((driver) => driver.name);
  const named = entriesOf(located).get('driver');
  if (named === undefined) {
    problems.error(located.keyAt, located.path, `server ${name} does not say its driver`, {
      expected: `driver: one of ${names.join(', ')}`,
    });
    return undefined;
  }
  const kind = serving.find((driver) => driver.name === textOf(named))?.server;
  if (kind === undefined && driverFailures.length === 0) {
    reportUnknownName(named, 'driver of servers', names, problems);
  }
  return kind;
}

/** The mistakes of a server: pins and ports that do not exist, or else what the server itself objects to. */
function reviewServer(
  kind: ServerKind,
  options: unknown,
  needs: ServerNeeds,
  { ports, pins }: ServedHardware,
): readonly string[] {
  const facts = new Map(pins.map(({ spec: { name, kind, direction } }) => [name, { kind, direction }]));
  const missing = [
    ...needs.pins.filter((pin) => !facts.has(pin)).map((pin) => `there is no pin ${pin}`),
    ...needs.ports.filter((port) => !ports.has(port)).map((port) => `there is no port ${port}`),
  ];
  return missing.length > 0 ? missing : kind.review(options, facts);
}
