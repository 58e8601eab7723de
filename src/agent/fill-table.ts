import type { Clock } from '../clock/clock.ts';
import type { ResolvedPin } from '../config/resolved.ts';
import type { Log } from '../driver/driver.ts';
import { messageOf } from '../errors/errors.ts';
import { toRaw } from '../io/convert.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';
import type { KeptOutputs } from '../safety/kept-outputs.ts';
import type { PinTable } from '../safety/pin-table.ts';

/** Puts every pin into the table: outputs with what they start with, and with the override that is still in force. */
export function fillTable(
  table: PinTable,
  pins: readonly ResolvedPin[],
  kept: KeptOutputs,
  clock: Clock,
  log: Log,
): void {
  for (const { spec, port, key } of pins) {
    const initial = fitting(spec, kept.initialOf(spec), 'what it was before the restart', log) ?? spec.safe;
    const start = typeof spec.initial === 'object' ? initial : spec.initial;
    const { output } = table.add(spec, { port, key }, start);
    const override = output && kept.overrideOf(spec.name);
    const value = override && fitting(spec, override.value, 'the value it was overridden with', log);
    if (!output || !override || value === undefined) continue;
    const left = override.until - clock.unix();
    if (left <= 0) void kept.override(spec.name, undefined);
    else output.resumeOverride(override, clock.now() + left * 1000);
  }
}

/** The configuration may have changed since a value was kept. */
function fitting(spec: PinSpec, value: RawValue | undefined, what: string, log: Log): RawValue | undefined {
  if (value === undefined) return undefined;
  try {
    toRaw(spec, value);
    return value;
  } catch (error) {
    log.warn({ pin: spec.name }, `${spec.name}: ${what} is not used: ${messageOf(error)}`);
    return undefined;
  }
}
