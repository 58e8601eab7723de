import { type Interlock, isOn, type PinSpec, type Rules } from '../pin/pin.ts';
import type { Located } from './located.ts';
import type { CheckedPin } from './pin-section.ts';
import type { Problems } from './problems.ts';
import type { PinKeys } from './schema.ts';
import { reportUnknownName } from './validation.ts';

/** The rules that a pin's keys state. */
export function rulesOf({ follow, interlock, requires, max_on, min_on, min_off, rate }: PinKeys): Rules {
  return {
    ...(follow !== undefined && {
      follow:
        typeof follow === 'string'
          ? { pin: follow, invert: false, delayMs: 0 }
          : { pin: follow.pin, invert: follow.invert, delayMs: follow.delay ?? 0 },
    }),
    ...(interlock !== undefined && { interlock: interlockOf(interlock) }),
    ...(requires !== undefined && { requires: listOf(requires) }),
    ...(max_on !== undefined && { maxOnMs: max_on }),
    ...(min_on !== undefined && { minOnMs: min_on }),
    ...(min_off !== undefined && { minOffMs: min_off }),
    ...(rate !== undefined && { rate }),
  };
}

function interlockOf(given: NonNullable<PinKeys['interlock']>): Interlock {
  if (typeof given === 'string' || Array.isArray(given)) return { pins: listOf(given), deadMs: 0 };
  return { pins: listOf(given.with), deadMs: given.dead_time ?? 0 };
}

function listOf(given: string | readonly string[]): readonly string[] {
  return typeof given === 'string' ? [given] : [...new Set(given)];
}

/** Gives an interlock that one pin states to both pins, with the longer dead time. */
export function symmetricInterlocks(specs: readonly PinSpec[]): Map<string, PinSpec> {
  const all = new Map(specs.map((spec) => [spec.name, spec]));
  for (const { name, rules } of specs) {
    for (const other of rules.interlock?.pins ?? []) {
      const partner = all.get(other);
      if (!partner) continue;
      const { pins = [], deadMs = 0 } = partner.rules.interlock ?? {};
      const interlock = {
        pins: [...new Set([...pins, name])],
        deadMs: Math.max(deadMs, rules.interlock?.deadMs ?? 0),
      };
      all.set(other, { ...partner, rules: { ...partner.rules, interlock } });
    }
  }
  return all;
}

/**
 * Reports rules that name wrong pins, outputs that could never be on whatever is commanded, and values that rules never
 * allow. `names` are all pins, also those with mistakes.
 */
export function checkRules(pins: readonly CheckedPin[], names: readonly string[], problems: Problems): void {
  const byName = new Map(pins.map((pin) => [pin.spec.name, pin]));
  for (const pin of pins) {
    const { requires, interlock } = pin.spec.rules;
    checkRulePins('requires', requires, pin, { names, byName, problems });
    checkRulePins('interlock', interlock?.pins, pin, { names, byName, problems });
  }
  checkContradictions(pins, problems);
}

interface RuleScope {
  readonly names: readonly string[];
  readonly byName: ReadonlyMap<string, CheckedPin>;
  readonly problems: Problems;
}

/** Checks the pins that a rule names: they exist, and none is the pin itself. */
function checkRulePins(
  key: 'requires' | 'interlock',
  others: readonly string[] | undefined,
  { spec, entries }: CheckedPin,
  { names, byName, problems }: RuleScope,
): void {
  const written = entries.get(key);
  if (written === undefined) return;
  for (const other of others ?? []) {
    const place = locateName(written, other);
    if (!place) continue;
    if (other === spec.name) problems.invalid(place, `${spec.name} cannot have itself in ${key}`);
    else if (!names.includes(other)) reportUnknownName(place, 'pin', names, problems);
    else if (key === 'interlock' && byName.get(other)?.spec.direction === 'in') {
      problems.invalid(place, `${other} is an input: only outputs can be interlocked`, {
        expected: `an output, or requires: ${other}`,
      });
    }
  }
}

function checkContradictions(pins: readonly CheckedPin[], problems: Problems): void {
  const specs = symmetricInterlocks(pins.map(({ spec }) => spec));
  for (const pin of pins) {
    const spec = specs.get(pin.spec.name);
    if (spec?.direction !== 'out') continue;
    const reason = reasonNeverOn(spec, specs);
    if (reason !== undefined) {
      const { keyAt, path } = ruleLocation(pin);
      problems.error(keyAt, path, `${spec.name} can never be on: ${reason}`, { expected: 'rules that can all hold' });
    }
    checkRuleValues(pin, spec, problems);
  }
}

interface Requirement {
  readonly pin: string;
  readonly on: boolean;
  readonly because: string;
}

/** The states of other pins that an output needs while it is on. */
function requirementsOf({ name, rules }: PinSpec): readonly Requirement[] {
  const { requires = [], interlock, follow } = rules;
  const followed = follow && {
    pin: follow.pin,
    on: !follow.invert,
    because: `${name} follows ${follow.pin}${follow.invert ? ' inverted' : ''}`,
  };
  const all = [
    ...requires.map((pin) => ({ pin, on: true, because: `${name} requires ${pin}` })),
    ...(interlock?.pins ?? []).map((pin) => ({ pin, on: false, because: `${name} is interlocked with ${pin}` })),
    ...(followed ? [followed] : []),
  ];
  // A rule that names its own pin is reported as such.
  return all.filter(({ pin }) => pin !== name);
}

/** The reason why an output can never be on, found by following what its being on needs. `undefined` when it can be on. */
function reasonNeverOn(start: PinSpec, specs: ReadonlyMap<string, PinSpec>): string | undefined {
  const known = new Map<string, Omit<Requirement, 'pin'>>([[start.name, { on: true, because: '' }]]);
  const queue = [start];
  for (let spec = queue.shift(); spec !== undefined; spec = queue.shift()) {
    for (const requirement of requirementsOf(spec)) {
      const { pin, on, because } = requirement;
      const before = known.get(pin);
      const reason = contradiction(requirement, before, start.name);
      if (reason !== undefined) return reason;
      if (before) continue;
      known.set(pin, { on, because });
      const next = specs.get(pin);
      if (on && next?.direction === 'out') queue.push(next);
    }
  }
  return undefined;
}

function contradiction(
  { pin, on, because }: Requirement,
  before: Omit<Requirement, 'pin'> | undefined,
  start: string,
): string | undefined {
  if (before && before.on !== on) return before.because === '' ? because : `${before.because}, but ${because}`;
  // The output would have to be on before it may be on. `checkFollows` finds cycles of `follow` alone.
  return pin === start && on && because.includes(' requires ') ? because : undefined;
}

/** Reports `initial`, `safe`, `range` and `min_on` that the rules of the pin contradict. */
function checkRuleValues({ entries, located }: CheckedPin, spec: PinSpec, problems: Problems): void {
  const { requires, interlock, maxOnMs, minOnMs } = spec.rules;
  const report = (key: string, message: string, expected: string) =>
    problems.invalid(entries.get(key) ?? located, message, { expected });
  const condition = requires ? 'requires' : interlock ? 'interlock' : undefined;
  if (condition && startsOn(spec.initial)) {
    report('initial', `${spec.name} starts off: whether ${condition} allows more is not known yet`, 'initial: off');
  }
  if (maxOnMs !== undefined && minOnMs !== undefined && minOnMs > maxOnMs) {
    report('min_on', 'min_on is longer than max_on', 'min_on of at most max_on');
  }
  const limit = condition ?? (maxOnMs === undefined ? undefined : 'max_on');
  if (limit === undefined) return;
  if (spec.safe !== undefined && isOn(spec.safe)) {
    report('safe', `${limit} may forbid the safe value`, 'safe: off, or no such rule');
  }
  if (spec.range && (spec.range[0] > 0 || spec.range[1] < 0)) {
    report('range', `${limit} needs the value 0 for off`, 'a range with 0 in it');
  }
}

/** Tells whether an output may be on at start: `last` may be any value. */
function startsOn(initial: PinSpec['initial']): boolean {
  return initial !== undefined && (typeof initial === 'object' || isOn(initial));
}

function ruleLocation({ entries, located }: CheckedPin): Located {
  return entries.get('requires') ?? entries.get('interlock') ?? entries.get('follow') ?? located;
}

/** The place of a name in a value that is a name, a list of names, or a section with one of those. */
function locateName(written: Located, name: string): Located | undefined {
  const { node } = written;
  if (node.kind === 'scalar') return String(node.value) === name ? written : undefined;
  const inner = node.kind === 'list' ? node.items : [...node.entries.values()];
  for (const one of inner) {
    const found = locateName(one, name);
    if (found) return found;
  }
  return undefined;
}
