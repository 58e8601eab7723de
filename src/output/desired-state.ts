import type { MonotonicMs } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import type { ControlledBy } from '../message/payloads.ts';
import { isOn, offValue, type PinSpec, type RawValue } from '../pin/pin.ts';
import { ruleBroken, type TimedStep } from './command.ts';
import { type KnownState, type OtherPins, type RuleBlock, timingHold, violation } from './rules.ts';

/** What an output is to be. */
export interface Setpoint {
  /** As the user means it. Undefined: it is left as it is. */
  readonly value: RawValue | undefined;
  readonly by: ControlledBy;
  /** For people: why. */
  readonly why: string;
  /** Commanded, and nobody confirmed it. */
  readonly unconfirmed?: true;
  /** What comes by itself: the end of a pulse or a lease, the other level of a blinking output. */
  readonly upcoming?: { readonly at: MonotonicMs; readonly step: TimedStep };
}

/** A person's word on an output, until a time. */
export interface Override {
  readonly value: RawValue;
  readonly until: MonotonicMs;
}

/** All that is wanted of an output. Never changed, only replaced. */
export interface DesiredState {
  readonly setpoint: Setpoint;
  readonly override?: Override;
  /** A change of what it follows, which must stay unchanged for a while. */
  readonly pendingFollow?: { readonly value: RawValue; readonly at: MonotonicMs };
  /** What it depends on and is not there, as text. */
  readonly losses: readonly string[];
  /** Why it is kept safe until somebody rearms it. */
  readonly locked?: string;
  /** The agent stops. */
  readonly stopping: boolean;
}

export interface Decision {
  readonly value: RawValue | undefined;
  readonly by: ControlledBy;
  readonly why: string;
  /** When time alone may change it. */
  readonly reevaluateAt?: MonotonicMs;
}

/** Where an output goes when something it depends on is lost. Undefined value: it stays. */
export function safeSetpoint(spec: PinSpec, why: string): Setpoint {
  return { value: spec.safe, by: 'safe', why };
}

/** What stands now: an override before a lock before everything else. */
export function activeSetpoint(spec: PinSpec, { override, locked, setpoint }: DesiredState): Setpoint {
  if (override) return { value: override.value, by: 'override', why: 'overridden' };
  if (locked === undefined) return setpoint;
  return { value: spec.safe ?? offValue(spec.kind), by: 'safe', why: `${locked}; it waits to be rearmed` };
}

/**
 * The value of an output, from what is wanted, what is and what its rules allow. Pure: the one place where all of that
 * meets. Highest first: exit, rules against being on, override, lock, loss, command or followed pin, start; rules of
 * time hold back what an override or a followed pin asks for.
 */
export function decide(
  spec: PinSpec,
  desired: DesiredState,
  facts: KnownState,
  now: MonotonicMs,
  neighbours: OtherPins,
): Decision {
  if (desired.stopping) return { value: exitValue(spec, desired), by: 'exit', why: 'the agent stops' };
  const { value, by, why } = activeSetpoint(spec, desired);
  const wanted = value ?? facts.value;
  const timers = earliest(desired.setpoint.upcoming?.at, desired.pendingFollow?.at, desired.override?.until);
  if (wanted === undefined) return { value, by, why, ...timers };
  // What is on by another hand must not be on either.
  const violated = violation(spec, isOn(wanted) ? wanted : (facts.value ?? wanted), facts, now, neighbours);
  if (violated) {
    const off = offValue(spec.kind);
    return {
      value: off,
      by: 'rule',
      why: `${violated.rule}: ${violated.why}`,
      ...earliest(timers.reevaluateAt, violated.until),
    };
  }
  const held = by === 'override' || by === 'follow' ? timingHold(spec, wanted, facts, now) : undefined;
  if (held) {
    return {
      value: facts.value,
      by: 'rule',
      why: `${held.rule}: ${held.why}`,
      ...earliest(timers.reevaluateAt, held.until),
    };
  }
  const { maxOnMs } = spec.rules;
  // Whoever has switched it on, and when nobody has seen yet whether it is.
  const limit = maxOnMs !== undefined && isOn(facts.value ?? wanted) ? facts.switchedAt + maxOnMs : now;
  return { value, by, why, ...earliest(timers.reevaluateAt, limit > now ? limit : undefined) };
}

/** An output that holds its value at exit still ends a pulse: nobody else will. */
function exitValue({ onExit, safe }: PinSpec, { setpoint }: DesiredState): RawValue | undefined {
  if (onExit === 'safe') return safe;
  const step = setpoint.upcoming?.step;
  return step && step.kind !== 'blink' ? step.value : undefined;
}

function earliest(...times: readonly (MonotonicMs | undefined)[]): { reevaluateAt?: MonotonicMs } {
  const known = times.filter((at) => at !== undefined);
  return known.length === 0 ? {} : { reevaluateAt: Math.min(...known) };
}

/** Everything that can change what is wanted of an output. Values as the user means them. */
export type OutputEvent =
  | { readonly kind: 'start' }
  | { readonly kind: 'stop' }
  /** The port is opened again after a loss. `owed`: what it was to be meanwhile has not been carried out. */
  | { readonly kind: 'reopened'; readonly owed: boolean }
  | {
      readonly kind: 'command';
      readonly value: RawValue;
      readonly step?: TimedStep | undefined;
      readonly unconfirmed?: true;
    }
  /** A rule forbade a command while that was on its way to the hardware. */
  | { readonly kind: 'forbidden'; readonly block: RuleBlock }
  /** What it follows has this value, or is not to be trusted. */
  | { readonly kind: 'follow'; readonly value: RawValue }
  | { readonly kind: 'follow-lost'; readonly why: string }
  /** Something it depends on is lost, or is back. */
  | { readonly kind: 'lost'; readonly what: string }
  | { readonly kind: 'found'; readonly what: string }
  | { readonly kind: 'override'; readonly value: RawValue; readonly until: MonotonicMs }
  | { readonly kind: 'override-end' }
  | { readonly kind: 'rearm' }
  /** Time has passed, or a neighbour or the output itself has changed. */
  | { readonly kind: 'look' };

/** What an event meets. */
export interface RuleContext {
  readonly spec: PinSpec;
  readonly known: KnownState;
  readonly now: MonotonicMs;
  readonly otherPins: OtherPins;
}

/** What is wanted of an output after an event. Pure. Commands, overrides and rearming have been admitted before. */
export function transition(desired: DesiredState, event: OutputEvent, context: RuleContext): DesiredState {
  return applyTimeAndRules(applyEvent(desired, event, context), context);
}

/** Throws a DcsError when a command is refused: OVERRIDDEN, SAFE_STATE, RULE. */
export function admitCommand(desired: DesiredState, value: RawValue, context: RuleContext): void {
  const { name } = context.spec;
  const { override, locked, losses } = desired;
  if (override) throw new DcsError('OVERRIDDEN', `${name} is overridden by hand: it is to be ${override.value}`);
  if (losses.length > 0) throw new DcsError('SAFE_STATE', `${name} is kept safe: ${losses.join(', ')}`);
  if (locked !== undefined) {
    throw new DcsError('SAFE_STATE', `${name} is kept safe until it is rearmed: ${locked}`, {
      expected: `dcs-io rearm ${name}`,
    });
  }
  admitValue(value, context);
}

/** Throws RULE when a rule forbids a value now; that is all an override has to fear. */
export function admitValue(value: RawValue, { spec, known: facts, now, otherPins: neighbours }: RuleContext): void {
  const block = violation(spec, value, facts, now, neighbours) ?? timingHold(spec, value, facts, now);
  if (block) throw ruleBroken(spec, block.rule, block.why);
}

/** Throws SAFE_STATE while something an output depends on is still lost. */
export function admitRearm({ losses }: DesiredState, { name }: PinSpec): void {
  if (losses.length > 0) throw new DcsError('SAFE_STATE', `${name} cannot be rearmed: ${losses.join(', ')}`);
}

function applyEvent(desired: DesiredState, event: OutputEvent, context: RuleContext): DesiredState {
  const { spec, now } = context;
  switch (event.kind) {
    case 'start':
      if (!desired.stopping) return desired;
      // What was asked for before it was stopped is old; an override is still in force, and what it ends with.
      if (desired.override) return { ...desired, stopping: false };
      return {
        ...without(desired, 'pendingFollow'),
        stopping: false,
        setpoint: { value: undefined, by: 'start', why: 'restarted' },
      };
    case 'stop':
      return { ...desired, stopping: true };
    case 'command':
      // What has happened while it was on its way to the hardware comes first.
      if (blocksCommands(desired)) return desired;
      return { ...without(desired, 'pendingFollow'), setpoint: commandSetpoint(event, now) };
    case 'forbidden':
      if (blocksCommands(desired)) return desired;
      return turnOff(without(desired, 'pendingFollow'), event.block, context, { stays: false, locks: true });
    case 'override': {
      const { value, until } = event;
      const override: Override = { value, until };
      return {
        ...desired,
        override,
        setpoint: desired.setpoint.by === 'follow' ? desired.setpoint : safeSetpoint(spec, 'an override ended'),
      };
    }
    case 'override-end':
      return without(desired, 'override');
    case 'rearm':
      return without(desired, 'locked');
    case 'reopened':
      return portReopened(desired, event.owed, context);
    case 'follow':
      return followPin(desired, event.value, context);
    case 'follow-lost':
      return desired.setpoint.by === 'follow' && spec.onLoss !== 'hold'
        ? enterSafe(without(desired, 'pendingFollow'), spec, event.why)
        : without(desired, 'pendingFollow');
    case 'lost': {
      if (desired.losses.includes(event.what)) return desired;
      const lost = { ...desired, losses: [...desired.losses, event.what] };
      // A rule of its own needs nobody else.
      return desired.setpoint.by === 'follow' ? lost : enterSafe(lost, spec, event.what);
    }
    case 'found':
      return { ...desired, losses: desired.losses.filter((what) => what !== event.what) };
    case 'look':
      return desired;
  }
}

/** Something is stronger than any command. */
function blocksCommands({ override, locked, losses }: DesiredState): boolean {
  return override !== undefined || locked !== undefined || losses.length > 0;
}

/** What time and rules make of it by themselves. */
function applyTimeAndRules(desired: DesiredState, context: RuleContext): DesiredState {
  if (desired.stopping) return desired;
  const { spec, now } = context;
  let settled = desired;
  if (settled.override && settled.override.until <= now) settled = without(settled, 'override');
  if (settled.pendingFollow && settled.pendingFollow.at <= now) {
    settled = { ...without(settled, 'pendingFollow'), setpoint: followSetpoint(spec, settled.pendingFollow.value) };
  }
  const { upcoming } = settled.setpoint;
  if (upcoming && upcoming.at <= now) {
    const { step, at } = upcoming;
    if (step.kind === 'lease') settled = enterSafe(settled, spec, 'the lease ended');
    else {
      const after = step.next?.();
      const why = step.kind === 'pulse' ? 'the pulse ended' : 'blinking';
      // From the time it was due: lateness does not add up. What was missed is not made up for.
      const due = after && { at: Math.max(at + after.afterMs, now), step: after };
      settled = { ...settled, setpoint: { value: step.value, by: 'command', why, ...(due && { upcoming: due }) } };
    }
  }
  return enforceRules(settled, context);
}

/** An output that a rule turns off stays off until somebody says otherwise; what follows a pin goes on following it. */
function enforceRules(desired: DesiredState, context: RuleContext): DesiredState {
  const { spec, known: facts, now, otherPins: neighbours } = context;
  const { value = facts.value, by } = activeSetpoint(spec, desired);
  if (value === undefined) return desired;
  const block = violation(spec, value, facts, now, neighbours);
  if (!block) return desired;
  const stays = (by === 'follow' || by === 'override') && block.rule !== 'max_on';
  return turnOff(desired, block, context, { stays, locks: by !== 'override' });
}

/** `stays`: what stands comes back by itself. `locks`: with `rearm: manual` somebody has to rearm it. */
function turnOff(
  desired: DesiredState,
  block: RuleBlock,
  { spec, known: facts }: RuleContext,
  { stays, locks }: { readonly stays: boolean; readonly locks: boolean },
): DesiredState {
  const off: Setpoint = { value: offValue(spec.kind), by: 'rule', why: `${block.rule}: ${block.why}` };
  const kept = stays ? desired : { ...without(desired, 'override'), setpoint: off };
  const locked = locks && isOn(facts.value) && spec.rearm === 'manual' && desired.locked === undefined;
  return locked ? { ...kept, locked: off.why } : kept;
}

function commandSetpoint({ value, step, unconfirmed }: OutputEvent & { kind: 'command' }, now: MonotonicMs): Setpoint {
  return {
    ...(unconfirmed && { unconfirmed }),
    value,
    by: 'command',
    why: 'commanded',
    ...(step && { upcoming: { at: now + step.afterMs, step } }),
  };
}

function followSetpoint({ rules }: PinSpec, value: RawValue): Setpoint {
  return { value, by: 'follow', why: `follows ${rules.follow?.pin}` };
}

function followPin(desired: DesiredState, value: RawValue, { spec, now }: RuleContext): DesiredState {
  const { follow } = spec.rules;
  const copied = follow?.invert && typeof value === 'boolean' ? !value : value;
  const rest = without(desired, 'pendingFollow');
  if (!follow || follow.delayMs === 0) return { ...rest, setpoint: followSetpoint(spec, copied) };
  if (desired.setpoint.by === 'follow' && desired.setpoint.value === copied) return rest;
  if (desired.pendingFollow?.value === copied) return desired;
  return { ...rest, pendingFollow: { value: copied, at: now + follow.delayMs } };
}

/** What was asked for before the port was lost is old. */
function portReopened(desired: DesiredState, owed: boolean, { spec }: RuleContext): DesiredState {
  const why = 'the port was lost';
  // What nobody confirmed is not carried out again, and was perhaps refused.
  if (spec.onLoss === 'rewrite' && !desired.setpoint.unconfirmed) return desired;
  if (spec.onLoss !== 'hold' && spec.safe !== undefined) {
    if (desired.setpoint.by !== 'follow') return enterSafe(desired, spec, why);
    return spec.rearm === 'manual' ? { ...desired, locked: why } : desired;
  }
  // What an override ends with, what keeps it safe and what has ended meanwhile still counts.
  if (desired.setpoint.by === 'follow' || desired.override || desired.losses.length > 0 || owed) return desired;
  // Left alone; but a pulse still ends.
  return { ...desired, setpoint: { ...desired.setpoint, value: undefined, by: 'safe', why } };
}

function enterSafe(desired: DesiredState, spec: PinSpec, why: string): DesiredState {
  const safe = { ...desired, setpoint: safeSetpoint(spec, why) };
  return spec.rearm === 'manual' ? { ...safe, locked: desired.locked ?? why } : safe;
}

function without<Key extends 'override' | 'pendingFollow' | 'locked'>(
  desired: DesiredState,
  key: Key,
): Omit<DesiredState, Key> {
  const { [key]: _gone, ...rest } = desired;
  return rest;
}
