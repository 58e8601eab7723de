import type { MonotonicMs } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import { isOn, offValue, type PinSpec, type RawValue } from '../pin/pin.ts';
import { ruleBroken, type Step } from './after-command.ts';
import { danger, delay, type Facts, type Hindrance, type Neighbours } from './rules.ts';
import { type Override, type Stand, safeStand, standing, type Will } from './will.ts';

/** Everything that can change what is wanted of an output. Values as the user means them. */
export type OutputEvent =
  | { readonly kind: 'start' }
  | { readonly kind: 'stop' }
  /** The port is opened again after a loss. `owed`: what it was to be meanwhile has not been carried out. */
  | { readonly kind: 'reopened'; readonly owed: boolean }
  | {
      readonly kind: 'command';
      readonly value: RawValue;
      readonly step?: Step | undefined;
      readonly unconfirmed?: true;
    }
  /** A rule forbade a command while that was on its way to the hardware. */
  | { readonly kind: 'forbidden'; readonly no: Hindrance }
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
export interface Present {
  readonly spec: PinSpec;
  readonly facts: Facts;
  readonly now: MonotonicMs;
  readonly neighbours: Neighbours;
}

/** What is wanted of an output after an event. Pure. Commands, overrides and rearming have been admitted before. */
export function next(will: Will, event: OutputEvent, present: Present): Will {
  return settle(react(will, event, present), present);
}

/** Throws a DcsError when a command is refused: OVERRIDDEN, SAFE_STATE, RULE. */
export function admitCommand(will: Will, value: RawValue, present: Present): void {
  const { name } = present.spec;
  const { override, locked, losses } = will;
  if (override) throw new DcsError('OVERRIDDEN', `${name} is overridden by hand: it is to be ${override.value}`);
  if (losses.length > 0) throw new DcsError('SAFE_STATE', `${name} is kept safe: ${losses.join(', ')}`);
  if (locked !== undefined) {
    throw new DcsError('SAFE_STATE', `${name} is kept safe until it is rearmed: ${locked}`, {
      expected: `dcs-io rearm ${name}`,
    });
  }
  admitValue(value, present);
}

/** Throws RULE when a rule forbids a value now; that is all an override has to fear. */
export function admitValue(value: RawValue, { spec, facts, now, neighbours }: Present): void {
  const no = danger(spec, value, facts, now, neighbours) ?? delay(spec, value, facts, now);
  if (no) throw ruleBroken(spec, no.rule, no.why);
}

/** Throws SAFE_STATE while something an output depends on is still lost. */
export function admitRearm({ losses }: Will, { name }: PinSpec): void {
  if (losses.length > 0) throw new DcsError('SAFE_STATE', `${name} cannot be rearmed: ${losses.join(', ')}`);
}

function react(will: Will, event: OutputEvent, present: Present): Will {
  const { spec, now } = present;
  switch (event.kind) {
    case 'start':
      if (!will.ended) return will;
      // What was asked for before it was stopped is old; an override is still in force, and what it ends with.
      if (will.override) return { ...will, ended: false };
      return { ...without(will, 'pending'), ended: false, stand: { value: undefined, by: 'start', why: 'restarted' } };
    case 'stop':
      return { ...will, ended: true };
    case 'command':
      // What has happened while it was on its way to the hardware comes first.
      if (isKept(will)) return will;
      return { ...without(will, 'pending'), stand: commanded(event, now) };
    case 'forbidden':
      if (isKept(will)) return will;
      return turnedOff(without(will, 'pending'), event.no, present, { stays: false, locks: true });
    case 'override': {
      const { value, until } = event;
      const override: Override = { value, until };
      return {
        ...will,
        override,
        stand: will.stand.by === 'follow' ? will.stand : safeStand(spec, 'an override ended'),
      };
    }
    case 'override-end':
      return without(will, 'override');
    case 'rearm':
      return without(will, 'locked');
    case 'reopened':
      return reopened(will, event.owed, present);
    case 'follow':
      return followed(will, event.value, present);
    case 'follow-lost':
      return will.stand.by === 'follow' && spec.onLoss !== 'hold'
        ? enterSafe(without(will, 'pending'), spec, event.why)
        : without(will, 'pending');
    case 'lost': {
      if (will.losses.includes(event.what)) return will;
      const lost = { ...will, losses: [...will.losses, event.what] };
      // A rule of its own needs nobody else.
      return will.stand.by === 'follow' ? lost : enterSafe(lost, spec, event.what);
    }
    case 'found':
      return { ...will, losses: will.losses.filter((what) => what !== event.what) };
    case 'look':
      return will;
  }
}

/** Something is stronger than any command. */
function isKept({ override, locked, losses }: Will): boolean {
  return override !== undefined || locked !== undefined || losses.length > 0;
}

/** What time and rules make of it by themselves. */
function settle(will: Will, present: Present): Will {
  if (will.ended) return will;
  const { spec, now } = present;
  let settled = will;
  if (settled.override && settled.override.until <= now) settled = without(settled, 'override');
  if (settled.pending && settled.pending.at <= now) {
    settled = { ...without(settled, 'pending'), stand: following(spec, settled.pending.value) };
  }
  const { upcoming } = settled.stand;
  if (upcoming && upcoming.at <= now) {
    const { step, at } = upcoming;
    if (step.kind === 'lease') settled = enterSafe(settled, spec, 'the lease ended');
    else {
      const after = step.next?.();
      const why = step.kind === 'pulse' ? 'the pulse ended' : 'blinking';
      // From the time it was due: lateness does not add up. What was missed is not made up for.
      const due = after && { at: Math.max(at + after.afterMs, now), step: after };
      settled = { ...settled, stand: { value: step.value, by: 'command', why, ...(due && { upcoming: due }) } };
    }
  }
  return cut(settled, present);
}

/** An output that a rule turns off stays off until somebody says otherwise; what follows a pin goes on following it. */
function cut(will: Will, present: Present): Will {
  const { spec, facts, now, neighbours } = present;
  const { value = facts.value, by } = standing(spec, will);
  if (value === undefined) return will;
  const no = danger(spec, value, facts, now, neighbours);
  if (!no) return will;
  const stays = (by === 'follow' || by === 'override') && no.rule !== 'max_on';
  return turnedOff(will, no, present, { stays, locks: by !== 'override' });
}

/** `stays`: what stands comes back by itself. `locks`: with `rearm: manual` somebody has to rearm it. */
function turnedOff(
  will: Will,
  no: Hindrance,
  { spec, facts }: Present,
  { stays, locks }: { readonly stays: boolean; readonly locks: boolean },
): Will {
  const off: Stand = { value: offValue(spec.kind), by: 'rule', why: `${no.rule}: ${no.why}` };
  const kept = stays ? will : { ...without(will, 'override'), stand: off };
  const locked = locks && isOn(facts.value) && spec.rearm === 'manual' && will.locked === undefined;
  return locked ? { ...kept, locked: off.why } : kept;
}

function commanded({ value, step, unconfirmed }: OutputEvent & { kind: 'command' }, now: MonotonicMs): Stand {
  return {
    ...(unconfirmed && { unconfirmed }),
    value,
    by: 'command',
    why: 'commanded',
    ...(step && { upcoming: { at: now + step.afterMs, step } }),
  };
}

function following({ rules }: PinSpec, value: RawValue): Stand {
  return { value, by: 'follow', why: `follows ${rules.follow?.pin}` };
}

function followed(will: Will, value: RawValue, { spec, now }: Present): Will {
  const { follow } = spec.rules;
  const copied = follow?.invert && typeof value === 'boolean' ? !value : value;
  const rest = without(will, 'pending');
  if (!follow || follow.delayMs === 0) return { ...rest, stand: following(spec, copied) };
  if (will.stand.by === 'follow' && will.stand.value === copied) return rest;
  if (will.pending?.value === copied) return will;
  return { ...rest, pending: { value: copied, at: now + follow.delayMs } };
}

/** What was asked for before the port was lost is old. */
function reopened(will: Will, owed: boolean, { spec }: Present): Will {
  const why = 'the port was lost';
  // What nobody confirmed is not carried out again, and was perhaps refused.
  if (spec.onLoss === 'rewrite' && !will.stand.unconfirmed) return will;
  if (spec.onLoss !== 'hold' && spec.safe !== undefined) {
    if (will.stand.by !== 'follow') return enterSafe(will, spec, why);
    return spec.rearm === 'manual' ? { ...will, locked: why } : will;
  }
  // What an override ends with, what keeps it safe and what has ended meanwhile still counts.
  if (will.stand.by === 'follow' || will.override || will.losses.length > 0 || owed) return will;
  // Left alone; but a pulse still ends.
  return { ...will, stand: { ...will.stand, value: undefined, by: 'safe', why } };
}

function enterSafe(will: Will, spec: PinSpec, why: string): Will {
  const safe = { ...will, stand: safeStand(spec, why) };
  return spec.rearm === 'manual' ? { ...safe, locked: will.locked ?? why } : safe;
}

function without<Key extends 'override' | 'pending' | 'locked'>(will: Will, key: Key): Omit<Will, Key> {
  const { [key]: _gone, ...rest } = will;
  return rest;
}
