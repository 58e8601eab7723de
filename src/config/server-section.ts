import type { PinFacts } from '../driver/server.ts';
import type { ConfigContext } from './context.ts';
import { entriesOf, type Located, textOf, withEntries } from './located.ts';
import type { Ports } from './port-section.ts';
import type { Problems } from './problems.ts';
import type { ResolvedPin, ResolvedServer } from './resolved.ts';
import { check, reportUnknownName } from './schema-issues.ts';
import { checkName, sectionEntries } from './section.ts';

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
  const options = check(kind.options, withEntries(located, rest), problems, ['driver']);
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
