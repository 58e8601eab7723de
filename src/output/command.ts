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

/** An IoMessage as a command for a value. Throws BAD_COMMAND, naming what is wrong with it. */
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

/** An IoMessage that ends an override or rearms the output; undefined: it is neither. */
export function parseControl(message: IoMessage): IoControl | undefined {
  const parsed = ioControlSchema.safeParse(message);
  if (!parsed.success || (parsed.data.override === undefined && parsed.data.rearm === undefined)) return undefined;
  return parsed.data;
}

/** What an output does by itself some time after it was commanded, and what it does after that. Values as the user means them. */
export interface TimedStep {
  readonly kind: 'pulse' | 'lease' | 'blink';
  readonly value: RawValue;
  readonly afterMs: DurationMs;
  /** Absent: it stays. */
  readonly next?: () => TimedStep;
}

/**
 * What an output does by itself after a command: it goes to the other level at the end of a pulse, to `safe` at the end of
 * a lease that was not renewed (by sending the command again), and to and fro while it blinks. Undefined when the command
 * stands until the next one. Throws when the pin cannot do what is asked: half a command would leave an output on that
 * its sender believes will go off.
 */
export function timedStepFor(spec: PinSpec, command: IoCommand, value: RawValue): TimedStep | undefined {
  const { pulse, hold, blink } = command;
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

/** A level that ends by itself must not end before it may. */
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
