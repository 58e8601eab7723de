import type { ChannelFacts } from '../driver/driver.ts';
import { DcsError, messageOf } from '../errors/errors.ts';
import type { PinSpec } from '../pin/pin.ts';
import { type Located, withEntries } from './located.ts';
import type { PinDraft } from './pin-draft.ts';
import { placeOf, type Surroundings } from './pin-place.ts';
import { checkUse } from './pin-use.ts';
import { initialValue, safeValue } from './pin-values.ts';
import type { PortEntry } from './port-section.ts';
import type { Problems } from './problems.ts';
import type { ResolvedPin } from './resolved.ts';
import { rulesOf } from './rule-keys.ts';
import { type PinKeys, pinKeys, pinSchema } from './schema.ts';
import { check, reportUnknownKey } from './schema-issues.ts';
import { keysAt } from './schema-keys.ts';
import { checkName } from './section.ts';

/** A pin that is right by itself. */
export interface CheckedPin extends ResolvedPin {
  readonly located: Located;
  /** Its keys, inherited ones too. */
  readonly entries: ReadonlyMap<string, Located>;
}

/** Checks one pin. Undefined: something is wrong with it, which has been reported. */
export function checkPin(draft: PinDraft, around: Surroundings): CheckedPin | undefined {
  const { name, located } = draft;
  const { problems } = around;
  checkName(name, located, problems);
  if (located.node.kind !== 'section') {
    problems.wrong(located, `pin ${name} must be a section of keys`, { expected: '{ gpio: GPIO17, direction: out }' });
    return undefined;
  }
  const own = located.node.entries;
  const entries = new Map([...draft.inherited, ...own]);
  const isCommon = (key: string) => Object.hasOwn(pinKeys, key);
  const shared = new Map([...entries].filter(([key]) => isCommon(key)));
  const keys = new Map([...entries].filter(([key]) => !isCommon(key)));
  const common = check(pinSchema, withEntries(located, shared), problems);
  const place = placeOf(located, entries.get('port'), keys, around);
  if (place === undefined) {
    reportStrangers(withEntries(located, keys), around);
    return undefined;
  }
  const { driver, options } = place.port;
  const address = check(driver.pin, withEntries(located, place.keys), problems, Object.keys(pinKeys));
  if (common === undefined || address === undefined || options === undefined) return undefined;
  const facts = describe(place.port, address.value, options.value, located, problems);
  if (facts === undefined) return undefined;
  const simulated = place.port.mock || driver.name === 'mock' ? true : undefined;
  const spec = specOf(name, common.value, facts, entries, located, simulated, problems);
  checkUse(spec, facts, { own, entries, located }, problems);
  // A channel without an address of its own is the pin's alone.
  const key = facts.key ?? name;
  const lines = place.lines.map(({ chip, line }) => `${chip}:${line}`);
  return { spec, port: place.port.name, key, address: address.value, lines, located, entries };
}

function specOf(
  name: string,
  given: PinKeys,
  facts: ChannelFacts,
  entries: ReadonlyMap<string, Located>,
  located: Located,
  simulated: true | undefined,
  problems: Problems,
): PinSpec {
  const { kind, directions } = facts;
  const direction = given.direction ?? (directions.includes('in') ? 'in' : 'out');
  if (!directions.includes(direction)) {
    const place = entries.get('direction') ?? located;
    problems.error(place.at, place.path, `this channel cannot be direction: ${direction}`, {
      found: direction,
      expected: directions.join(' or '),
    });
  }
  const { range, label, uom } = given;
  const output = direction === 'out';
  const safe = output ? safeValue(entries.get('safe'), kind, range, problems) : undefined;
  const initial = output ? initialValue(entries.get('initial'), safe, kind, range, problems) : undefined;
  return {
    name,
    kind,
    direction,
    ...(label === undefined ? {} : { label }),
    ...(uom === undefined ? {} : { uom }),
    ...(given.class === undefined ? {} : { class: given.class }),
    ...(range === undefined ? {} : { range }),
    ...(initial === undefined ? {} : { initial }),
    ...(safe === undefined ? {} : { safe }),
    ...(given.controller === undefined ? {} : { controller: given.controller }),
    ...(given.stale_after === undefined ? {} : { staleAfterMs: given.stale_after }),
    ...(simulated ? { simulated } : {}),
    ...(given.read_on === undefined || direction === 'out' ? {} : { readOn: given.read_on }),
    ...(given.precision === undefined ? {} : { precision: given.precision }),
    ...(given.max_silence === undefined ? {} : { maxSilenceMs: given.max_silence }),
    invert: given.invert ?? false,
    scale: given.scale ?? 1,
    offset: given.offset ?? 0,
    deadband: given.deadband ?? 0,
    onExit: given.on_exit ?? (safe === undefined ? 'hold' : 'safe'),
    onLoss: given.on_loss ?? 'safe',
    rearm: given.rearm ?? 'auto',
    debounceMs: given.debounce ?? 0,
    rules: rulesOf(given),
  };
}

function describe(
  { driver }: PortEntry,
  address: unknown,
  options: unknown,
  located: Located,
  problems: Problems,
): ChannelFacts | undefined {
  try {
    return driver.describe(address, options);
  } catch (error) {
    const expected = error instanceof DcsError ? error.expected : undefined;
    problems.error(located.keyAt, located.path, messageOf(error), { expected });
    return undefined;
  }
}

/** Keys that no driver and no pin has, of a pin whose driver is not known. */
function reportStrangers(section: Located, { context, problems }: Surroundings): void {
  const known = [
    'gpio',
    'virtual',
    ...Object.keys(pinKeys),
    ...context.drivers.flatMap((driver) => keysAt(driver.pin)),
  ];
  if (section.node.kind !== 'section') return;
  for (const key of section.node.entries.keys()) {
    if (!known.includes(key)) reportUnknownKey(section, key, problems, [...new Set(known)]);
  }
}
