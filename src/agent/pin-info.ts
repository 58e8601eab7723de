import type { ResolvedConfig } from '../config/resolved.ts';
import type { PinInfo } from '../message/payloads.ts';
import type { PinSpec } from '../pin/pin.ts';

/** What other nodes are told about a pin. */
export function pinInfo({ spec, port }: ResolvedConfig['pins'][number]): PinInfo {
  const { name, kind, direction, label, uom, range, safe, class: kindOfDevice } = spec;
  return {
    name,
    kind,
    direction,
    port,
    ...(label !== undefined && { label }),
    ...(uom !== undefined && { uom }),
    ...(kindOfDevice !== undefined && { class: kindOfDevice }),
    ...(range !== undefined && { range }),
    ...(safe !== undefined && { safe }),
  };
}

export function pinActorName({ name }: PinSpec): string {
  return `pin ${name}`;
}

/** Counts for itself, so it goes on from where it was. */
export function isCounter({ kind, direction }: PinSpec): boolean {
  return kind === 'counter' && direction === 'in';
}
