import type { PinKind, RawValue } from '../pin/pin.ts';
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

/** The value of `initial` or `safe`, as the user means it. Undefined: it does not fit the pin, which has been reported. */
export function pinValue(
  located: Located,
  kind: PinKind,
  range: readonly [number, number] | undefined,
  problems: Problems,
): RawValue | undefined {
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
