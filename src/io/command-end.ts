import type { DurationMs } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import type { IoCommand } from '../message/payloads.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';
import { toRaw } from './convert.ts';

/** What an output does by itself some time after it was last driven, and what it does after that. */
export interface Step {
  readonly raw: RawValue;
  readonly afterMs: DurationMs;
  /** Absent: it stays. */
  readonly next?: () => Step;
}

/**
 * What an output does by itself after a command: it goes to the other level at the end of a pulse, to `safe` at the end of
 * a lease that was not renewed (by sending the command again), and to and fro while it blinks. Undefined when the command
 * stands until the next one. Throws when the pin cannot do what is asked: half a command would leave an output on that
 * its sender believes will go off.
 */
export function stepAfter(spec: PinSpec, command: IoCommand, raw: RawValue): Step | undefined {
  const { pulse, hold, blink } = command;
  if ([pulse, hold, blink].filter((one) => one !== undefined).length > 1) {
    throw new DcsError('BAD_COMMAND', `${spec.name}: a command is a pulse, a lease or blinking, not more than one`, {
      found: { pulse, hold, blink },
      expected: 'one of pulse, hold, blink',
    });
  }
  if (pulse !== undefined) return { raw: !digital(spec, raw, 'pulse'), afterMs: pulse * 1000 };
  if (blink !== undefined) {
    const level = digital(spec, raw, 'blink');
    return blinking(level, level !== spec.invert, blink);
  }
  if (hold === undefined) return undefined;
  if (spec.safe === undefined) {
    throw new DcsError('NOT_SUPPORTED', `${spec.name} has no safe value to go to when a lease ends`, {
      expected: 'a pin with `safe` in the configuration',
    });
  }
  return { raw: toRaw(spec, spec.safe), afterMs: hold * 1000 };
}

function digital(spec: PinSpec, raw: RawValue, what: string): boolean {
  if (typeof raw === 'boolean') return raw;
  throw new DcsError('NOT_SUPPORTED', `${spec.name} is ${spec.kind}: only a digital output can ${what}`);
}

/** From a level that is on (as the user means it) or off, to the other. */
function blinking(level: boolean, on: boolean, phases: readonly [number, number]): Step {
  const [onS, offS] = phases;
  return { raw: !level, afterMs: (on ? onS : offS) * 1000, next: () => blinking(!level, !on, phases) };
}
