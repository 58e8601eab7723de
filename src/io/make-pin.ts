import type { RawValue } from '../pin/pin.ts';
import type { PinEntry } from '../safety/pin-table.ts';
import type { ChannelHandle } from './channels.ts';
import { toRaw } from './convert.ts';
import { OutputActor } from './output-actor.ts';
import { PinActor, type PinLife } from './pin-actor.ts';

/** The actor of a pin. */
export function makePin({ spec, output }: PinEntry, handle: ChannelHandle, life: PinLife): PinActor {
  return output ? new OutputActor(spec, output, handle, life) : new PinActor(spec, handle, life);
}

/** The raw value an output is to be opened with. Undefined: what the hardware has stays. */
export function rawAtOpen({ spec, output }: PinEntry, first: boolean): RawValue | undefined {
  const value = output?.opening(first);
  return value === undefined ? undefined : toRaw(spec, value);
}
