import type { Clock } from '../clock/clock.ts';
import type { ResolvedConfig, ResolvedPin } from '../config/resolved.ts';
import { DcsError, messageOf } from '../errors/errors.ts';
import type { ComputedPin } from '../io/computed-pins.ts';
import { parseValue } from '../io/convert.ts';
import type { Log } from '../log/log.ts';
import type { PinInfo } from '../message/payloads.ts';
import type { KeptOutputs } from '../output/kept-state.ts';
import type { PinTable } from '../output/pin-table.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';

/** The description of a pin for other nodes. */
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

/** A list of one when the pin is computed, else of none. */
export function computedPin({ spec, computed }: ResolvedPin): readonly ComputedPin[] {
  return computed ? [{ spec, ...computed }] : [];
}

export function pinActorName({ name }: PinSpec): string {
  return `pin ${name}`;
}

/** Whether a pin counts by itself, so that its count has to outlive a restart. */
export function isCounter({ kind, direction }: PinSpec): boolean {
  return kind === 'counter' && direction === 'in';
}

/** Adds every pin to the table: outputs with their initial value, and with an override that is still in force. */
export function addPinsToTable(
  table: PinTable,
  pins: readonly ResolvedPin[],
  kept: KeptOutputs,
  clock: Clock,
  log: Log,
): void {
  for (const { spec, port, key } of pins) {
    const initial = validKeptValue(spec, kept.initialOf(spec), 'what it was before the restart', log) ?? spec.safe;
    const start = typeof spec.initial === 'object' ? initial : spec.initial;
    const { output } = table.add(spec, { port, key }, start);
    const override = output && kept.overrideOf(spec.name);
    const value = override && validKeptValue(spec, override.value, 'the value it was overridden with', log);
    if (!output || !override || value === undefined) continue;
    const left = override.until - clock.unix();
    if (left <= 0) void kept.saveOverride(spec.name, undefined);
    else output.resumeOverride({ ...override, value }, clock.now() + left * 1000);
  }
}

/** A kept value, or `undefined` when it does not fit the pin any more: the configuration may have changed. */
function validKeptValue(spec: PinSpec, value: RawValue | undefined, what: string, log: Log): RawValue | undefined {
  if (value === undefined) return undefined;
  try {
    const parsed = parseValue(spec, value).value;
    if (typeof parsed === typeof value) return parsed;
    // A pin of another kind: true may not mean now what it meant then.
    throw new DcsError('BAD_VALUE', `${JSON.stringify(value)} is no value of a pin that is ${spec.kind}`);
  } catch (error) {
    log.warn({ pin: spec.name }, `${spec.name}: ${what} is not used: ${messageOf(error)}`);
    return undefined;
  }
}
