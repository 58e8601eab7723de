import type { DurationMs } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import {
  type IoCommand,
  type IoControl,
  type IoMessage,
  ioCommandSchema,
  ioControlSchema,
} from '../message/payloads.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';

/** Parses an IoMessage that commands a value. Throws BAD_COMMAND, which names the wrong key. */
export function parseCommand(message: IoMessage): IoCommand {
  const parsed = ioCommandSchema.safeParse(message);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue?.path.join('.') ?? '';
  throw new DcsError('BAD_COMMAND', `${message.pin_name}: ${at || 'the command'}: ${issue?.message ?? 'is wrong'}`, {
    found: at === '' ? message : message[at],
    expected: '{pin_name, val: true|false|number|text, ttl?, hold?, pulse?, blink?, override?}',
  });
}

/** Parses an IoMessage that ends an override or rearms the output. `undefined` when it does neither. */
export function parseControl(message: IoMessage): IoControl | undefined {
  // A message with a value is a command: it is parsed once, by parseCommand.
  if (message.val !== undefined) return undefined;
  const parsed = ioControlSchema.safeParse(message);
  if (!parsed.success || (parsed.data.override === undefined && parsed.data.rearm === undefined)) return undefined;
  return parsed.data;
}

/** A later change of an output that a command brings with it. Values are the user's. */
export interface TimedStep {
  readonly kind: 'pulse' | 'lease' | 'blink';
  readonly value: RawValue;
  readonly afterMs: DurationMs;
  /** Makes the step after this one. The value stays when `undefined`. */
  readonly next?: () => TimedStep;
}

/**
 * Returns the later change that a command asks for. A pulse ends at the other level. A lease ends at `safe` unless the
 * command is sent again. A blinking output alternates until the next command. `undefined` when the command has none.
 *
 * Throws when the pin cannot do it. Half a command would leave on an output that the sender expects to go off.
 */
export function timedStepFor(spec: PinSpec, command: IoCommand, value: RawValue): TimedStep | undefined {
  const { pulse, hold, blink } = command;
  if (pulse === undefined && hold === undefined && blink === undefined) return undefined;
  if ([pulse, hold, blink].filter((one) => one !== undefined).length > 1) {
    throw new DcsError('BAD_COMMAND', `${spec.name}: a command is a pulse, a lease or blinking, not more than one`, {
      found: { pulse, hold, blink },
      expected: 'one of pulse, hold, blink',
    });
  }
  if (pulse !== undefined) {
    const level = digital(spec, value, 'pulse');
    checkPhase(spec, level, pulse * 1000, 'pulse');
    return { kind: 'pulse', value: !level, afterMs: pulse * 1000 };
  }
  if (blink !== undefined) {
    const level = digital(spec, value, 'blink');
    checkPhase(spec, true, blink[0] * 1000, 'blink');
    checkPhase(spec, false, blink[1] * 1000, 'blink');
    if (spec.rules.rate) throw ruleBroken(spec, 'rate', 'an output whose changes are limited cannot blink');
    return blinking(level, blink);
  }
  if (hold === undefined) return undefined;
  if (spec.safe === undefined) {
    throw new DcsError('NOT_SUPPORTED', `${spec.name} has no safe value to go to when a lease ends`, {
      expected: 'a pin with `safe` in the configuration',
    });
  }
  return { kind: 'lease', value: spec.safe, afterMs: hold * 1000 };
}

/** The refusal that names a rule. */
export function ruleBroken({ name }: PinSpec, rule: string, why: string): DcsError {
  return new DcsError('RULE', `${name}: ${rule}: ${why}`, { rule });
}

function digital(spec: PinSpec, value: RawValue, what: string): boolean {
  if (typeof value === 'boolean') return value;
  throw new DcsError('NOT_SUPPORTED', `${spec.name} is ${spec.kind}: only a digital output can ${what}`);
}

/** Throws RULE when a level would end before min_on, min_off or after max_on allow. */
function checkPhase(spec: PinSpec, on: boolean, ms: DurationMs, what: string): void {
  const { minOnMs = 0, minOffMs = 0, maxOnMs = Number.POSITIVE_INFINITY } = spec.rules;
  const least = on ? minOnMs : minOffMs;
  if (ms < least)
    throw ruleBroken(spec, on ? 'min_on' : 'min_off', `a ${what} of ${ms} ms is shorter than ${least} ms`);
  if (on && ms > maxOnMs) throw ruleBroken(spec, 'max_on', `a ${what} of ${ms} ms is longer than ${maxOnMs} ms`);
}

function blinking(level: boolean, phases: readonly [number, number]): TimedStep {
  const [onS, offS] = phases;
  return {
    kind: 'blink',
    value: !level,
    afterMs: (level ? onS : offS) * 1000,
    next: () => blinking(!level, phases),
  };
}
