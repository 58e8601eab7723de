import { type Follow, type Interlock, isOn, type PinCondition, type PinSpec, type Rules } from '../pin/pin.ts';
import type { Located } from './located.ts';
import { checkOnValues, conditionOf, conditionsOf, interlockOf, withOnValues, writtenConditions } from './on-values.ts';
import type { CheckedPin } from './pin-section.ts';
import type { Problems } from './problems.ts';
import type { PinKeys } from './schema.ts';
import { reportUnknownName } from './validation.ts';

/** The rules that a pin's keys state. */
export function rulesOf({ follow, interlock, requires, max_on, min_on, min_off, rate }: PinKeys): Rules {
  return {
    ...(follow !== undefined && { follow: followOf(follow) }),
    ...(interlock !== undefined && { interlock: interlockRule(interlock) }),
    ...(requires !== undefined && { requires: conditionsOf(requires) }),
    ...(max_on !== undefined && { maxOnMs: max_on }),
    ...(min_on !== undefined && { minOnMs: min_on }),
    ...(min_off !== undefined && { minOffMs: min_off }),
    ...(rate !== undefined && { rate }),
  };
}

function followOf(given: NonNullable<PinKeys['follow']>): Follow {
  if (typeof given === 'string') return { pin: given, invert: false, delayMs: 0 };
  return { ...conditionOf(given), invert: given.invert, delayMs: given.delay ?? 0 };
}

function interlockRule(given: NonNullable<PinKeys['interlock']>): Interlock {
  const { with: others, deadMs } = interlockOf(given);
  return { pins: [...new Set(others.map(({ pin }) => pin))], deadMs };
}

/** Completes the rules of all pins: the values that are on, and each interlock of one pin at both, with the longer dead time. */
export function completeRules(pins: readonly CheckedPin[]): Map<string, PinSpec> {
  const all = withOnValues(pins);
  for (const {
    spec: { name, rules },
  } of pins) {
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
 * allow. `specs` are complete; `names` are all pins, also those with mistakes.
 */
export function checkRules(
  pins: readonly CheckedPin[],
  specs: ReadonlyMap<string, PinSpec>,
  names: readonly string[],
  problems: Problems,
): void {
  for (const pin of pins) {
    const own = problems.forPin(pin.spec.name, pin.inherited);
    checkRulePins('requires', pin, { names, specs, problems: own });
    checkRulePins('interlock', pin, { names, specs, problems: own });
  }
  checkOnValues(pins, specs, problems);
  checkContradictions(pins, specs, problems);
}

interface RuleScope {
  readonly names: readonly string[];
  readonly specs: ReadonlyMap<string, PinSpec>;
  readonly problems: Problems;
}

/** Checks the pins that a rule names: they exist, and none is the pin itself. */
function checkRulePins(
  key: 'requires' | 'interlock',
  { spec, entries }: CheckedPin,
  { names, specs, problems }: RuleScope,
): void {
  for (const { pin: other, at } of writtenConditions(entries.get(key))) {
    if (other === spec.name) problems.invalid(at, `${spec.name} cannot have itself in ${key}`);
    else if (!names.includes(other)) reportUnknownName(at, 'pin', names, problems);
    else if (key === 'interlock' && specs.get(other)?.direction === 'in') {
      problems.invalid(at, `${other} is an input: only outputs can be interlocked`, {
        expected: `an output, or requires: ${other}`,
      });
    } else if (key === 'interlock' && specs.get(other)?.scaleOf) {
      problems.invalid(at, `${other} is computed: only hardware can be interlocked`, {
        expected: specs.get(other)?.scaleOf?.pin,
      });
    }
  }
}

function checkContradictions(
  pins: readonly CheckedPin[],
  specs: ReadonlyMap<string, PinSpec>,
  problems: Problems,
): void {
  for (const pin of pins) {
    const spec = specs.get(pin.spec.name);
    if (spec?.direction !== 'out') continue;
    const reason = reasonNeverOn(spec, specs);
    if (reason !== undefined) {
      const { keyAt, path } = ruleLocation(pin);
      problems.error(keyAt, path, `${spec.name} can never be on: ${reason}`, { expected: 'rules that can all hold' });
    }
    checkRuleValues(pin, spec, problems.forPin(spec.name, pin.inherited));
  }
}

interface Requirement {
  readonly pin: string;
  readonly on: boolean;
  readonly because: string;
}

/** The states of other pins that an output needs while it is on. */
function requirementsOf({ name, rules }: PinSpec, specs: ReadonlyMap<string, PinSpec>): readonly Requirement[] {
  const { requires = [], interlock, follow } = rules;
  const needed = (condition: PinCondition, invert: boolean, because: string): Requirement[] => {
    const on = isMetByOn(condition, specs.get(condition.pin));
    return on === undefined ? [] : [{ pin: condition.pin, on: on !== invert, because }];
  };
  const all = [
    ...requires.flatMap((condition) => needed(condition, false, `${name} requires ${condition.pin}`)),
    ...(interlock?.pins ?? []).map((pin) => ({ pin, on: false, because: `${name} is interlocked with ${pin}` })),
    ...(follow
      ? needed(follow, follow.invert, `${name} follows ${follow.pin}${follow.invert ? ' inverted' : ''}`)
      : []),
  ];
  // A rule that names its own pin is reported as such.
  return all.filter(({ pin }) => pin !== name);
}

/** Whether the pin is on (or off) while it meets a condition. `undefined` when it may be either. */
function isMetByOn({ is }: PinCondition, spec: PinSpec | undefined): boolean | undefined {
  if (is === undefined || spec === undefined) return is === undefined ? true : undefined;
  if (spec.kind === 'text' && spec.on === undefined) return undefined;
  const states = new Set(is.map((value) => isOn(spec, value)));
  return states.size === 1 ? states.has(true) : undefined;
}

/** The reason why an output can never be on, found by following what its being on needs. `undefined` when it can be on. */
function reasonNeverOn(start: PinSpec, specs: ReadonlyMap<string, PinSpec>): string | undefined {
  const known = new Map<string, Omit<Requirement, 'pin'>>([[start.name, { on: true, because: '' }]]);
  const queue = [start];
  for (let spec = queue.shift(); spec !== undefined; spec = queue.shift()) {
    for (const requirement of requirementsOf(spec, specs)) {
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
  if (condition && startsOn(spec)) {
    report('initial', `${spec.name} starts off: whether ${condition} allows more is not known yet`, 'initial: off');
  }
  if (maxOnMs !== undefined && minOnMs !== undefined && minOnMs > maxOnMs) {
    report('min_on', 'min_on is longer than max_on', 'min_on of at most max_on');
  }
  const limit = condition ?? (maxOnMs === undefined ? undefined : 'max_on');
  if (limit === undefined) return;
  if (spec.safe !== undefined && isOn(spec, spec.safe)) {
    report('safe', `${limit} may forbid the safe value`, 'safe: off, or no such rule');
  }
  if (spec.range && (spec.range[0] > 0 || spec.range[1] < 0)) {
    report('range', `${limit} needs the value 0 for off`, 'a range with 0 in it');
  }
}

/** Tells whether an output may be on at start: `last` may be any value. */
function startsOn(spec: PinSpec): boolean {
  const { initial } = spec;
  return initial !== undefined && (typeof initial === 'object' || isOn(spec, initial));
}

function ruleLocation({ entries, located }: CheckedPin): Located {
  return entries.get('requires') ?? entries.get('interlock') ?? entries.get('follow') ?? located;
}
