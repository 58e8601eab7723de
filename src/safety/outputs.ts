import type { PinSpec, RawValue } from '../pin/pin.ts';

/**
 * The value (as the user means it) an output is given when its port is opened. The first time it is `initial`, else the
 * hardware's present value stays. After a port was lost nobody knows what the hardware did meanwhile and what was asked
 * for then is old: the output goes to `safe`, and without one it is left alone and read.
 */
export function valueAtOpen(spec: PinSpec, first: boolean): RawValue | undefined {
  if (spec.direction !== 'out') return undefined;
  return first ? spec.initial : spec.safe;
}

/** Whether an output is driven no more when the agent stops. */
export function floatsAtExit({ direction, onExit }: PinSpec): boolean {
  return direction === 'out' && onExit === 'input';
}

/** The value (as the user means it) an output is given when the agent stops. Undefined: it stays as it is. */
export function valueAtExit(spec: PinSpec): RawValue | undefined {
  if (spec.direction !== 'out' || spec.onExit !== 'safe') return undefined;
  return spec.safe;
}
