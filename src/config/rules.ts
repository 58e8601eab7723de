import { type Interlock, isOn, type PinSpec, type Rules } from '../pin/pin.ts';
import type { Located } from './located.ts';
import type { CheckedPin } from './pin-section.ts';
import type { Problems } from './problems.ts';
import type { PinKeys } from './schema.ts';
import { reportUnknownName } from './validation.ts';

/** The rules a pin's keys state. */
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

/** An interlock stated on one side holds on both, with the longer dead time. */
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

/** Checks `requires` and `interlock`: the pins are there and are others. `names`: all pins, wrong ones too. */
export function checkRulePins(pins: readonly CheckedPin[], names: readonly string[], problems: Problems): void {
  const byName = new Map(pins.map((pin) => [pin.spec.name, pin]));
  for (const { spec, entries } of pins) {
    for (const key of ['requires', 'interlock'] as const) {
      const written = entries.get(key);
      const found = key === 'requires' ? spec.rules.requires : spec.rules.interlock?.pins;
      for (const other of written && found ? found : []) {
        const place = written && locateName(written, other);
        if (!place) continue;
        const there = byName.get(other);
        if (other === spec.name) problems.invalid(place, `${spec.name} cannot have itself in ${key}`);
        else if (!names.includes(other)) reportUnknownName(place, 'pin', names, problems);
        else if (key === 'interlock' && there && there.spec.direction !== 'out') {
          problems.invalid(place, `${other} is an input: only outputs can be interlocked`, {
            expected: `an output, or requires: ${other}`,
          });
        }
      }
    }
  }
}

/** Finds outputs that could never be on, whatever is commanded, and values that rules would never allow. */
export function checkContradictions(pins: readonly CheckedPin[], problems: Problems): void {
  const specs = symmetricInterlocks(pins.map(({ spec }) => spec));
  for (const pin of pins) {
    const spec = specs.get(pin.spec.name);
    if (spec?.direction !== 'out') continue;
    const why = reasonNeverOn(spec, specs);
    if (why !== undefined) {
      const { keyAt, path } = ruleLocation(pin);
      problems.error(keyAt, path, `${spec.name} can never be on: ${why}`, { expected: 'rules that can all hold' });
    }
    checkRuleValues(pin, spec, problems);
  }
}

type Requirements = readonly { readonly pin: string; readonly on: boolean; readonly because: string }[];

/** What has to be so while an output is on. */
function requirementsOf({ name, rules }: PinSpec): Requirements {
  const { requires = [], interlock, follow } = rules;
  const needs = [
    ...requires.map((pin) => ({ pin, on: true, because: `${name} requires ${pin}` })),
    ...(interlock?.pins ?? []).map((pin) => ({ pin, on: false, because: `${name} is interlocked with ${pin}` })),
    ...(follow
      ? [
          {
            pin: follow.pin,
            on: !follow.invert,
            because: `${name} follows ${follow.pin}${follow.invert ? ' inverted' : ''}`,
          },
        ]
      : []),
  ];
  // Itself: reported as such.
  return needs.filter(({ pin }) => pin !== name);
}

/** Why an output can never be on; undefined: it can. Follows what its being on needs, as far as that goes. */
function reasonNeverOn(start: PinSpec, specs: ReadonlyMap<string, PinSpec>): string | undefined {
  const known = new Map([[start.name, { on: true, because: '' }]]);
  const open = [start];
  for (let spec = open.shift(); spec !== undefined; spec = open.shift()) {
    for (const { pin, on, because } of requirementsOf(spec)) {
      const before = known.get(pin);
      if (before && before.on !== on) return before.because === '' ? because : `${before.because}, but ${because}`;
      // It would have to be on before it may be on. A circle of `follow` alone is found elsewhere.
      if (pin === start.name && on && because.includes(' requires ')) return because;
      if (before) continue;
      known.set(pin, { on, because });
      const next = specs.get(pin);
      if (on && next?.direction === 'out') open.push(next);
    }
  }
  return undefined;
}

function checkRuleValues({ entries, located }: CheckedPin, spec: PinSpec, problems: Problems): void {
  const { requires, interlock, maxOnMs, minOnMs } = spec.rules;
  const at = (key: string) => entries.get(key) ?? located;
  const bound = requires ? 'requires' : interlock ? 'interlock' : undefined;
  if (bound && spec.initial !== undefined && (typeof spec.initial === 'object' || isOn(spec.initial))) {
    problems.invalid(at('initial'), `${spec.name} starts off: whether ${bound} allows more is not known yet`, {
      expected: 'initial: off',
    });
  }
  const limiting = bound ?? (maxOnMs === undefined ? undefined : 'max_on');
  if (limiting && spec.safe !== undefined && isOn(spec.safe)) {
    problems.invalid(at('safe'), `${limiting} may forbid the safe value`, { expected: 'safe: off, or no such rule' });
  }
  if (limiting && spec.range && (spec.range[0] > 0 || spec.range[1] < 0)) {
    problems.invalid(at('range'), `${limiting} needs the value 0 for off`, { expected: 'a range with 0 in it' });
  }
  if (maxOnMs !== undefined && minOnMs !== undefined && minOnMs > maxOnMs) {
    problems.invalid(at('min_on'), 'min_on is longer than max_on', { expected: 'min_on of at most max_on' });
  }
}

function ruleLocation({ entries, located }: CheckedPin): Located {
  return entries.get('requires') ?? entries.get('interlock') ?? entries.get('follow') ?? located;
}

/** Where a name stands in a value that is a name, a list of names, or a section with one of those. */
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
