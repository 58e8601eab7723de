import type { PinKind, PinSpec, RawValue } from '../pin/pin.ts';
import type { Located } from './located.ts';
import type { Problems } from './problems.ts';

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

type Range = readonly [number, number] | undefined;

/** The value of `safe`: a value, `off`, or undefined for `hold`. */
export function safeValue(
  located: Located | undefined,
  kind: PinKind,
  range: Range,
  problems: Problems,
): RawValue | undefined {
  const word = wordOf(located);
  if (located === undefined || word === 'hold') return undefined;
  if (word !== 'off' || kind === 'digital' || kind === 'text') return pinValue(located, kind, range, problems);
  if (!range || (range[0] <= 0 && range[1] >= 0)) return 0;
  problems.wrong(located, "off is 0, which is outside the pin's range", { expected: `${range[0]} to ${range[1]}` });
  return undefined;
}

/** The value of `initial`: a value, `safe`, or `last`. */
export function initialValue(
  located: Located | undefined,
  safe: RawValue | undefined,
  kind: PinKind,
  range: Range,
  problems: Problems,
): PinSpec['initial'] {
  const word = wordOf(located);
  if (located === undefined) return undefined;
  if (word === 'last') return { last: true };
  if (word !== 'safe') return pinValue(located, kind, range, problems);
  if (safe === undefined) {
    problems.wrong(located, 'initial: safe needs to know the safe value', { expected: 'safe: VALUE beside it' });
  }
  return safe;
}

function wordOf(located: Located | undefined): string | undefined {
  const value = located?.node.kind === 'scalar' ? located.node.value : undefined;
  return typeof value === 'string' ? value : undefined;
}

/** The value of `initial` or `safe`, as the user means it. Undefined: it does not fit the pin, which has been reported. */
function pinValue(located: Located, kind: PinKind, range: Range, problems: Problems): RawValue | undefined {
  const value = located.node.kind === 'scalar' ? located.node.value : undefined;
  if (kind === 'digital') {
    const level = LEVELS.get(typeof value === 'string' ? value.toLowerCase() : value);
    if (level === undefined)
      problems.wrong(located, 'this is no value of a digital pin', { expected: 'true or false' });
    return level;
  }
  if (kind === 'text') {
    if (typeof value === 'string') return value;
    problems.wrong(located, 'this is no value of a text pin', { expected: 'text in quotes' });
    return undefined;
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    problems.wrong(located, `this is no value of ${kind === 'analog' ? 'an analog' : 'a counter'} pin`, {
      expected: 'a number',
    });
    return undefined;
  }
  if (range && (value < range[0] || value > range[1])) {
    problems.wrong(located, "this value is outside the pin's range", { expected: `${range[0]} to ${range[1]}` });
    return undefined;
  }
  return value;
}
