import type { Channel } from '../driver/contract.ts';
import { pinsOf } from '../expression/parse.ts';
import { type Follow, type PinKind, type PinSpec, rawOf } from '../pin/pin.ts';
import { callDriver } from './drivers-section.ts';
import { entriesOf, type Located, placeText, toPlain } from './located.ts';
import { writtenConditions } from './on-values.ts';
import type { CheckedPin, PinDraft } from './pin-section.ts';
import type { PortEntry, Ports } from './port-sections.ts';
import type { Problems } from './problems.ts';
import { reportUnknownName } from './validation.ts';

/** Reports pins and ports that contradict each other: names, channels, lines and hardware used twice, broken references. */
export function checkRelations(
  pins: readonly CheckedPin[],
  specs: ReadonlyMap<string, PinSpec>,
  drafts: readonly PinDraft[],
  ports: Ports,
  problems: Problems,
): void {
  const names = drafts.map((draft) => draft.name);
  checkNames(drafts, problems);
  checkChannels(pins, problems);
  checkLines(pins, problems);
  checkFollows(pins, specs, names, problems);
  checkRequired(pins, specs, problems);
  checkReadOn(pins, names, problems);
  checkClaims(ports, problems);
  reviewPorts(ports, pins, problems);
}

/** Reports names given to two pins: `meter.power` in `pins`, and power of the device meter. */
function checkNames(drafts: readonly PinDraft[], problems: Problems): void {
  const seen = new Map<string, Located>();
  for (const { name, located } of drafts) {
    const first = seen.get(name);
    if (first === undefined) seen.set(name, located);
    else {
      const message = `a pin ${name} already stands ${placeText(first, located)}`;
      problems.error(located.keyAt, located.path, message, { expected: 'each pin name once' });
    }
  }
}

/** Reports channels that two pins share. */
function checkChannels(pins: readonly CheckedPin[], problems: Problems): void {
  const seen = new Map<string, CheckedPin>();
  for (const pin of pins) {
    const channel = JSON.stringify([pin.port, pin.key]);
    const first = seen.get(channel);
    if (first === undefined) seen.set(channel, pin);
    else {
      const { keyAt, path } = pin.located;
      const other = `pin ${first.spec.name} ${placeText(first.located, pin.located)}`;
      problems.error(keyAt, path, `${pin.key} of port ${pin.port} already is ${other}`, {
        found: `${first.spec.name} and ${pin.spec.name} on one channel`,
        expected: 'one pin a channel',
      });
    }
  }
}

/** Reports lines that pins of two ports use: GPIO of a chip, and the processor's PWM that comes out at the line. */
function checkLines(pins: readonly CheckedPin[], problems: Problems): void {
  const seen = new Map<string, CheckedPin>();
  for (const pin of pins) {
    for (const line of pin.lines ?? []) {
      const first = seen.get(line);
      if (first === undefined) seen.set(line, pin);
      else if (first.port !== pin.port) {
        const { keyAt, path } = pin.located;
        const other = `pin ${first.spec.name} ${placeText(first.located, pin.located)}`;
        problems.error(keyAt, path, `the line ${line} already is ${other}`, {
          expected: 'a line as GPIO or for PWM, not both',
        });
      }
    }
  }
}

/** Checks `follow`: the other pin exists and has the same type of value, and no pin follows itself. */
function checkFollows(
  pins: readonly CheckedPin[],
  specs: ReadonlyMap<string, PinSpec>,
  names: readonly string[],
  problems: Problems,
): void {
  const byName = new Map(pins.map((pin) => [pin.spec.name, pin]));
  for (const pin of pins) {
    const key = pin.entries.get('follow');
    const { follow } = specs.get(pin.spec.name)?.rules ?? {};
    if (follow === undefined || key === undefined) continue;
    const own = problems.forPin(pin.spec.name, pin.inherited);
    const written = entriesOf(key).get('pin') ?? key;
    checkDigital(pin.spec, key, own);
    if (names.includes(follow.pin)) checkFollowed(pin, follow, written, byName, own);
    else reportUnknownName(written, 'pin', names, own);
  }
}

/** Reports `invert` and `is` of a pin that is not on or off. */
function checkDigital({ name, kind }: PinSpec, follow: Located, problems: Problems): void {
  if (kind === 'digital') return;
  const invert = entriesOf(follow).get('invert');
  const is = entriesOf(follow).get('is');
  if (invert && toPlain(invert) === true) {
    problems.invalid(invert, `${name} is ${kind}: only a digital pin is inverted`);
  }
  if (is) problems.invalid(is, `${name} is ${kind}: only a digital pin is on or off by the values of another`);
}

function checkFollowed(
  pin: CheckedPin,
  { pin: followed, is }: Follow,
  written: Located,
  byName: ReadonlyMap<string, CheckedPin>,
  problems: Problems,
): void {
  const { name, kind } = pin.spec;
  const other = byName.get(followed);
  const kindsKnown = !pin.kindIsGuess && !other?.kindIsGuess;
  if (other && kindsKnown && is === undefined && valueType(other.spec.kind) !== valueType(kind)) {
    const words = kind === 'digital' ? `, or follow: { pin: ${followed}, is: [VALUE] }` : '';
    problems.invalid(written, `${name} is ${kind} and cannot follow ${followed}, which is ${other.spec.kind}`, {
      expected: `a pin that is ${kind}${words}`,
    });
  }
  const missing = missingWord(pin.spec, other?.spec);
  if (missing !== undefined) {
    problems.invalid(written, `${followed} may be ${missing}, which is no value of ${name}`, {
      expected: `a pin whose values are among ${pin.spec.words?.join(', ')}`,
    });
  }
  const cycle = findCycle(pin, byName);
  if (cycle) {
    problems.invalid(written, `${cycle.join(' follows ')}: this never comes to rest`, { expected: 'no circle' });
  }
}

/** A value of the followed pin that the other cannot have. `undefined` when there is none. */
function missingWord({ words, rules }: PinSpec, followed: PinSpec | undefined): string | undefined {
  if (words === undefined || followed?.kind !== 'text' || rules.follow?.is) return undefined;
  const missing = followed.words?.find((word) => !words.includes(word));
  return followed.words ? missing && JSON.stringify(missing) : 'any text';
}

/** The names of a cycle of `follow` and `expr` that starts and ends at a pin. `undefined` when the pin is in none. */
function findCycle(start: CheckedPin, byName: ReadonlyMap<string, CheckedPin>): string[] | undefined {
  const seen = new Set<string>();
  const search = (path: readonly string[]): string[] | undefined => {
    for (const next of leadersOf(byName.get(path.at(-1) ?? ''))) {
      if (next === start.spec.name) return [...path, next];
      if (seen.has(next)) continue;
      seen.add(next);
      const found = search([...path, next]);
      if (found) return found;
    }
    return undefined;
  };
  return search([start.spec.name]);
}

/** The pins that decide a pin's value: the one it follows, or those it is computed from. */
function leadersOf(pin: CheckedPin | undefined): readonly string[] {
  const followed = pin?.spec.rules.follow?.pin;
  return [...(followed === undefined ? [] : [followed]), ...(pin?.computed ? pinsOf(pin.computed.expression) : [])];
}

/** One step from a pin to another one that decides about it. */
interface Dependency {
  readonly on: string;
  /** It decides the value, and does not only forbid one. */
  readonly decides: boolean;
  /** The one may be on because the other is off. */
  readonly mayInvert: boolean;
}

function dependenciesOf(pin: CheckedPin | undefined, specs: ReadonlyMap<string, PinSpec>): readonly Dependency[] {
  const { follow, requires = [] } = (pin && specs.get(pin.spec.name)?.rules) ?? {};
  const sources = pin?.computed ? pinsOf(pin.computed.expression) : [];
  return [
    ...(follow ? [{ on: follow.pin, decides: true, mayInvert: follow.invert || follow.is !== undefined }] : []),
    ...sources.map((on) => ({ on, decides: true, mayInvert: true })),
    ...requires.map(({ pin: on, is }) => ({ on, decides: false, mayInvert: is !== undefined })),
  ];
}

/**
 * Reports outputs that are on only because they are off: a circle through `requires`, and through an expression or an inverted
 * `follow`. The relay would chatter. An interlock holds for both sides, so that the output that is on stays on.
 */
function checkRequired(pins: readonly CheckedPin[], specs: ReadonlyMap<string, PinSpec>, problems: Problems): void {
  const byName = new Map(pins.map((pin) => [pin.spec.name, pin]));
  const dependencies = (name: string) => dependenciesOf(byName.get(name), specs);
  for (const pin of pins) {
    const { name } = pin.spec;
    for (const { pin: on, at } of writtenConditions(pin.entries.get('requires'))) {
      const first = dependencies(name).filter((one) => !one.decides && one.on === on);
      const circle = first.map((one) => findRestless(name, one, dependencies)).find((found) => found !== undefined);
      if (!circle) continue;
      const message = `${circle.join(' depends on ')}: this may never come to rest`;
      problems.forPin(name, pin.inherited).invalid(at, message, { expected: 'no circle' });
    }
  }
}

/** The names of a circle that begins with a dependency of a pin, and in which a pin may turn itself off and on. */
function findRestless(
  start: string,
  first: Dependency,
  dependencies: (name: string) => readonly Dependency[],
): readonly string[] | undefined {
  const seen = new Set<string>();
  const search = (path: readonly string[], { on, decides, mayInvert }: Dependency): readonly string[] | undefined => {
    const key = `${decides} ${mayInvert} ${on}`;
    if (seen.has(key)) return undefined;
    seen.add(key);
    if (on === start) return decides && mayInvert ? [...path, on] : undefined;
    for (const next of dependencies(on)) {
      const both = { on: next.on, decides: decides || next.decides, mayInvert: mayInvert || next.mayInvert };
      const found = search([...path, on], both);
      if (found) return found;
    }
    return undefined;
  };
  return search([start], first);
}

function valueType(kind: PinKind): string {
  return kind === 'counter' ? 'analog' : kind;
}

/** Checks `read_on`: the pin exists and is another one. */
function checkReadOn(pins: readonly CheckedPin[], names: readonly string[], problems: Problems): void {
  for (const { spec, entries } of pins) {
    const written = entries.get('read_on');
    if (spec.readOn === undefined || written === undefined) continue;
    if (!names.includes(spec.readOn)) reportUnknownName(written, 'pin', names, problems);
    else if (spec.readOn === spec.name) {
      problems.invalid(written, `${spec.name} waits for itself`, { expected: 'the interrupt line of its chip' });
    }
  }
}

/** Reports hardware that two ports claim. */
function checkClaims(ports: Ports, problems: Problems): void {
  const seen = new Map<string, PortEntry>();
  for (const port of ports.values()) {
    const claim = port && claimOf(port, problems);
    if (port === undefined || claim === undefined) continue;
    const first = seen.get(claim);
    if (first === undefined) seen.set(claim, port);
    else if (port.located) {
      const there = first.located
        ? `port ${first.name} ${placeText(first.located, port.located)}`
        : `port ${first.name}`;
      problems.error(port.located.keyAt, port.located.path, `${claim} already is ${there}`, {
        found: `${claim} opened twice`,
        expected: 'one port a piece of hardware; many pins and devices may use it',
      });
    }
  }
}

function claimOf({ driver, options, located }: PortEntry, problems: Problems): string | undefined {
  return options && callDriver(located, problems, () => driver.claims?.(options.value));
}

/** Reports what the drivers find doubtful or impossible about their ports. */
function reviewPorts(ports: Ports, pins: readonly CheckedPin[], problems: Problems): void {
  for (const port of ports.values()) {
    const own = pins.filter((pin) => pin.port === port?.name);
    if (port) reviewPort(port, own, problems);
  }
}

function reviewPort({ driver, options, located }: PortEntry, pins: readonly CheckedPin[], problems: Problems): void {
  if (options === undefined) return;
  const at = located ?? pins[0]?.located;
  const remarks = callDriver(at, problems, () => driver.review?.(options.value, pins.map(channelOf))) ?? [];
  for (const { channel, other, key, message, expected, fatal } of remarks) {
    const pin = pins.find((one) => one.key === channel);
    const section = pin?.located ?? at;
    const second = pins.find((pin) => pin.key === other);
    if (section === undefined) continue;
    const about = keyPlace(key?.split('.') ?? [], pin?.entries ?? entriesOf(section), section);
    const text = second ? `${message}: pin ${second.spec.name} ${placeText(second.located, about)}` : message;
    problems[fatal ? 'error' : 'warning'](about.keyAt, about.path, text, { expected });
  }
}

/** The place of a key of a section, or of the section when the key stands in another file: the profile of a device. */
function keyPlace(path: readonly string[], entries: ReadonlyMap<string, Located>, section: Located): Located {
  const [key, ...rest] = path;
  const entry = key === undefined ? undefined : entries.get(key);
  if (entry === undefined || entry.at.file !== section.at.file) return section;
  return keyPlace(rest, entriesOf(entry), entry);
}

function channelOf({ key, spec, address }: CheckedPin): Channel {
  const { kind, direction, debounceMs, uom, initial, safe } = spec;
  return {
    ...{ key, kind, direction, address, debounceMs },
    ...(uom !== undefined && { uom }),
    ...(initial !== undefined && typeof initial !== 'object' && { openingValue: rawOf(spec, initial) }),
    ...(safe !== undefined && { returnValue: () => rawOf(spec, safe) }),
  };
}
