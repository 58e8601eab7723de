import type { MonotonicMs } from '../clock/clock.ts';
import { isOn, type PinSpec, type RawValue } from '../pin/pin.ts';

/** What is known of an output's hardware. Values as the user means them. */
export interface KnownState {
  /** The value last known. Undefined: it never was. */
  readonly value: RawValue | undefined;
  /** It is still so, as far as anybody can know: the port is open, and nothing was sent that was not confirmed. */
  readonly certain: boolean;
  /** When it last went on or off, or began to be known. */
  readonly switchedAt: MonotonicMs;
  /** When we last changed it; older ones than the rate limit asks for are forgotten. */
  readonly changes: readonly MonotonicMs[];
}

/** What a rule asks about other pins of this process. */
export interface OtherPins {
  /** The pin is good and on. */
  isGoodAndOn(pin: string): boolean;
  /** An output is on or may be (a write is under way), nobody knows, or it has been off since then. */
  interlockState(pin: string): 'on' | 'unknown' | MonotonicMs;
}

/** Why an output must not have a value now. */
export interface RuleBlock {
  readonly rule: 'requires' | 'interlock' | 'max_on' | 'min_on' | 'min_off' | 'rate';
  readonly why: string;
  /** The time heals it. */
  readonly until?: MonotonicMs;
}

/** What keeps an output from being on, whoever wants it: these rules are never set aside. */
export function violation(
  spec: PinSpec,
  wanted: RawValue,
  facts: KnownState,
  now: MonotonicMs,
  neighbours: OtherPins,
): RuleBlock | undefined {
  if (!isOn(wanted)) return undefined;
  const { requires = [], interlock, maxOnMs } = spec.rules;
  const missing = requires.find((pin) => !neighbours.isGoodAndOn(pin));
  if (missing !== undefined) return { rule: 'requires', why: `${missing} is not on` };
  const running = isOn(facts.value);
  for (const pin of interlock?.pins ?? []) {
    const partner = neighbours.interlockState(pin);
    if (partner === 'on') return { rule: 'interlock', why: `${pin} is on` };
    if (running) continue;
    if (partner === 'unknown') return { rule: 'interlock', why: `${pin} is not known to be off` };
    const until = partner + (interlock?.deadMs ?? 0);
    if (until > now) return { rule: 'interlock', why: `${pin} has been off for less than the dead time`, until };
  }
  if (running && maxOnMs !== undefined && now - facts.switchedAt >= maxOnMs) {
    return { rule: 'max_on', why: `it has been on for ${maxOnMs} ms` };
  }
  return undefined;
}

/** What keeps an output from changing yet. Set aside when it goes to its safe value. */
export function timingHold(
  spec: PinSpec,
  wanted: RawValue,
  facts: KnownState,
  now: MonotonicMs,
): RuleBlock | undefined {
  const { minOnMs = 0, minOffMs = 0, rate } = spec.rules;
  const running = isOn(facts.value);
  const least = running ? minOnMs : minOffMs;
  const until = facts.switchedAt + least;
  if (isOn(wanted) !== running && until > now) {
    return running
      ? { rule: 'min_on', why: `it has been on for less than ${least} ms`, until }
      : { rule: 'min_off', why: `it has been off for less than ${least} ms`, until };
  }
  if (!rate || wanted === facts.value) return undefined;
  const recent = facts.changes.filter((at) => at > now - rate.perMs);
  const [oldest] = recent;
  if (recent.length < rate.changes || oldest === undefined) return undefined;
  return {
    rule: 'rate',
    why: `it has changed ${recent.length} times within ${rate.perMs} ms`,
    until: oldest + rate.perMs,
  };
}
