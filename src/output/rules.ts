import type { MonotonicMs } from '../clock/clock.ts';
import type { Quality } from '../message/payloads.ts';
import { type Interlock, isOn, type PinCondition, type PinSpec, type RawValue, valueText } from '../pin/pin.ts';

/** The last known state of an output's hardware. Values are the user's. */
export interface KnownState {
  /** The last known value. `undefined` until the first reading. */
  readonly value: RawValue | undefined;
  /** The value still holds: the port is open, and every write since was confirmed. */
  readonly certain: boolean;
  /** Time at which it last went on or off, or became known. */
  readonly switchedAt: MonotonicMs;
  /** Our changes, as far back as the rate limit looks. */
  readonly changes: readonly MonotonicMs[];
}

/** The other pins of this process, as the rules of an output see them. */
export interface OtherPins {
  /** Returns the quality of a pin. */
  qualityOf(pin: string): Quality;
  /** Returns whether the pin's quality is good and its value on: one of `is`, where the condition has it. */
  isGoodAndOn(condition: PinCondition): boolean;
  /** `on` when the output is on or a write to on is under way, `unknown` when nobody knows, else since when it is off. */
  interlockState(pin: string): 'on' | 'unknown' | MonotonicMs;
}

/** The rule that keeps an output from a value now. */
export interface RuleBlock {
  readonly rule: 'requires' | 'interlock' | 'max_on' | 'min_on' | 'min_off' | 'rate';
  readonly why: string;
  /** Time from which the rule allows the value. */
  readonly until?: MonotonicMs;
}

/** Returns the rule that forbids an output to be on. These rules hold for every command and override. */
export function violation(
  spec: PinSpec,
  value: RawValue,
  known: KnownState,
  now: MonotonicMs,
  otherPins: OtherPins,
): RuleBlock | undefined {
  if (!isOn(spec, value)) return undefined;
  const { requires, interlock, maxOnMs } = spec.rules;
  const missing = requires?.find((condition) => !otherPins.isGoodAndOn(condition));
  if (missing) {
    const { pin, is = [true] } = missing;
    const quality = otherPins.qualityOf(pin);
    if (quality !== 'good') return { rule: 'requires', why: `${pin} is ${quality}` };
    return { rule: 'requires', why: `${pin} is not ${is.map(valueText).join(' or ')}` };
  }
  const running = isOn(spec, known.value);
  const block = interlock && interlockBlock(interlock, running, now, otherPins);
  if (block) return block;
  if (running && maxOnMs !== undefined && now - known.switchedAt >= maxOnMs) {
    return { rule: 'max_on', why: `it has been on for ${maxOnMs} ms` };
  }
  return undefined;
}

/** `running`: the output is on already, so that it does not wait for the others. */
function interlockBlock(
  { pins, deadMs }: Interlock,
  running: boolean,
  now: MonotonicMs,
  otherPins: OtherPins,
): RuleBlock | undefined {
  for (const pin of pins) {
    const state = otherPins.interlockState(pin);
    if (state === 'on') return { rule: 'interlock', why: `${pin} is on` };
    if (running) continue;
    if (state === 'unknown') return { rule: 'interlock', why: `${pin} is not known to be off` };
    const until = state + deadMs;
    if (until > now) return { rule: 'interlock', why: `${pin} has been off for less than the dead time`, until };
  }
  return undefined;
}

/** Returns the rule of time that keeps an output from changing yet. The way to the safe value ignores it. */
export function timingHold(spec: PinSpec, value: RawValue, known: KnownState, now: MonotonicMs): RuleBlock | undefined {
  const { minOnMs = 0, minOffMs = 0, rate } = spec.rules;
  const running = isOn(spec, known.value);
  const least = running ? minOnMs : minOffMs;
  const until = known.switchedAt + least;
  if (isOn(spec, value) !== running && until > now) {
    return running
      ? { rule: 'min_on', why: `it has been on for less than ${least} ms`, until }
      : { rule: 'min_off', why: `it has been off for less than ${least} ms`, until };
  }
  if (!rate || value === known.value) return undefined;
  const recent = known.changes.filter((at) => at > now - rate.perMs);
  const [oldest] = recent;
  if (recent.length < rate.changes || oldest === undefined) return undefined;
  return {
    rule: 'rate',
    why: `it has changed ${recent.length} times within ${rate.perMs} ms`,
    until: oldest + rate.perMs,
  };
}
