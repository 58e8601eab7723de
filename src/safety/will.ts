import type { MonotonicMs } from '../clock/clock.ts';
import type { ControlledBy } from '../message/payloads.ts';
import { isOn, offValue, type PinSpec, type RawValue } from '../pin/pin.ts';
import type { Step } from './after-command.ts';
import { danger, delay, type Facts, type Neighbours } from './rules.ts';

/** What an output is to be. */
export interface Stand {
  /** As the user means it. Undefined: it is left as it is. */
  readonly value: RawValue | undefined;
  readonly by: ControlledBy;
  /** For people: why. */
  readonly why: string;
  /** Commanded, and nobody confirmed it. */
  readonly unconfirmed?: true;
  /** What comes by itself: the end of a pulse or a lease, the other level of a blinking output. */
  readonly upcoming?: { readonly at: MonotonicMs; readonly step: Step };
}

/** A person's word on an output, until a time. */
export interface Override {
  readonly value: RawValue;
  readonly until: MonotonicMs;
}

/** All that is wanted of an output. Never changed, only replaced. */
export interface Will {
  readonly stand: Stand;
  readonly override?: Override;
  /** A change of what it follows, which has to stand for a while. */
  readonly pending?: { readonly value: RawValue; readonly at: MonotonicMs };
  /** What it depends on and is not there, as text. */
  readonly losses: readonly string[];
  /** Why it is kept safe until somebody rearms it. */
  readonly locked?: string;
  /** The agent stops. */
  readonly ended: boolean;
}

export interface Decision {
  readonly value: RawValue | undefined;
  readonly by: ControlledBy;
  readonly why: string;
  /** When time alone may change it. */
  readonly wakeAt?: MonotonicMs;
}

/** Where an output goes when something it depends on is lost. Undefined value: it stays. */
export function safeStand(spec: PinSpec, why: string): Stand {
  return { value: spec.safe, by: 'safe', why };
}

/** What stands now: an override before a lock before everything else. */
export function standing(spec: PinSpec, { override, locked, stand }: Will): Stand {
  if (override) return { value: override.value, by: 'override', why: 'overridden' };
  if (locked === undefined) return stand;
  return { value: spec.safe ?? offValue(spec.kind), by: 'safe', why: `${locked}; it waits to be rearmed` };
}

/**
 * The value of an output, from what is wanted, what is and what its rules allow. Pure: the one place where all of that
 * meets. Highest first: exit, rules against being on, override, lock, loss, command or followed pin, start; rules of
 * time hold back what an override or a followed pin asks for.
 */
export function decide(spec: PinSpec, will: Will, facts: Facts, now: MonotonicMs, neighbours: Neighbours): Decision {
  if (will.ended) return { value: exitValue(spec, will), by: 'exit', why: 'the agent stops' };
  const { value, by, why } = standing(spec, will);
  const wanted = value ?? facts.value;
  const own = earliest(will.stand.upcoming?.at, will.pending?.at, will.override?.until);
  if (wanted === undefined) return { value, by, why, ...own };
  // What is on by another hand must not be on either.
  const no = danger(spec, isOn(wanted) ? wanted : (facts.value ?? wanted), facts, now, neighbours);
  if (no) {
    const off = offValue(spec.kind);
    return { value: off, by: 'rule', why: `${no.rule}: ${no.why}`, ...earliest(own.wakeAt, no.until) };
  }
  const wait = by === 'override' || by === 'follow' ? delay(spec, wanted, facts, now) : undefined;
  if (wait) {
    return { value: facts.value, by: 'rule', why: `${wait.rule}: ${wait.why}`, ...earliest(own.wakeAt, wait.until) };
  }
  const { maxOnMs } = spec.rules;
  // Whoever has switched it on, and when nobody has seen yet whether it is.
  const limit = maxOnMs !== undefined && isOn(facts.value ?? wanted) ? facts.switchedAt + maxOnMs : now;
  return { value, by, why, ...earliest(own.wakeAt, limit > now ? limit : undefined) };
}

/** An output that holds its value at exit still ends a pulse: nobody else will. */
function exitValue({ onExit, safe }: PinSpec, { stand }: Will): RawValue | undefined {
  if (onExit === 'safe') return safe;
  const step = stand.upcoming?.step;
  return step && step.kind !== 'blink' ? step.value : undefined;
}

function earliest(...times: readonly (MonotonicMs | undefined)[]): { wakeAt?: MonotonicMs } {
  const known = times.filter((at) => at !== undefined);
  return known.length === 0 ? {} : { wakeAt: Math.min(...known) };
}
