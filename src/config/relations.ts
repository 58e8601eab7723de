import type { Channel } from '../driver/contract.ts';
import type { PinKind } from '../pin/pin.ts';
import { entriesOf, type Located } from './located.ts';
import type { CheckedPin, PinDraft } from './pin-section.ts';
import type { PortEntry, Ports } from './port-sections.ts';
import type { Problems } from './problems.ts';
import type { Place } from './resolved.ts';
import { reportUnknownName } from './validation.ts';

/** Reports names given to two pins: `meter.power` in pins, and power of the device meter. */
export function checkNames(drafts: readonly PinDraft[], problems: Problems): void {
  const seen = new Map<string, Located>();
  for (const { name, located } of drafts) {
    const first = seen.get(name);
    if (first === undefined) seen.set(name, located);
    else {
      const message = `a pin ${name} already stands ${placeSeenFrom(first.keyAt, located.keyAt)}`;
      problems.error(located.keyAt, located.path, message, { expected: 'each pin name once' });
    }
  }
}

/** Reports channels that two pins share. */
export function checkChannels(pins: readonly CheckedPin[], problems: Problems): void {
  const seen = new Map<string, CheckedPin>();
  for (const pin of pins) {
    const channel = JSON.stringify([pin.port, pin.key]);
    const first = seen.get(channel);
    if (first === undefined) seen.set(channel, pin);
    else {
      const { keyAt, path } = pin.located;
      const there = placeSeenFrom(first.located.keyAt, keyAt);
      problems.error(keyAt, path, `${pin.key} of port ${pin.port} already is pin ${first.spec.name} ${there}`, {
        found: `${first.spec.name} and ${pin.spec.name} on one channel`,
        expected: 'one pin a channel',
      });
    }
  }
}

/** Reports lines that pins of two ports want: a chip's GPIO, and the processor's PWM that comes out at it. */
export function checkLines(pins: readonly CheckedPin[], problems: Problems): void {
  const seen = new Map<string, CheckedPin>();
  for (const pin of pins) {
    for (const line of pin.lines ?? []) {
      const first = seen.get(line);
      if (first === undefined) seen.set(line, pin);
      else if (first.port !== pin.port) {
        const { keyAt, path } = pin.located;
        const message = `the line ${line} already is pin ${first.spec.name} ${placeSeenFrom(first.located.keyAt, keyAt)}`;
        problems.error(keyAt, path, message, { expected: 'a line as GPIO or for PWM, not both' });
      }
    }
  }
}

/** Checks `follow`: the pin is there, holds values of the same sort, and nobody follows himself. */
export function checkFollows(pins: readonly CheckedPin[], drafts: readonly PinDraft[], problems: Problems): void {
  const names = drafts.map((draft) => draft.name);
  const byName = new Map(pins.map((pin) => [pin.spec.name, pin]));
  for (const pin of pins) {
    const { rules, kind } = pin.spec;
    const key = pin.entries.get('follow');
    if (rules.follow === undefined || key === undefined) continue;
    const { pin: follow, invert } = rules.follow;
    const written = entriesOf(key).get('pin') ?? key;
    if (invert && kind !== 'digital') {
      problems.invalid(
        entriesOf(key).get('invert') ?? key,
        `${pin.spec.name} is ${kind}: only a digital pin is inverted`,
      );
    }
    if (!names.includes(follow)) {
      reportUnknownName(written, 'pin', names, problems);
      continue;
    }
    const other = byName.get(follow);
    if (other && valueType(other.spec.kind) !== valueType(kind)) {
      problems.invalid(
        written,
        `${pin.spec.name} is ${kind} and cannot follow ${follow}, which is ${other.spec.kind}`,
        {
          expected: `a pin that is ${kind}`,
        },
      );
    }
    const circle = findCycle(pin, byName);
    if (circle) {
      problems.invalid(written, `${circle.join(' follows ')}: this never comes to rest`, { expected: 'no circle' });
    }
  }
}

/** Checks `read_on`: the pin is there, and is another one. */
export function checkReadOn(pins: readonly CheckedPin[], drafts: readonly PinDraft[], problems: Problems): void {
  const names = drafts.map((draft) => draft.name);
  for (const { spec, entries } of pins) {
    const written = entries.get('read_on');
    if (spec.readOn === undefined || written === undefined) continue;
    if (!names.includes(spec.readOn)) reportUnknownName(written, 'pin', names, problems);
    else if (spec.readOn === spec.name) {
      problems.invalid(written, `${spec.name} waits for itself`, { expected: 'the interrupt line of its chip' });
    }
  }
}

/** The names of a circle that `follow` goes round, starting and ending at a pin; undefined when it is in none. */
function findCycle(start: CheckedPin, byName: ReadonlyMap<string, CheckedPin>): string[] | undefined {
  const way = [start.spec.name];
  for (let at = start.spec.rules.follow?.pin; at !== undefined; at = byName.get(at)?.spec.rules.follow?.pin) {
    way.push(at);
    if (at === start.spec.name) return way;
    if (way.indexOf(at) !== way.length - 1) return undefined;
  }
  return undefined;
}

function valueType(kind: PinKind): string {
  return kind === 'counter' ? 'analog' : kind;
}

function placeSeenFrom(place: Place, seenFrom: Place): string {
  return place.file === seenFrom.file ? `in line ${place.line}` : `in ${place.file}:${place.line}`;
}

/** Reports hardware that two ports want for themselves. */
export function checkClaims(ports: Ports, problems: Problems): void {
  const seen = new Map<string, PortEntry>();
  for (const port of ports.values()) {
    const claim = port?.options && port.driver.claims?.(port.options.value);
    if (port === undefined || claim === undefined) continue;
    const first = seen.get(claim);
    if (first === undefined) seen.set(claim, port);
    else if (port.located) {
      const { keyAt, path } = port.located;
      const there = first.located ? `port ${first.name} in line ${first.located.keyAt.line}` : `port ${first.name}`;
      problems.error(keyAt, path, `${claim} already is ${there}`, {
        found: `${claim} opened twice`,
        expected: 'one port a piece of hardware; many pins and devices may use it',
      });
    }
  }
}

/** Asks the drivers what is doubtful or impossible about their ports, and reports it. */
export function reviewPorts(ports: Ports, pins: readonly CheckedPin[], problems: Problems): void {
  for (const port of ports.values()) {
    if (port?.options === undefined) continue;
    const own = pins.filter((pin) => pin.port === port.name);
    const remarks = port.driver.review?.(port.options.value, own.map(channelOf)) ?? [];
    for (const { channel, other, message, expected, fatal } of remarks) {
      const about: Located | undefined =
        own.find((pin) => pin.key === channel)?.located ?? port.located ?? own[0]?.located;
      const rival = own.find((pin) => pin.key === other);
      const text = rival ? `${message}: pin ${rival.spec.name} in line ${rival.located.keyAt.line}` : message;
      if (about) problems[fatal ? 'error' : 'warning'](about.keyAt, about.path, text, { expected });
    }
  }
}

function channelOf({ key, spec, address }: CheckedPin): Channel {
  return { key, kind: spec.kind, direction: spec.direction, address, debounceMs: spec.debounceMs };
}
