import type { ChannelFacts } from '../driver/contract.ts';
import type { Direction, PinKind, PinSpec, RawValue } from '../pin/pin.ts';
import { lineKey } from './board-sections.ts';
import { callDriver, guessKind } from './drivers-section.ts';
import { keysAt } from './json-schema.ts';
import { entriesOf, type Located, lastKey, layered, textOf, toPlain, withEntries } from './located.ts';
import { levelOf, soleOther } from './on-values.ts';
import { type PinPlace, type PinScope, placePin } from './pin-place.ts';
import type { PortEntry } from './port-sections.ts';
import { Problems } from './problems.ts';
import type { ResolvedPin } from './resolved.ts';
import { rulesOf } from './rules.ts';
import { type PinKeys, pinKeys, pinSchema } from './schema.ts';
import { checkName, reportUnknownKey, reportUnknownName, validate } from './validation.ts';

/** A pin as the configuration and the profile of its device state it, not checked yet. */
export interface PinDraft {
  readonly name: string;
  /** Its own section. */
  readonly located: Located;
  /** The keys that it inherits from its device. */
  readonly inherited: ReadonlyMap<string, Located>;
  /** Its device. `undefined` for a pin of `pins`. */
  readonly device?: string;
}

/** A pin without mistakes of its own; its relations to other pins are checked later. */
export interface CheckedPin extends ResolvedPin {
  readonly located: Located;
  /** Its keys, inherited ones too. */
  readonly entries: ReadonlyMap<string, Located>;
  /** The keys that every pin may have, as its schema parsed them. */
  readonly given: PinKeys;
  /** The keys that it inherits. */
  readonly inherited: ReadonlyMap<string, Located>;
  /** The driver could not be loaded, so its kind of value is not known. */
  readonly kindIsGuess?: true;
}

type PlacedPin = PinPlace & { readonly entries: ReadonlyMap<string, Located> };

/** Checks one pin. `undefined` when something is wrong with it, which has been reported. */
export function checkPin({ name, located, inherited: handedDown }: PinDraft, all: PinScope): CheckedPin | undefined {
  const overridden = entriesOf(located);
  const inherited = new Map([...handedDown].filter(([key]) => !overridden.has(key)));
  const problems = all.problems.forPin(name, inherited);
  const scope = { ...all, problems };
  checkName(name, located, problems);
  if (located.node.kind !== 'section') {
    problems.invalid(located, `pin ${name} must be a section of keys`, {
      expected: '{ gpio: GPIO17, direction: out }',
    });
    return undefined;
  }
  const stated = layered(handedDown, located.node.entries);
  const own = new Map([...located.node.entries].filter(([key, value]) => stated.get(key) === value));
  const place = placePin(located, stated, scope);
  const entries = place?.entries ?? stated;
  const claimed = place ? onAndOffOfDriver(place, located) : new Map<string, Located>();
  const shared = new Map([...entries].filter(([key]) => Object.hasOwn(pinKeys, key) && !claimed.has(key)));
  const common = validate(pinSchema, withEntries(located, shared), problems);
  if (place === undefined) {
    reportUnknownKeys(located, entries, scope);
    return undefined;
  }
  const { driver, options } = place.port;
  const keysOfDriver = withEntries(located, new Map([...place.keys, ...claimed]));
  const blaming = all.problems.forPin(name, inherited, () => culpritOf(place.port, keysOfDriver, inherited));
  const address = validate(driver.pin, keysOfDriver, blaming, Object.keys(pinKeys), (fitting) =>
    meaningfulKeys(fitting, place.port, keysOfDriver, common?.value.direction).filter((key) => !entries.has(key)),
  );
  if (common === undefined || address === undefined || options === undefined) return undefined;
  const described = callDriver(located, blaming, () => driver.describe(address.value, options.value));
  if (described === undefined) return undefined;
  const { standIn } = place.port;
  const facts = standIn ? { ...described, kind: guessKind(entries) } : described;
  const directions = driver.keyDirections ?? {};
  // A common key that the driver claims has the meaning that the driver gives it.
  const judged = [...own].filter(([key]) => !claimed.has(key) || directions[key]);
  const keys = { own: new Map(judged), entries, located, directions };
  const spec = specOf(name, common.value, facts, keys, problems);
  if (!standIn) checkKeyUse(spec, facts, keys, problems);
  // A channel without an address of its own is the pin's alone.
  const key = facts.key ?? name;
  const lines = place.lines.map(lineKey);
  return {
    spec: isSimulated(place.port) ? { ...spec, simulated: true } : spec,
    ...{ port: place.port.name, key, address: address.value, lines, located, entries, inherited },
    given: common.value,
    ...(standIn && { kindIsGuess: true }),
  };
}

/**
 * The keys `on` and `off` where they are the driver's: of a register or a telegram. Those of a text pin name values for rules,
 * whatever its driver.
 */
function onAndOffOfDriver({ port, keys, entries }: PlacedPin, section: Located): ReadonlyMap<string, Located> {
  const stated = [...entries].filter(([key]) => key === 'on' || key === 'off');
  if (stated.length === 0 || factsOf(port, withEntries(section, keys))?.kind === 'text') return new Map();
  const known = keysAt(port.driver.pin);
  return new Map(stated.filter(([key]) => known.includes(key)));
}

/** The inherited key without which the driver would take the keys of a pin. `undefined` when it does, or when it is another mistake. */
function culpritOf(port: PortEntry, keys: Located, inherited: ReadonlyMap<string, Located>): string | undefined {
  const stated = entriesOf(keys);
  const suspects = [...inherited.keys()].filter((key) => stated.has(key));
  if (suspects.length === 0 || factsOf(port, keys)) return undefined;
  return suspects.find((key) => factsOf(port, withEntries(keys, new Map([...stated].filter(([one]) => one !== key)))));
}

/** The facts about a pin with these keys. `undefined` when something is wrong with them. */
function factsOf({ driver, options }: PortEntry, keys: Located): ChannelFacts | undefined {
  const parsed = driver.pin.safeParse(toPlain(keys));
  if (!parsed.success || options === undefined) return undefined;
  return callDriver(undefined, new Problems(), () => driver.describe(parsed.data, options.value));
}

function isSimulated({ mock, driver }: PortEntry): boolean {
  return mock || driver.hardware === 'simulated';
}

export function specOf(
  name: string,
  given: PinKeys,
  facts: ChannelFacts,
  { entries, located }: StatedKeys,
  problems: Problems,
): PinSpec {
  const { kind, words } = facts;
  const direction = directionOf(given, facts, entries.get('direction') ?? located, problems);
  const output = direction === 'out';
  const on = given.on === undefined ? undefined : [given.on].flat();
  const off = given.off ?? soleOther(words, on);
  const valid: ValidValues = { kind, range: given.range, words, off };
  const safe = output ? safeValue(entries.get('safe'), valid, problems) : undefined;
  const initial = output ? initialValue(entries.get('initial'), safe, valid, problems) : undefined;
  return {
    name,
    kind,
    direction,
    ...statedParts(given),
    ...repetitionOf(given, facts),
    ...(words !== undefined && { words }),
    ...(on !== undefined && { on }),
    ...(off !== undefined && { off }),
    ...(initial !== undefined && { initial }),
    ...(safe !== undefined && { safe }),
    ...(given.read_on !== undefined && !output && { readOn: given.read_on }),
    onExit: given.on_exit ?? (safe === undefined ? 'hold' : 'safe'),
    onLoss: given.on_loss ?? 'safe',
    rearm: given.rearm ?? 'auto',
    rules: rulesOf(given),
  };
}

/** The direction of a pin: `in` unless it says otherwise or its channel is an output only. */
function directionOf(given: PinKeys, { directions }: ChannelFacts, written: Located, problems: Problems): Direction {
  const direction = given.direction ?? (directions.includes('in') ? 'in' : 'out');
  if (!directions.includes(direction)) {
    problems.error(written.at, written.path, `this channel cannot be direction: ${direction}`, {
      found: direction,
      expected: directions.join(' or '),
    });
  }
  return direction;
}

/** The parts of a specification that are as the user wrote them, or a default. */
function statedParts(given: PinKeys) {
  const { label, uom, range, controller, precision, tolerance, class: pinClass } = given;
  return {
    ...(label !== undefined && { label }),
    ...(uom !== undefined && { uom }),
    ...(pinClass !== undefined && { class: pinClass }),
    ...(range !== undefined && { range }),
    ...(controller !== undefined && { controller }),
    ...(precision !== undefined && { precision }),
    ...(tolerance !== undefined && { tolerance }),
    ...(given.stale_after !== undefined && { staleAfterMs: given.stale_after }),
    ...(given.max_silence !== undefined && { maxSilenceMs: given.max_silence }),
    invert: given.invert ?? false,
    scale: given.scale ?? 1,
    offset: given.offset ?? 0,
    deadband: given.deadband ?? 0,
    debounceMs: given.debounce ?? 0,
  };
}

/** How often an output is written again, and whether it ever is. */
function repetitionOf({ repeat }: PinKeys, { momentary }: ChannelFacts) {
  if (momentary) return { momentary };
  return repeat === undefined ? {} : { repeatMs: repeat };
}

/** Reports keys that neither pins nor any driver have, of a pin whose driver is not known. */
function reportUnknownKeys(
  section: Located,
  entries: ReadonlyMap<string, Located>,
  { context, problems }: PinScope,
): void {
  const known = [...new Set([...Object.keys(pinKeys), ...context.drivers.flatMap((driver) => keysAt(driver.pin))])];
  // Which driver has the pin is not known, so that only what says it fits, and what every pin may have.
  const fitting = [...Object.keys(pinKeys), ...context.drivers.flatMap(({ placer }) => placer?.keys ?? [])];
  for (const key of entries.keys()) {
    if (!known.includes(key)) reportUnknownKey(withEntries(section, entries), key, problems, known, fitting);
  }
}

type Range = readonly [number, number] | undefined;

/** The values that a pin can have. */
interface ValidValues {
  readonly kind: PinKind;
  readonly range: Range;
  readonly words: readonly string[] | undefined;
  /** Text: the word for off. */
  readonly off: string | undefined;
}

/** The value of `safe`: a value or `off`; `undefined` for `hold`. */
function safeValue(located: Located | undefined, valid: ValidValues, problems: Problems): RawValue | undefined {
  const { kind, range, words, off } = valid;
  const word = textOf(located);
  if (located === undefined || word === 'hold') return undefined;
  if (kind === 'text' && word === 'off' && off !== undefined && words?.includes('off') !== true) return off;
  if (word !== 'off' || kind === 'digital' || kind === 'text') return pinValue(located, valid, problems);
  if (!range || (range[0] <= 0 && range[1] >= 0)) return 0;
  problems.invalid(located, "off is 0, which is outside the pin's range", { expected: `${range[0]} to ${range[1]}` });
  return undefined;
}

/** The value of `initial`: a value, `safe`, or `last`. */
function initialValue(
  located: Located | undefined,
  safe: RawValue | undefined,
  valid: ValidValues,
  problems: Problems,
): PinSpec['initial'] {
  const word = textOf(located);
  if (located === undefined) return undefined;
  if (word === 'last') return { last: true };
  if (word !== 'safe') return pinValue(located, valid, problems);
  if (safe === undefined) {
    problems.invalid(located, 'initial: safe needs to know the safe value', { expected: 'safe: VALUE beside it' });
  }
  return safe;
}

/** The value of `initial` or `safe`. `undefined` when it does not fit the pin, which has been reported. */
function pinValue(located: Located, { kind, range, words }: ValidValues, problems: Problems): RawValue | undefined {
  const value = located.node.kind === 'scalar' ? located.node.value : undefined;
  switch (kind) {
    case 'digital':
      return digitalValue(located, value, problems);
    case 'text':
      if (typeof value === 'string' && (words?.includes(value) ?? true)) return value;
      if (words && typeof value === 'string') reportUnknownName(located, 'value', words, problems);
      else problems.invalid(located, 'this is no value of a text pin', { expected: 'text in quotes' });
      return undefined;
    default:
      return numberValue(located, value, kind, range, problems);
  }
}

function digitalValue(located: Located, value: unknown, problems: Problems): boolean | undefined {
  const level = levelOf(value);
  if (level === undefined)
    problems.invalid(located, 'this is no value of a digital pin', { expected: 'true or false' });
  return level;
}

function numberValue(
  located: Located,
  value: unknown,
  kind: PinKind,
  range: Range,
  problems: Problems,
): number | undefined {
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    const pin = kind === 'analog' ? 'an analog pin' : 'a counter pin';
    problems.invalid(located, `this is no value of ${pin}`, { expected: 'a number' });
    return undefined;
  }
  if (range && (value < range[0] || value > range[1])) {
    problems.invalid(located, "this value is outside the pin's range", { expected: `${range[0]} to ${range[1]}` });
    return undefined;
  }
  return value;
}

interface Applicability {
  readonly direction?: Direction;
  readonly kinds?: readonly PinKind[];
}

const NUMBERS: readonly PinKind[] = ['analog', 'counter'];

/** The pins on which a key has a meaning. A key without one is reported as a mistake. */
const APPLICABILITY: Readonly<Record<string, Applicability>> = {
  initial: { direction: 'out' },
  safe: { direction: 'out' },
  on_exit: { direction: 'out' },
  on_loss: { direction: 'out' },
  rearm: { direction: 'out' },
  controller: { direction: 'out' },
  repeat: { direction: 'out' },
  follow: { direction: 'out' },
  interlock: { direction: 'out' },
  requires: { direction: 'out' },
  max_on: { direction: 'out' },
  min_on: { direction: 'out' },
  min_off: { direction: 'out' },
  rate: { direction: 'out' },
  on: { kinds: ['text'] },
  off: { direction: 'out', kinds: ['text'] },
  range: { direction: 'out', kinds: NUMBERS },
  invert: { kinds: ['digital'] },
  scale: { kinds: NUMBERS },
  offset: { kinds: NUMBERS },
  deadband: { kinds: NUMBERS },
  precision: { kinds: NUMBERS },
  tolerance: { direction: 'out', kinds: NUMBERS },
  debounce: { direction: 'in', kinds: ['digital'] },
  read_on: { direction: 'in' },
};

/** The keys of a pin. */
interface StatedKeys {
  /** Keys of the pin's own section. An inherited key may have no meaning on this pin. */
  readonly own: ReadonlyMap<string, Located>;
  /** All keys, inherited ones too. */
  readonly entries: ReadonlyMap<string, Located>;
  readonly located: Located;
  /** See Driver.keyDirections. */
  readonly directions: Readonly<Record<string, Direction>>;
}

/**
 * The keys that have a meaning on a pin, as far as its kind and direction are known in spite of its mistakes: some of those of
 * its driver, and some that every pin may have.
 */
function meaningfulKeys(
  ofDriver: readonly string[],
  port: PortEntry,
  keys: Located,
  direction: Direction | undefined,
): string[] {
  const known = keysAt(port.driver.pin);
  const present = [...entriesOf(keys)].filter(([key]) => known.includes(key));
  const facts = factsOf(port, withEntries(keys, new Map(present)));
  const used = direction ?? (facts?.directions.includes('in') === false ? 'out' : 'in');
  const directions = port.driver.keyDirections ?? {};
  const common = Object.keys(pinKeys).filter((key) => !known.includes(key));
  return [...ofDriver, ...common].filter((key) => {
    const { direction: only = directions[key], kinds }: Applicability = known.includes(key)
      ? {}
      : (APPLICABILITY[key] ?? {});
    return (only ?? used) === used && (kinds === undefined || facts === undefined || kinds.includes(facts.kind));
  });
}

/** Checks that the keys of a pin have a meaning on it and go together. */
export function checkKeyUse(spec: PinSpec, facts: ChannelFacts, stated: StatedKeys, problems: Problems): void {
  const { own, entries, directions } = stated;
  for (const [key, value] of own) {
    const direction = directions[key];
    const fit = direction ? { direction } : APPLICABILITY[key];
    if (fit?.direction && fit.direction !== spec.direction) {
      const hint = fit.direction === 'out' && facts.directions.includes('out') ? 'direction: out, or' : 'this pin';
      problems.error(value.keyAt, value.path, `${key} has no meaning on an ${spec.direction}put`, {
        found: `${key} on direction: ${spec.direction}`,
        expected: `${hint} without ${key}`,
      });
    } else if (fit?.kinds && !fit.kinds.includes(spec.kind)) {
      problems.error(value.keyAt, value.path, `${key} has no meaning on a pin that is ${spec.kind}`, {
        found: `${key} on a ${spec.kind} pin`,
        expected: `${key} on ${fit.kinds.join(' or ')} pins only`,
      });
    }
  }
  checkNumbers(spec, entries, problems);
  if (spec.direction === 'out') checkSafety(spec, facts, stated, problems);
  if (spec.momentary) checkOrder(spec, own, problems);
}

function checkNumbers({ range, scale }: PinSpec, entries: ReadonlyMap<string, Located>, problems: Problems): void {
  const written = entries.get('range');
  if (range && written && range[0] >= range[1]) {
    problems.invalid(written, 'the range is empty', { expected: 'the lower limit first' });
  }
  const factor = entries.get('scale');
  if (factor && scale === 0) problems.invalid(factor, 'scale 0 makes every value 0', { expected: 'any other number' });
}

/** Reports keys that would give an order again, which is over once it has been given. */
function checkOrder({ onLoss }: PinSpec, own: ReadonlyMap<string, Located>, problems: Problems): void {
  const again = [own.get('repeat'), onLoss === 'rewrite' ? own.get('on_loss') : undefined];
  for (const written of again) {
    if (!written) continue;
    problems.invalid(written, 'an order is over once it has been given: it is never written again', {
      expected: `a value that stays in force, or no ${lastKey(written)}`,
    });
  }
}

function checkSafety(
  { name, onExit, onLoss, safe, controller }: PinSpec,
  facts: ChannelFacts,
  { entries, located }: StatedKeys,
  problems: Problems,
): void {
  const exit = entries.get('on_exit');
  const stated = entries.get('safe');
  const hasSafe = stated !== undefined;
  // A wrong safe value has been reported.
  const holds = !hasSafe || (safe === undefined && stated.node.kind === 'scalar' && stated.node.value === 'hold');
  for (const [key, policy] of [
    ['on_exit', onExit],
    ['on_loss', onLoss],
  ] as const) {
    const written = entries.get(key);
    if (!written || policy !== 'safe' || !holds) continue;
    problems.invalid(written, `${key}: safe needs to know the safe value`, { expected: 'safe: VALUE beside it' });
  }
  const control = entries.get('controller');
  if (control && controller !== undefined && holds) {
    problems.invalid(control, 'without its controller this output has no safe value to go to', {
      expected: 'safe: VALUE beside it',
    });
  }
  if (exit && onExit === 'input' && !facts.floats) {
    problems.invalid(exit, 'this output is always driven and cannot become an input', { expected: 'safe or hold' });
  }
  // A pin without an address has no hardware that could do harm.
  if (!hasSafe && facts.key !== undefined && !facts.momentary) {
    const message = `output ${name} has no safe value: it stays as it is when things fail`;
    problems.warning(located.keyAt, located.path, message, { expected: 'safe: the value that harms nobody' });
  }
}
