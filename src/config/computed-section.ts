import type { ChannelFacts } from '../driver/contract.ts';
import { DcsError } from '../errors/errors.ts';
import { evaluate, pinKindOf, scaleOf, typeOf, valueTypeOf, wordsOf } from '../expression/expression.ts';
import type { ValueType } from '../expression/operations.ts';
import { type Expression, ExpressionError, type FindPin, parseExpression, pinsOf } from '../expression/parse.ts';
import type { ScaleOf } from '../pin/pin.ts';
import { closestMatch } from './closest-match.ts';
import { displayText, entriesOf, type Located, layered, textOf, withEntries } from './located.ts';
import type { PinScope } from './pin-place.ts';
import { type CheckedPin, checkKeyUse, checkPin, type PinDraft, specOf } from './pin-section.ts';
import type { Problems } from './problems.ts';
import { COMPUTED_PORT } from './resolved.ts';
import { pinKeys, pinSchema } from './schema.ts';
import { checkName, reportUnknownKey, validate } from './validation.ts';

/** The keys that a computed pin may have. Others belong to its sources: the hardware, rules and safe values are theirs. */
const COMPUTED_KEYS: readonly string[] = [
  'expr',
  'quality_from',
  'direction',
  'label',
  'class',
  'uom',
  'invert',
  'scale',
  'offset',
  'range',
  'deadband',
  'precision',
  'debounce',
  'on',
  'off',
  'max_silence',
];

/** Checks all pins. Those from which others are computed are checked before them: they decide the kind of value. */
export function checkPins(drafts: readonly PinDraft[], scope: PinScope): CheckedPin[] {
  const { problems } = scope;
  const byName = new Map(drafts.map((draft) => [draft.name, draft]));
  const checked = new Map<PinDraft, CheckedPin | undefined>();
  /** The pins being checked, each computed from the next. */
  const path: PinDraft[] = [];
  const pinOf = (name: string): CheckedPin | undefined => {
    const draft = byName.get(name);
    return draft && check(draft);
  };
  const check = (draft: PinDraft): CheckedPin | undefined => {
    if (checked.has(draft)) return checked.get(draft);
    if (path.includes(draft)) {
      reportCircle([...path.slice(path.indexOf(draft)), draft], problems);
      return undefined;
    }
    path.push(draft);
    const pin = statedKeys(draft).has('expr')
      ? checkComputed(draft, expressionScope(draft, byName, pinOf, problems))
      : checkHardwarePin(draft, scope);
    path.pop();
    checked.set(draft, pin);
    return pin;
  };
  const pins = drafts.flatMap((draft) => check(draft) ?? []);
  checkPortName(pins, scope);
  return pins;
}

/** The keys of a pin, inherited ones too. */
function statedKeys({ located, inherited }: PinDraft): ReadonlyMap<string, Located> {
  return layered(inherited, entriesOf(located));
}

function checkHardwarePin(draft: PinDraft, scope: PinScope): CheckedPin | undefined {
  const quality = entriesOf(draft.located).get('quality_from');
  if (quality) {
    scope.problems.error(quality.keyAt, quality.path, 'quality_from has no meaning without expr', {
      expected: 'quality_from beside expr',
    });
  }
  return checkPin(draft, scope);
}

/** Computed pins show `computed` in place of a port. */
function checkPortName(pins: readonly CheckedPin[], { ports, problems }: PinScope): void {
  const port = ports.get(COMPUTED_PORT)?.located;
  if (port === undefined || !pins.some(({ computed }) => computed)) return;
  problems.error(port.keyAt, port.path, `${COMPUTED_PORT} is the place of pins with expr`, {
    found: `a port ${COMPUTED_PORT}`,
    expected: 'another name',
  });
}

function reportCircle(circle: readonly PinDraft[], problems: Problems): void {
  const [first] = circle;
  const written = first && statedKeys(first).get('expr');
  if (!written) return;
  const names = circle.map(({ name }) => name);
  problems.invalid(written, `${names.join(' is computed from ')}`, { expected: 'no circle' });
}

/** The pins of the configuration, for one expression. */
interface ExpressionScope {
  readonly problems: Problems;
  /** Returns the full name of a pin: of the same device by its short name, else of any pin. */
  readonly find: FindPin;
  /** Names for suggestions. */
  readonly names: readonly string[];
  /** `undefined` when the pin has mistakes, which have been reported. */
  pinOf(name: string): CheckedPin | undefined;
}

function expressionScope(
  { device }: PinDraft,
  byName: ReadonlyMap<string, PinDraft>,
  pinOf: (name: string) => CheckedPin | undefined,
  problems: Problems,
): ExpressionScope {
  const prefix = device === undefined ? '' : `${device}.`;
  const names = [...byName.keys()];
  return {
    problems,
    pinOf,
    find: (word) => [`${prefix}${word}`, word].find((name) => byName.has(name)),
    names: [...names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)), ...names],
  };
}

function checkComputed(draft: PinDraft, scope: ExpressionScope): CheckedPin | undefined {
  const { name, located, inherited } = draft;
  const { problems } = scope;
  const own = statedKeys(draft);
  checkName(name, located, problems);
  checkComputedKeys(withEntries(located, own), problems);
  const shared = new Map([...own].filter(([key]) => COMPUTED_KEYS.includes(key)));
  const common = validate(pinSchema, withEntries(located, shared), problems);
  const written = own.get('expr');
  if (common?.value.expr === undefined || written === undefined) return undefined;
  const read = readExpression(common.value.expr, written, scope);
  if (read === undefined) return undefined;
  const { expression, type, sources } = read;
  const scale = outputScale(expression, sources);
  const words = wordsOf(expression, (pin) => sources.find(({ spec }) => spec.name === pin)?.spec.words);
  const facts: ChannelFacts = {
    kind: pinKindOf(type),
    directions: scale ? ['in', 'out'] : ['in'],
    ...(type === 'text' && words && { words }),
  };
  if (!scale && common.value.direction === 'out') {
    problems.invalid(
      own.get('direction') ?? written,
      'this expression cannot be written: it does not only scale one output',
      {
        expected: 'direction: in, or a number output × factor + offset',
      },
    );
    return undefined;
  }
  const keys = { own: shared, entries: shared, located, directions: {} };
  const spec = specOf(name, common.value, facts, keys, problems);
  checkKeyUse(spec, facts, keys, problems);
  const simulated = sources.some((source) => source.spec.simulated);
  return {
    spec: { ...spec, ...(scale && spec.direction === 'out' && { scaleOf: scale }), ...(simulated && { simulated }) },
    ...{ port: COMPUTED_PORT, key: `${name} = ${common.value.expr}`, address: undefined, lines: [] },
    ...{ located, entries: own, given: common.value, inherited },
    computed: { expression, qualityFrom: qualitySources(own.get('quality_from'), expression, scope) },
    ...(type === 'unknown' && { kindIsGuess: true }),
  };
}

/** Reports keys that a computed pin cannot have. */
function checkComputedKeys(located: Located, problems: Problems): void {
  for (const [key, { keyAt, path }] of entriesOf(located)) {
    if (COMPUTED_KEYS.includes(key)) continue;
    if (!Object.hasOwn(pinKeys, key)) reportUnknownKey(located, key, problems, COMPUTED_KEYS);
    else {
      problems.error(keyAt, path, `${key} has no meaning on a computed pin`, {
        found: key,
        expected: 'it at the pins from which the value is computed',
      });
    }
  }
}

/** Parses an expression and finds its pins and its type. `undefined` when it or one of its pins has a mistake. */
function readExpression(text: string, written: Located, { problems, find, names, pinOf }: ExpressionScope) {
  try {
    const expression = parseExpression(text, find);
    const wanted = pinsOf(expression);
    const sources = wanted.flatMap((name) => pinOf(name) ?? []);
    if (sources.length < wanted.length) return undefined;
    const types = new Map<string, ValueType>(
      sources.map(({ spec, kindIsGuess }) => [spec.name, kindIsGuess ? 'unknown' : valueTypeOf(spec.kind)]),
    );
    const type = typeOf(expression, (pin) => types.get(pin) ?? 'unknown');
    // A constant without a value, 1 / 0, never gets one.
    if (wanted.length === 0)
      evaluate(
        expression,
        () => ({ val: null, quality: 'bad' }),
        () => true,
      );
    return { expression, sources, type };
  } catch (error) {
    if (!(error instanceof DcsError) || error.code === 'INTERNAL') throw error;
    const { message, expected } = error;
    const unknownPin = error instanceof ExpressionError ? error.unknownPin : undefined;
    problems.invalid(written, message, { expected, didYouMean: unknownPin && closestMatch(unknownPin, names) });
    return undefined;
  }
}

/** The output of this process that an expression only scales. */
function outputScale(expression: Expression, sources: readonly CheckedPin[]): ScaleOf | undefined {
  const scale = scaleOf(expression);
  const source = sources.find(({ spec }) => spec.name === scale?.pin);
  return source?.spec.kind === 'analog' && source.spec.direction === 'out' && !source.computed ? scale : undefined;
}

/** The pins whose quality counts: all of the expression, or those that `quality_from` lists. */
function qualitySources(
  written: Located | undefined,
  expression: Expression,
  { problems, find }: ExpressionScope,
): readonly string[] {
  const pins = pinsOf(expression);
  if (written === undefined) return pins;
  const items = written.node.kind === 'list' ? written.node.items : [written];
  return items.flatMap((item) => {
    const pin = find(textOf(item) ?? '');
    if (pin !== undefined && pins.includes(pin)) return [pin];
    problems.invalid(item, `${textOf(item) ?? displayText(item)} is no pin of the expression`, {
      expected: pins.length === 0 ? 'an expression with pins' : `some of ${pins.join(', ')}`,
    });
    return [];
  });
}
