import { isOn, type PinSpec } from '../pin/pin.ts';
import type { Located } from './located.ts';
import type { CheckedPin } from './pin-section.ts';
import type { Problems } from './problems.ts';
import { mutual } from './rule-keys.ts';
import { reportUnknownName } from './schema-issues.ts';

/** Checks `requires` and `interlock`: the pins are there and are others. `names`: all pins, wrong ones too. */
export function checkRulePins(pins: readonly CheckedPin[], names: readonly string[], problems: Problems): void {
  const byName = new Map(pins.map((pin) => [pin.spec.name, pin]));
  for (const { spec, entries } of pins) {
    for (const key of ['requires', 'interlock'] as const) {
      const written = entries.get(key);
      const found = key === 'requires' ? spec.rules.requires : spec.rules.interlock?.pins;
      for (const other of written && found ? found : []) {
        const place = written && placeOfName(written, other);
        if (!place) continue;
        const there = byName.get(other);
        if (other === spec.name) problems.wrong(place, `${spec.name} cannot have itself in ${key}`);
        else if (!names.includes(other)) reportUnknownName(place, 'pin', names, problems);
        else if (key === 'interlock' && there && there.spec.direction !== 'out') {
          problems.wrong(place, `${other} is an input: only outputs can be interlocked`, {
            expected: `an output, or requires: ${other}`,
          });
        }
      }
    }
  }
}

/** Finds outputs that could never be on, whatever is commanded, and values that rules would never allow. */
export function checkContradictions(pins: readonly CheckedPin[], problems: Problems): void {
  const specs = mutual(pins.map(({ spec }) => spec));
  for (const pin of pins) {
    const spec = specs.get(pin.spec.name);
    if (spec?.direction !== 'out') continue;
    const why = neverOn(spec, specs);
    if (why !== undefined) {
      const { keyAt, path } = whereRule(pin);
      problems.error(keyAt, path, `${spec.name} can never be on: ${why}`, { expected: 'rules that can all hold' });
    }
    checkValues(pin, spec, problems);
  }
}

type Needs = readonly { readonly pin: string; readonly on: boolean; readonly because: string }[];

/** What has to be so while an output is on. */
function needsOf({ name, rules }: PinSpec): Needs {
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
function neverOn(start: PinSpec, specs: ReadonlyMap<string, PinSpec>): string | undefined {
  const known = new Map([[start.name, { on: true, because: '' }]]);
  const open = [start];
  for (let spec = open.shift(); spec !== undefined; spec = open.shift()) {
    for (const { pin, on, because } of needsOf(spec)) {
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

function checkValues({ entries, located }: CheckedPin, spec: PinSpec, problems: Problems): void {
  const { requires, interlock, maxOnMs, minOnMs } = spec.rules;
  const at = (key: string) => entries.get(key) ?? located;
  const bound = requires ? 'requires' : interlock ? 'interlock' : undefined;
  if (bound && spec.initial !== undefined && (typeof spec.initial === 'object' || isOn(spec.initial))) {
    problems.wrong(at('initial'), `${spec.name} starts off: whether ${bound} allows more is not known yet`, {
      expected: 'initial: off',
    });
  }
  const limiting = bound ?? (maxOnMs === undefined ? undefined : 'max_on');
  if (limiting && spec.safe !== undefined && isOn(spec.safe)) {
    problems.wrong(at('safe'), `${limiting} may forbid the safe value`, { expected: 'safe: off, or no such rule' });
  }
  if (limiting && spec.range && (spec.range[0] > 0 || spec.range[1] < 0)) {
    problems.wrong(at('range'), `${limiting} needs the value 0 for off`, { expected: 'a range with 0 in it' });
  }
  if (maxOnMs !== undefined && minOnMs !== undefined && minOnMs > maxOnMs) {
    problems.wrong(at('min_on'), 'min_on is longer than max_on', { expected: 'min_on of at most max_on' });
  }
}

function whereRule({ entries, located }: CheckedPin): Located {
  return entries.get('requires') ?? entries.get('interlock') ?? entries.get('follow') ?? located;
}

/** Where a name stands in a value that is a name, a list of names, or a section with one of those. */
function placeOfName(written: Located, name: string): Located | undefined {
  const { node } = written;
  if (node.kind === 'scalar') return String(node.value) === name ? written : undefined;
  const inner = node.kind === 'list' ? node.items : [...node.entries.values()];
  for (const one of inner) {
    const found = placeOfName(one, name);
    if (found) return found;
  }
  return undefined;
}
