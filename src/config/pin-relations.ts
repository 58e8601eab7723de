import type { PinKind } from '../pin/pin.ts';
import { entriesOf, type Located } from './located.ts';
import type { PinDraft } from './pin-draft.ts';
import type { CheckedPin } from './pin-section.ts';
import type { Problems } from './problems.ts';
import type { Place } from './resolved.ts';
import { reportUnknownName } from './schema-issues.ts';

/** Reports names given to two pins: `meter.power` in pins, and power of the device meter. */
export function checkNames(drafts: readonly PinDraft[], problems: Problems): void {
  const seen = new Map<string, Located>();
  for (const { name, located } of drafts) {
    const first = seen.get(name);
    if (first === undefined) seen.set(name, located);
    else {
      const message = `a pin ${name} already stands ${where(first.keyAt, located.keyAt)}`;
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
      const there = where(first.located.keyAt, keyAt);
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
        const message = `the line ${line} already is pin ${first.spec.name} ${where(first.located.keyAt, keyAt)}`;
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
      problems.wrong(
        entriesOf(key).get('invert') ?? key,
        `${pin.spec.name} is ${kind}: only a digital pin is inverted`,
      );
    }
    if (!names.includes(follow)) {
      reportUnknownName(written, 'pin', names, problems);
      continue;
    }
    const other = byName.get(follow);
    if (other && sort(other.spec.kind) !== sort(kind)) {
      problems.wrong(written, `${pin.spec.name} is ${kind} and cannot follow ${follow}, which is ${other.spec.kind}`, {
        expected: `a pin that is ${kind}`,
      });
    }
    const circle = circleFrom(pin, byName);
    if (circle) {
      problems.wrong(written, `${circle.join(' follows ')}: this never comes to rest`, { expected: 'no circle' });
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
      problems.wrong(written, `${spec.name} waits for itself`, { expected: 'the interrupt line of its chip' });
    }
  }
}

/** The names of a circle that `follow` goes round, starting and ending at a pin; undefined when it is in none. */
function circleFrom(start: CheckedPin, byName: ReadonlyMap<string, CheckedPin>): string[] | undefined {
  const way = [start.spec.name];
  for (let at = start.spec.rules.follow?.pin; at !== undefined; at = byName.get(at)?.spec.rules.follow?.pin) {
    way.push(at);
    if (at === start.spec.name) return way;
    if (way.indexOf(at) !== way.length - 1) return undefined;
  }
  return undefined;
}

function sort(kind: PinKind): string {
  return kind === 'counter' ? 'analog' : kind;
}

function where(place: Place, seenFrom: Place): string {
  return place.file === seenFrom.file ? `in line ${place.line}` : `in ${place.file}:${place.line}`;
}
