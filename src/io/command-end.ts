import type { DurationMs } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import type { IoCommand } from '../message/payloads.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';
import { toRaw } from './convert.ts';

/**
 * What an output goes to by itself some time after a command: the other level at the end of a pulse, `safe` at the end of
 * a lease that was not renewed (by sending the command again). Undefined when the command stands until the next one.
 * Throws when the pin cannot do what is asked: half a command would leave an output on that its sender believes will go off.
 */
export function valueAfter(
  spec: PinSpec,
  command: IoCommand,
  raw: RawValue,
): { raw: RawValue; afterMs: DurationMs } | undefined {
  const { pulse, hold } = command;
  if (pulse !== undefined && hold !== undefined) {
    throw new DcsError('BAD_COMMAND', `${spec.name}: a command is a pulse or a lease, not both`, {
      found: { pulse, hold },
      expected: 'pulse or hold',
    });
  }
  if (pulse !== undefined) {
    if (typeof raw !== 'boolean') {
      throw new DcsError('NOT_SUPPORTED', `${spec.name} is ${spec.kind}: only a digital output can pulse`);
    }
    return { raw: !raw, afterMs: pulse * 1000 };
  }
  if (hold === undefined) return undefined;
  if (spec.safe === undefined) {
    throw new DcsError('NOT_SUPPORTED', `${spec.name} has no safe value to go to when a lease ends`, {
      expected: 'a pin with `safe` in the configuration',
    });
  }
  return { raw: toRaw(spec, spec.safe), afterMs: hold * 1000 };
}
