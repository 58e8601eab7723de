import type { ChannelFacts } from '../driver/driver.ts';
import type { Direction, PinKind, PinSpec } from '../pin/pin.ts';
import type { Located } from './located.ts';
import type { Problems } from './problems.ts';

interface Fit {
  readonly direction?: Direction;
  readonly kinds?: readonly PinKind[];
}

const NUMBERS: readonly PinKind[] = ['analog', 'counter'];

/** On which pins a key means anything. A key that would do nothing is a mistake the user should hear of. */
const FITS: Readonly<Record<string, Fit>> = {
  initial: { direction: 'out' },
  safe: { direction: 'out' },
  on_exit: { direction: 'out' },
  on_loss: { direction: 'out' },
  rearm: { direction: 'out' },
  controller: { direction: 'out' },
  follow: { direction: 'out' },
  interlock: { direction: 'out' },
  requires: { direction: 'out' },
  max_on: { direction: 'out' },
  min_on: { direction: 'out' },
  min_off: { direction: 'out' },
  rate: { direction: 'out' },
  range: { direction: 'out', kinds: NUMBERS },
  invert: { kinds: ['digital'] },
  scale: { kinds: NUMBERS },
  offset: { kinds: NUMBERS },
  deadband: { kinds: NUMBERS },
  precision: { kinds: NUMBERS },
  debounce: { direction: 'in', kinds: ['digital'] },
  read_on: { direction: 'in' },
};

/** The keys of a pin. */
export interface Stated {
  /** Those the pin states itself; what it inherits may be idle. */
  readonly own: ReadonlyMap<string, Located>;
  /** All of them. */
  readonly entries: ReadonlyMap<string, Located>;
  readonly located: Located;
}

/** Checks that the keys of a pin go together. */
export function checkUse(spec: PinSpec, facts: ChannelFacts, stated: Stated, problems: Problems): void {
  const { own, entries } = stated;
  for (const [key, value] of own) {
    const fit = FITS[key];
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
}

function checkNumbers({ range, scale }: PinSpec, entries: ReadonlyMap<string, Located>, problems: Problems): void {
  const written = entries.get('range');
  if (range && written && range[0] >= range[1]) {
    problems.wrong(written, 'the range is empty', { expected: 'the lower limit first' });
  }
  const factor = entries.get('scale');
  if (factor && scale === 0) problems.wrong(factor, 'scale 0 makes every value 0', { expected: 'any other number' });
}

function checkSafety(
  { name, onExit, onLoss, safe, controller }: PinSpec,
  facts: ChannelFacts,
  { entries, located }: Stated,
  problems: Problems,
): void {
  const exit = entries.get('on_exit');
  const stated = entries.get('safe');
  const hasSafe = stated !== undefined;
  // A safe value that is wrong has been reported.
  const holds = !hasSafe || (safe === undefined && stated.node.kind === 'scalar' && stated.node.value === 'hold');
  for (const [key, policy] of [
    ['on_exit', onExit],
    ['on_loss', onLoss],
  ] as const) {
    const written = entries.get(key);
    if (!written || policy !== 'safe' || !holds) continue;
    problems.wrong(written, `${key}: safe needs to know the safe value`, { expected: 'safe: VALUE beside it' });
  }
  const control = entries.get('controller');
  if (control && controller !== undefined && holds) {
    problems.wrong(control, 'without its controller this output has no safe value to go to', {
      expected: 'safe: VALUE beside it',
    });
  }
  if (exit && onExit === 'input' && !facts.floats) {
    problems.wrong(exit, 'this output is always driven and cannot become an input', { expected: 'safe or hold' });
  }
  // A pin without an address has no hardware behind it that could do harm.
  if (!hasSafe && facts.key !== undefined) {
    problems.warning(
      located.keyAt,
      located.path,
      `output ${name} has no safe value: it stays as it is when things fail`,
      {
        expected: 'safe: the value that harms nobody',
      },
    );
  }
}
