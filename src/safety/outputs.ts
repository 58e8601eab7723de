import type { PinSpec, RawValue } from '../pin/pin.ts';

/**
 * The value (as the user means it) an output is given when its port is opened. The first time it is `initial`, else the
 * hardware's present value stays. See `valueAtReturn` for the times after that.
 */
export function valueAtOpen({ direction, initial }: PinSpec): RawValue | undefined {
  return direction === 'out' ? initial : undefined;
}

/**
 * The raw value an output is given when its hardware comes back after a loss, as `toRaw` makes one of the user's. Nobody
 * knows what the hardware did meanwhile, and what was asked for then is old: it goes to `safe`, and without one it is left
 * alone and read. Only by choice it gets `confirmed`, the raw value it was last seen to take, again.
 */
export function valueAtReturn(
  spec: PinSpec,
  confirmed: RawValue | undefined,
  toRaw: (spec: PinSpec, value: RawValue) => RawValue,
): RawValue | undefined {
  const { direction, safe, onLoss = 'safe' } = spec;
  if (direction !== 'out' || onLoss === 'hold') return undefined;
  if (onLoss === 'rewrite') return confirmed;
  return safe === undefined ? undefined : toRaw(spec, safe);
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
