import type { Direction, PinCondition, PinKind, PinSpec, RawValue } from '../pin/pin.ts';
import { descend, displayText, type Located, toPlain } from './located.ts';
import type { CheckedPin } from './pin-section.ts';
import type { Problems } from './problems.ts';
import type { PinKeys } from './schema.ts';
import { reportUnknownName } from './validation.ts';

/** Rules that name other pins. */
type NamingRule = 'requires' | 'interlock' | 'follow';
/** Rules that turn an output off, so that it needs a value for off. */
const TURNS_OFF = ['max_on', 'requires', 'interlock'] as const;
const NOT_SAID = 'which of its values are on is not said';
const NEEDS_ON = [...TURNS_OFF, 'min_on', 'min_off'] as const;

/** The levels of a digital pin as a configuration may write them. */
const LEVELS: ReadonlyMap<unknown, boolean> = new Map<unknown, boolean>([
  [true, true],
  ['on', true],
  ['true', true],
  [1, true],
  [false, false],
  ['off', false],
  ['false', false],
  [0, false],
]);

export function levelOf(value: unknown): boolean | undefined {
  return LEVELS.get(typeof value === 'string' ? value.toLowerCase() : value);
}

/** The conditions that the keys `requires`, `interlock` and `with` state. */
export function conditionsOf(given: NonNullable<PinKeys['requires']>): PinCondition[] {
  return [given].flat().map((one) => (typeof one === 'string' ? { pin: one } : conditionOf(one)));
}

export function conditionOf({ pin, is }: { pin: string; is?: RawValue | RawValue[] | undefined }): PinCondition {
  return is === undefined ? { pin } : { pin, is: [is].flat() };
}

/** The outputs that the key `interlock` names, and the time for which they must have been off. */
export function interlockOf(given: NonNullable<PinKeys['interlock']>): {
  readonly with: PinCondition[];
  readonly deadMs: number;
} {
  if (typeof given === 'string' || Array.isArray(given)) return { with: conditionsOf(given), deadMs: 0 };
  const { with: others = given.pin ?? [], is, dead_time: deadMs = 0 } = given;
  const conditions = conditionsOf(others).map((one) => ({ ...(is !== undefined && { is: [is].flat() }), ...one }));
  return { with: conditions, deadMs };
}

/** A condition as it is written: the name of a pin, and the values of `is`. */
interface WrittenCondition {
  readonly pin: string;
  readonly at: Located;
  /** `undefined` without `is`. */
  readonly is: readonly Located[] | undefined;
}

/** The conditions in the value of a rule: a name, a section, or a list of these. */
export function writtenConditions(written: Located | undefined): WrittenCondition[] {
  if (written === undefined) return [];
  const { node } = written;
  if (node.kind === 'scalar') return [{ pin: String(node.value), at: written, is: undefined }];
  if (node.kind === 'list') return node.items.flatMap(writtenConditions);
  const is = node.entries.get('is');
  const values = is?.node.kind === 'list' ? is.node.items : is && [is];
  const nested = node.entries.get('with');
  if (nested) return writtenConditions(nested).map((one) => ({ ...one, is: one.is ?? values }));
  const pin = node.entries.get('pin');
  return pin ? [{ pin: String(toPlain(pin)), at: pin, is: values }] : [];
}

/** The one word that is not on. `undefined` when there are several. */
export function soleOther(words: readonly string[] = [], on: readonly string[] = []): string | undefined {
  const others = on.length > 0 ? words.filter((word) => !on.includes(word)) : [];
  return others.length === 1 ? others[0] : undefined;
}

/** Completes what rules need to know about values: `on` of text pins that an interlock names, `off`, the values of `is`. */
export function withOnValues(pins: readonly CheckedPin[]): Map<string, PinSpec> {
  const all = new Map(pins.map(({ spec }) => [spec.name, spec]));
  for (const { pin, is } of pins.flatMap(({ given }) => (given.interlock ? interlockOf(given.interlock).with : []))) {
    const other = all.get(pin);
    if (is && other?.kind === 'text' && other.on === undefined) all.set(pin, { ...other, on: is.map(String) });
  }
  for (const spec of all.values()) {
    const off = offWord(spec);
    const known = off === undefined ? spec : { ...spec, off };
    all.set(spec.name, { ...known, rules: { ...spec.rules, ...conditionsOn(spec, all) } });
  }
  return all;
}

function offWord({ kind, direction, off, words, on, safe }: PinSpec): string | undefined {
  if (kind !== 'text' || direction === 'in' || on === undefined) return off;
  const harmless = typeof safe === 'string' && !on.includes(safe) ? safe : undefined;
  return off ?? soleOther(words, on) ?? harmless;
}

/** The rules that name pins, with values of the kind of those pins. */
function conditionsOn({ kind, rules }: PinSpec, all: ReadonlyMap<string, PinSpec>): Partial<PinSpec['rules']> {
  const typed = <Condition extends PinCondition>(condition: Condition): Condition => {
    if (condition.is === undefined || all.get(condition.pin)?.kind !== 'digital') return condition;
    return { ...condition, is: condition.is.map((value) => levelOf(value) ?? value) };
  };
  const { requires, follow } = rules;
  const followed = follow && all.get(follow.pin);
  const copiesWords = follow?.is === undefined && kind === 'digital' && followed?.kind === 'text';
  return {
    ...(requires && { requires: requires.map(typed) }),
    ...(follow && { follow: copiesWords && followed.on ? { ...follow, is: followed.on } : typed(follow) }),
  };
}

/** The inputs of the checks of one pin's rules. */
interface OnScope {
  readonly byName: ReadonlyMap<string, CheckedPin>;
  readonly specs: ReadonlyMap<string, PinSpec>;
  readonly problems: Problems;
}

/** Reports rules on pins for which it is not said which values are on, and values that such pins do not have. */
export function checkOnValues(
  pins: readonly CheckedPin[],
  specs: ReadonlyMap<string, PinSpec>,
  problems: Problems,
): void {
  const byName = new Map(pins.map((pin) => [pin.spec.name, pin]));
  for (const pin of pins) {
    const scope = { byName, specs, problems: problems.forPin(pin.spec.name, pin.inherited) };
    for (const rule of ['requires', 'interlock', 'follow'] as const) {
      for (const condition of writtenConditions(pin.entries.get(rule))) checkCondition(rule, condition, scope);
    }
    if (!pin.kindIsGuess) checkOwnWords(pin, scope);
  }
}

function checkCondition(rule: NamingRule, { pin, at, is }: WrittenCondition, scope: OnScope): void {
  const { problems } = scope;
  const other = scope.byName.get(pin);
  const spec = scope.specs.get(pin);
  if (other === undefined || spec === undefined || other.kindIsGuess) return;
  if (is !== undefined) {
    for (const value of is) checkValue(value, spec, problems);
    if (rule === 'interlock') checkInterlocked(at, is.map(toPlain), spec, problems);
  } else if (rule !== 'follow' && spec.kind === 'text' && spec.on === undefined) {
    const example = `${rule}: { pin: ${pin}, is: [WORD] }`;
    const beside = rule === 'interlock' || spec.direction === 'out' ? `, or on: [WORD] at ${pin}` : '';
    problems.invalid(at, `${pin} is text, and ${NOT_SAID}`, {
      expected: `${example}${beside}${wordsOf(spec)}`,
    });
  } else if (rule === 'requires' && isMeasured(spec.kind, spec.direction)) {
    problems.warning(at.at, at.path, `${pin} is a number: every value but 0 counts as on`, {
      expected: `requires: { pin: ${pin}, is: [1] }`,
    });
  }
}

function isMeasured(kind: PinKind, direction: Direction): boolean {
  return direction === 'in' && (kind === 'analog' || kind === 'counter');
}

function wordsOf({ words = [] }: PinSpec): string {
  return words.length === 0 ? '' : `; its values are ${words.join(', ')}`;
}

/** Reports a value that a pin can never have. */
function checkValue(written: Located, spec: PinSpec, problems: Problems): void {
  const value = toPlain(written);
  const { name, kind, words } = spec;
  if (kind === 'text') {
    if (typeof value !== 'string') {
      problems.invalid(written, `${name} is text`, { expected: `text in quotes: "${displayText(written)}"` });
    } else if (words && !words.includes(value)) reportUnknownName(written, `value of ${name}`, words, problems);
  } else if (kind === 'digital') {
    if (levelOf(value) === undefined) problems.invalid(written, `${name} is digital`, { expected: 'on or off' });
  } else if (typeof value !== 'number') problems.invalid(written, `${name} is ${kind}`, { expected: 'a number' });
}

/** Reports `is` where the other output itself says which of its values are on. */
function checkInterlocked(at: Located, is: readonly unknown[], spec: PinSpec, problems: Problems): void {
  const { name, kind, on = [] } = spec;
  if (kind !== 'text') {
    if (kind === 'digital' && is.every((value) => levelOf(value) === true)) return;
    problems.invalid(
      at,
      `${name} is ${kind}: in an interlock it is on with ${kind === 'digital' ? 'true' : 'every value but 0'}`,
      {
        expected: `interlock: ${name}, or requires with the values that allow this output to be on`,
      },
    );
  } else if (on.length !== is.length || !on.every((word) => is.includes(word))) {
    problems.invalid(at, `${name} has other values that are on: ${on.join(', ')}`, { expected: `interlock: ${name}` });
  }
}

/** Reports missing and wrong words of a text pin. */
function checkOwnWords({ spec: { name }, entries, located }: CheckedPin, { specs, problems }: OnScope): void {
  const spec = specs.get(name);
  if (spec?.kind !== 'text') return;
  const { on, off, rules } = spec;
  const stated = (keys: readonly string[]) => keys.map((key) => entries.get(key)).find((entry) => entry !== undefined);
  if (on === undefined) {
    const rule = spec.direction === 'out' ? stated(NEEDS_ON) : undefined;
    const expected = `on: [WORD] beside it${wordsOf(spec)}`;
    if (rule) problems.error(rule.keyAt, rule.path, `${name} is text, and ${NOT_SAID}`, { expected });
    return;
  }
  checkWords(spec, on, entries, problems);
  const isTurnedOff = rules.requires ?? rules.interlock ?? rules.maxOnMs;
  if (isTurnedOff === undefined || off !== undefined) return;
  const place = stated([...TURNS_OFF, 'on']) ?? located;
  problems.error(place.keyAt, place.path, `a rule turns ${name} off, and which of its values is off is not said`, {
    expected: `off: WORD beside it, or safe: WORD with a value that is not on${wordsOf(spec)}`,
  });
}

/** Reports words of `on` and `off` that the pin does not have, and a word that is both. */
function checkWords(
  { name, words, off }: PinSpec,
  on: readonly string[],
  entries: ReadonlyMap<string, Located>,
  problems: Problems,
): void {
  const onAt = entries.get('on');
  const offAt = entries.get('off');
  if (onAt && words) {
    const unknown = on.filter((word) => !words.includes(word));
    for (const word of unknown) reportUnknownName(itemOf(onAt, word), `value of ${name}`, words, problems);
  }
  if (offAt === undefined || off === undefined) return;
  if (words?.includes(off) === false) reportUnknownName(offAt, `value of ${name}`, words, problems);
  else if (on.includes(off)) problems.invalid(offAt, `${off} is on`, { expected: 'a value that is not in on' });
}

function itemOf(list: Located, word: string): Located {
  const at = list.node.kind === 'list' ? list.node.items.findIndex((item) => toPlain(item) === word) : -1;
  return at < 0 ? list : descend(list, [at]).located;
}
