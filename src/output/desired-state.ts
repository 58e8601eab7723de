import type { MonotonicMs } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import type { ControlledBy } from '../message/payloads.ts';
import { isOn, offValue, type PinSpec, type RawValue } from '../pin/pin.ts';
import { ruleBroken, type TimedStep } from './command.ts';
import { type KnownState, type OtherPins, type RuleBlock, timingHold, violation } from './rules.ts';

/** The value that something asks of an output: a command, a followed pin, the start. */
export interface Setpoint {
  /** In the user's units. The output keeps its value when `undefined`. */
  readonly value: RawValue | undefined;
  readonly by: ControlledBy;
  /** The reason, for people. */
  readonly why: string;
  /** The hardware never confirmed this command. */
  readonly unconfirmed?: true;
  /** The change that follows by itself: end of a pulse or lease, the other level of a blinking output. */
  readonly upcoming?: { readonly at: MonotonicMs; readonly step: TimedStep };
}

/** A value that a person forces for a time. */
export interface Override {
  readonly value: RawValue;
  readonly until: MonotonicMs;
}

/** Everything that is asked of an output. Immutable: each event replaces it. */
export interface DesiredState {
  readonly setpoint: Setpoint;
  readonly override?: Override;
  /** A change of the followed pin, which counts once it is `delay` old. */
  readonly pendingFollow?: { readonly value: RawValue; readonly at: MonotonicMs };
  /** Lost dependencies, as text: the controller. */
  readonly losses: readonly string[];
  /** Reason of the lock in the safe state, which only rearming ends. */
  readonly locked?: string;
  /** The agent stops, or the pin is being restarted. */
  readonly stopping: boolean;
}

/** The value an output must have now, with its reason. */
export interface Decision {
  readonly value: RawValue | undefined;
  readonly by: ControlledBy;
  readonly why: string;
  /** The hardware never confirmed the command that it follows. */
  readonly unconfirmed?: true;
  /** Time at which the decision may change by itself. */
  readonly reevaluateAt?: MonotonicMs;
}

/** Returns the setpoint after a loss. The output keeps its value where it has no `safe`. */
export function safeSetpoint(spec: PinSpec, why: string): Setpoint {
  return { value: spec.safe, by: 'safe', why };
}

/** Returns the setpoint in force: an override, else the safe value of a locked output, else the setpoint itself. */
export function activeSetpoint(spec: PinSpec, { override, locked, setpoint }: DesiredState): Setpoint {
  if (override) return { value: override.value, by: 'override', why: 'overridden' };
  if (locked === undefined) return setpoint;
  return { value: spec.safe ?? offValue(spec), by: 'safe', why: `${locked}; it waits to be rearmed` };
}

/** The inputs of a decision beside the desired state. */
export interface RuleContext {
  readonly spec: PinSpec;
  readonly known: KnownState;
  readonly now: MonotonicMs;
  readonly otherPins: OtherPins;
}

/**
 * Decides the value of an output from its desired state, its known state and its rules. Pure. Highest priority first: exit,
 * rules against being on, override, lock, loss, command or followed pin, start. Rules of time delay overrides and followed
 * pins.
 */
export function decide(desired: DesiredState, context: RuleContext): Decision {
  const { spec, known, now } = context;
  if (desired.stopping) return { value: exitValue(spec, desired), by: 'exit', why: 'the agent stops' };
  const { value, by, why, unconfirmed } = activeSetpoint(spec, desired);
  const wanted = value ?? known.value;
  const timers = earliest(desired.setpoint.upcoming?.at, desired.pendingFollow?.at, desired.override?.until);
  if (wanted === undefined) return { value, by, why, ...timers };
  const block = blockingRule(wanted, by, context);
  if (block) {
    return {
      value: block.held ? known.value : offValue(spec),
      by: 'rule',
      why: `${block.rule}: ${block.why}`,
      ...earliest(timers.reevaluateAt, block.until),
    };
  }
  const { maxOnMs } = spec.rules;
  // max_on also limits an output that something else has switched on, and one before its first reading.
  const limit = maxOnMs !== undefined && isOn(spec, known.value ?? wanted) ? known.switchedAt + maxOnMs : now;
  return {
    value,
    by,
    why,
    ...(unconfirmed && { unconfirmed }),
    ...earliest(timers.reevaluateAt, limit > now ? limit : undefined),
  };
}

/** Returns the rule that overrules a value. `held`: the output keeps its value; else it goes off. */
function blockingRule(
  wanted: RawValue,
  by: ControlledBy,
  { spec, known, now, otherPins }: RuleContext,
): (RuleBlock & { readonly held: boolean }) | undefined {
  // An output that something else has switched on obeys the same rules.
  const violated = violation(spec, isOn(spec, wanted) ? wanted : (known.value ?? wanted), known, now, otherPins);
  if (violated) return { ...violated, held: false };
  const hold = by === 'override' || by === 'follow' ? timingHold(spec, wanted, known, now) : undefined;
  return hold && { ...hold, held: true };
}

/** An output that keeps its value at exit still ends its pulse: nobody does it later. */
function exitValue({ onExit, safe }: PinSpec, { setpoint }: DesiredState): RawValue | undefined {
  if (onExit === 'safe') return safe;
  const step = setpoint.upcoming?.step;
  return step && step.kind !== 'blink' ? step.value : undefined;
}

function earliest(...times: readonly (MonotonicMs | undefined)[]): { reevaluateAt?: MonotonicMs } {
  let first: MonotonicMs | undefined;
  for (const at of times) if (at !== undefined && (first === undefined || at < first)) first = at;
  return first === undefined ? {} : { reevaluateAt: first };
}

/** An event that changes what is asked of an output. Values are the user's. */
export type OutputEvent =
  | { readonly kind: 'start' }
  | { readonly kind: 'stop' }
  /** The port opens again after a loss. `pending`: the last decision before the loss never reached the hardware. */
  | { readonly kind: 'reopened'; readonly pending: boolean }
  | {
      readonly kind: 'command';
      readonly value: RawValue;
      readonly step?: TimedStep | undefined;
      readonly unconfirmed?: true;
    }
  /** A reading shows that the hardware has the value of the last command. */
  | { readonly kind: 'confirmed' }
  /** A rule blocked a command during its write. */
  | { readonly kind: 'blocked'; readonly block: RuleBlock }
  | { readonly kind: 'follow'; readonly value: RawValue }
  /** The followed pin is bad or uncertain. */
  | { readonly kind: 'follow-lost'; readonly why: string }
  /** A dependency is lost, or back. */
  | { readonly kind: 'lost'; readonly what: string }
  | { readonly kind: 'found'; readonly what: string }
  | { readonly kind: 'override'; readonly value: RawValue; readonly until: MonotonicMs }
  | { readonly kind: 'override-end' }
  | { readonly kind: 'rearm' }
  /** Time has passed, or another pin or the output itself has changed. */
  | { readonly kind: 'evaluate' };

/** Returns the desired state after an event. Pure. Commands, overrides and rearming must have been admitted. */
export function transition(desired: DesiredState, event: OutputEvent, context: RuleContext): DesiredState {
  return applyTimeAndRules(applyEvent(desired, event, context), context);
}

/** Throws OVERRIDDEN, SAFE_STATE or RULE when the output refuses a command. */
export function admitCommand(desired: DesiredState, value: RawValue, context: RuleContext): void {
  const refusal = commandRefusal(desired, context.spec);
  if (refusal) throw refusal;
  admitValue(value, context);
}

/** Returns OVERRIDDEN or SAFE_STATE while the output refuses every command. */
export function commandRefusal({ override, locked, losses }: DesiredState, { name }: PinSpec): DcsError | undefined {
  if (override) return new DcsError('OVERRIDDEN', `${name} is overridden by hand: it is to be ${override.value}`);
  if (losses.length > 0) return new DcsError('SAFE_STATE', `${name} is kept safe: ${losses.join(', ')}`);
  if (locked === undefined) return undefined;
  return new DcsError('SAFE_STATE', `${name} is kept safe until it is rearmed: ${locked}`, {
    expected: `dcs-io rearm ${name}`,
  });
}

/** Throws RULE when a rule blocks the value now. An override is refused for no other reason. */
export function admitValue(value: RawValue, { spec, known, now, otherPins }: RuleContext): void {
  const block = violation(spec, value, known, now, otherPins) ?? timingHold(spec, value, known, now);
  if (block) throw ruleBroken(spec, block.rule, block.why);
}

/** Throws SAFE_STATE while a dependency of the output is still lost. */
export function admitRearm({ losses }: DesiredState, { name }: PinSpec): void {
  if (losses.length > 0) throw new DcsError('SAFE_STATE', `${name} cannot be rearmed: ${losses.join(', ')}`);
}

function applyEvent(desired: DesiredState, event: OutputEvent, context: RuleContext): DesiredState {
  const { spec, now } = context;
  switch (event.kind) {
    case 'start':
      return restarted(desired);
    case 'stop':
      return { ...desired, stopping: true };
    case 'command':
      // A loss or lock during the write wins over the command.
      if (commandRefusal(desired, spec)) return desired;
      return { ...without(desired, 'pendingFollow'), setpoint: commandSetpoint(event, spec, now) };
    case 'confirmed':
      return confirmed(desired);
    case 'blocked':
      if (commandRefusal(desired, spec)) return desired;
      return turnOff(without(desired, 'pendingFollow'), event.block, context, { stays: false, locks: true });
    case 'override':
      return overridden(desired, event, spec);
    case 'override-end':
      return without(desired, 'override');
    case 'rearm':
      return without(desired, 'locked');
    case 'reopened':
      return portReopened(desired, event.pending, spec);
    case 'follow':
      return followPin(desired, event.value, context);
    case 'follow-lost':
      return followedPinLost(desired, event.why, spec);
    case 'lost':
      return dependencyLost(desired, event.what, spec);
    case 'found':
      return { ...desired, losses: desired.losses.filter((what) => what !== event.what) };
    case 'evaluate':
      return desired;
  }
}

/** Applies the end of overrides, delays, pulses and leases, then the rules. Returns `desired` itself when nothing changes. */
function applyTimeAndRules(desired: DesiredState, context: RuleContext): DesiredState {
  if (desired.stopping) return desired;
  const { spec, now } = context;
  let current = desired;
  if (current.override && current.override.until <= now) current = without(current, 'override');
  if (current.pendingFollow && current.pendingFollow.at <= now) {
    current = { ...without(current, 'pendingFollow'), setpoint: followSetpoint(spec, current.pendingFollow.value) };
  }
  const { upcoming } = current.setpoint;
  if (upcoming && upcoming.at <= now) current = takeStep(current, upcoming, context);
  return enforceRules(current, context);
}

function takeStep(
  desired: DesiredState,
  { at, step }: NonNullable<Setpoint['upcoming']>,
  { spec, now }: RuleContext,
): DesiredState {
  if (step.kind === 'lease') return enterSafe(desired, spec, 'the lease ended');
  const next = step.next?.();
  const why = step.kind === 'pulse' ? 'the pulse ended' : 'blinking';
  // Counted from the due time, so that delays do not add up. Missed steps are skipped.
  const upcoming = next && { at: Math.max(at + next.afterMs, now), step: next };
  return { ...desired, setpoint: { value: step.value, by: 'command', why, ...(upcoming && { upcoming }) } };
}

/** Turns the output off when a rule requires it. Only a followed pin or an override may turn it on again by itself. */
function enforceRules(desired: DesiredState, context: RuleContext): DesiredState {
  const { spec, known, now, otherPins } = context;
  const { value = known.value, by } = activeSetpoint(spec, desired);
  if (value === undefined) return desired;
  const block = violation(spec, value, known, now, otherPins);
  if (!block) return desired;
  const stays = (by === 'follow' || by === 'override') && block.rule !== 'max_on';
  return turnOff(desired, block, context, { stays, locks: by !== 'override' });
}

/** `stays`: the setpoint comes back by itself. `locks`: with `rearm: manual` somebody must rearm the output. */
function turnOff(
  desired: DesiredState,
  block: RuleBlock,
  { spec, known }: RuleContext,
  { stays, locks }: { readonly stays: boolean; readonly locks: boolean },
): DesiredState {
  const off: Setpoint = { value: offValue(spec), by: 'rule', why: `${block.rule}: ${block.why}` };
  const kept = stays ? desired : { ...without(desired, 'override'), setpoint: off };
  const locked = locks && isOn(spec, known.value) && spec.rearm === 'manual' && desired.locked === undefined;
  return locked ? { ...kept, locked: off.why } : kept;
}

/** After a restart of the pin, an override and its end remain. Older commands do not. */
function restarted(desired: DesiredState): DesiredState {
  if (!desired.stopping) return desired;
  if (desired.override) return { ...desired, stopping: false };
  return {
    ...without(desired, 'pendingFollow'),
    stopping: false,
    setpoint: { value: undefined, by: 'start', why: 'restarted' },
  };
}

function overridden(desired: DesiredState, { value, until }: Override, spec: PinSpec): DesiredState {
  const { setpoint } = desired;
  return {
    ...desired,
    override: { value, until },
    setpoint: setpoint.by === 'follow' ? setpoint : safeSetpoint(spec, 'an override ended'),
  };
}

function commandSetpoint(
  { value, step, unconfirmed }: OutputEvent & { kind: 'command' },
  { momentary }: PinSpec,
  now: MonotonicMs,
): Setpoint {
  return {
    ...(unconfirmed && { unconfirmed }),
    // An order is over when it has been given.
    value: momentary ? undefined : value,
    by: 'command',
    why: 'commanded',
    ...(step && { upcoming: { at: now + step.afterMs, step } }),
  };
}

function confirmed(desired: DesiredState): DesiredState {
  const { unconfirmed, ...setpoint } = desired.setpoint;
  return unconfirmed ? { ...desired, setpoint } : desired;
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

function followedPinLost(desired: DesiredState, why: string, spec: PinSpec): DesiredState {
  const rest = without(desired, 'pendingFollow');
  return desired.setpoint.by === 'follow' && spec.onLoss !== 'hold' ? enterSafe(rest, spec, why) : rest;
}

function dependencyLost(desired: DesiredState, what: string, spec: PinSpec): DesiredState {
  if (desired.losses.includes(what)) return desired;
  const lost = { ...desired, losses: [...desired.losses, what] };
  // A followed pin of this process needs no controller.
  return desired.setpoint.by === 'follow' ? lost : enterSafe(lost, spec, what);
}

/** Commands from before the loss of the port are outdated. */
function portReopened(desired: DesiredState, pending: boolean, spec: PinSpec): DesiredState {
  const why = 'the port was lost';
  const { setpoint } = desired;
  // An unconfirmed command is not sent again: the hardware may have refused it.
  if (spec.onLoss === 'rewrite' && !setpoint.unconfirmed) return desired;
  if (spec.onLoss !== 'hold' && spec.safe !== undefined) {
    if (setpoint.by !== 'follow') return enterSafe(desired, spec, why);
    return spec.rearm === 'manual' ? { ...desired, locked: why } : desired;
  }
  // Overrides, losses and pending decisions still count.
  if (setpoint.by === 'follow' || desired.override || desired.losses.length > 0 || pending) return desired;
  // The output keeps its value, but a pulse still ends.
  return { ...desired, setpoint: { ...setpoint, value: undefined, by: 'safe', why } };
}

function enterSafe(desired: DesiredState, spec: PinSpec, why: string): DesiredState {
  const safe = { ...desired, setpoint: safeSetpoint(spec, why) };
  return spec.rearm === 'manual' ? { ...safe, locked: desired.locked ?? why } : safe;
}

function without<Key extends 'override' | 'pendingFollow' | 'locked'>(
  desired: DesiredState,
  key: Key,
): Omit<DesiredState, Key> {
  if (desired[key] === undefined) return desired;
  const { [key]: _removed, ...rest } = desired;
  return rest;
}
