import type { Clock, MonotonicMs, UnixSeconds } from '../clock/clock.ts';
import type { DcsError } from '../errors/errors.ts';
import type { CommandState } from '../message/payloads.ts';
import { isOn, type PinSpec, type RawValue } from '../pin/pin.ts';
import { ruleBroken } from './command.ts';
import {
  admitCommand,
  admitRearm,
  admitValue,
  commandRefusal,
  type Decision,
  type DesiredState,
  decide,
  type OutputEvent,
  type Override,
  type RuleContext,
  transition,
} from './desired-state.ts';
import type { KeptOverride } from './kept-state.ts';
import type { CommandSource } from './nodes.ts';
import { type KnownState, type OtherPins, type RuleBlock, violation } from './rules.ts';

export interface LastCommand extends CommandSource {
  readonly at: UnixSeconds;
  readonly val: RawValue;
  readonly state: CommandState;
}

/** A decision and what it was computed from. It holds until one of those changes or time is up. */
interface CachedDecision {
  readonly decision: Decision;
  readonly desired: DesiredState;
  readonly known: KnownState;
  readonly until: MonotonicMs;
}

/**
 * Desired and known state of one output. It outlives the actor that drives it and the port that it is on. It decides and
 * remembers, and drives nothing.
 */
export class Output {
  readonly spec: PinSpec;
  readonly #clock: Clock;
  readonly #otherPins: OtherPins;
  /** Its rules read other pins, so that a decision may change at any time. */
  readonly #readsOtherPins: boolean;
  #desired: DesiredState;
  #known: KnownState;
  #cached: CachedDecision | undefined;
  /** The value of the write under way. */
  #writing: RawValue | undefined;
  /** The known value when that write began. */
  #valueBeforeWrite: RawValue | undefined;
  /** The first rule that blocked the value during its write, even for a moment. */
  #blockedDuringWrite: RuleBlock | undefined;
  /** The last decision that the hardware was given. `undefined` until the port opens. */
  #applied: Decision | undefined;
  /** A decision was not applied when the port last opened. */
  #pending = false;
  /** The safe value that the port opened with, until a reading or write confirms it. */
  openedWith: RawValue | undefined;
  lastCommand: LastCommand | undefined;
  /** Source of the override, and its end in unix seconds. `kept: false`: it is not on the disk. */
  overriddenBy: (CommandSource & { readonly until: UnixSeconds; readonly kept?: false }) | undefined;

  constructor(spec: PinSpec, initial: RawValue | undefined, clock: Clock, otherPins: OtherPins) {
    this.spec = spec;
    this.#clock = clock;
    this.#otherPins = otherPins;
    this.#readsOtherPins = spec.rules.requires !== undefined || spec.rules.interlock !== undefined;
    this.#desired = { setpoint: { value: initial, by: 'start', why: 'as at start' }, losses: [], stopping: false };
    this.#known = { value: undefined, certain: false, switchedAt: clock.now(), changes: [] };
  }

  get override(): Override | undefined {
    return this.#desired.override;
  }

  /** The agent stops, or the pin is being restarted. */
  get stopping(): boolean {
    return this.#desired.stopping;
  }

  /** The value of the write under way, else the decided one. */
  get desired(): RawValue | undefined {
    return this.#writing ?? this.decision.value;
  }

  get known(): KnownState {
    return this.#known;
  }

  /** The value it must have now. */
  get decision(): Decision {
    const now = this.#clock.now();
    const cached = this.#cached;
    if (cached && cached.desired === this.#desired && cached.known === this.#known && now < cached.until) {
      return cached.decision;
    }
    const decision = decide(this.#desired, this.#context(now));
    if (!this.#readsOtherPins) {
      const until = decision.reevaluateAt ?? Number.POSITIVE_INFINITY;
      this.#cached = { decision, desired: this.#desired, known: this.#known, until };
    }
    return decision;
  }

  /** Throws a DcsError when the output refuses a command to this value. */
  admit(value: RawValue): void {
    admitCommand(this.#desired, value, this.#context());
  }

  admitOverride(value: RawValue): void {
    admitValue(value, this.#context());
  }

  admitRearm(): void {
    admitRearm(this.#desired, this.spec);
  }

  /** Applies an event. Overrides and rearming must have been admitted. */
  apply(event: Exclude<OutputEvent, { kind: 'command' | 'blocked' }>): void {
    this.#desired = transition(this.#desired, event, this.#context());
  }

  /**
   * Applies a command that was admitted and then written. Returns the refusal of what came up during the write and wins over
   * it: an override, a loss or a rule, although it blocked for a moment only.
   */
  applyCommand(event: OutputEvent & { kind: 'command' }): DcsError | undefined {
    const block = this.#blockedDuringWrite;
    const refusal = commandRefusal(this.#desired, this.spec) ?? (block && ruleBroken(this.spec, block.rule, block.why));
    this.#desired = transition(this.#desired, block ? { kind: 'blocked', block } : event, this.#context());
    return refusal;
  }

  /** Applies a change of a pin that the rules read. A block counts even when it ends before the next evaluation. */
  reevaluate(): void {
    this.apply({ kind: 'evaluate' });
    const value = this.#writing;
    if (value === undefined) return;
    const now = this.#clock.now();
    const known = { ...this.#known, value, switchedAt: now };
    this.#blockedDuringWrite ??= violation(this.spec, value, known, now, this.#otherPins);
  }

  /** Restores an override from before the restart. */
  resumeOverride({ value, node, actor, until }: KeptOverride, deadline: MonotonicMs): void {
    this.apply({ kind: 'override', value, until: deadline });
    this.overriddenBy = { node, actor, until };
  }

  /**
   * Stops the output and returns its last value. It keeps its value when `undefined`. With `on_exit: hold` the last value
   * is the one that was due and not applied: the end of a command, the safe value, the value of a rule.
   */
  stop(): RawValue | undefined {
    const { value: due, by } = this.due ?? {};
    this.apply({ kind: 'stop' });
    const { value = by === 'safe' || by === 'rule' || by === 'command' ? due : undefined } = this.decision;
    this.markApplied(value);
    return value;
  }

  /** Returns the value to open the port with, and marks it applied. The hardware keeps its value when `undefined`. */
  openingValue(first: boolean): RawValue | undefined {
    // Opening may fail: the decision stays pending until the state of the hardware is known.
    this.#pending ||= this.due !== undefined;
    this.apply(first ? { kind: 'evaluate' } : { kind: 'reopened', pending: this.#pending });
    this.#applied = this.decision;
    const { value, by } = this.#applied;
    this.openedWith = by === 'safe' && !this.spec.momentary ? value : undefined;
    // Not all hardware reports its state, so the output counts as possibly on from now.
    if (value !== undefined && isOn(this.spec, value)) {
      this.#setKnown(value);
      this.markUnknown();
    }
    return value;
  }

  /**
   * The decision that is not applied yet, or whose rule the hardware does not obey. `undefined` before the port has opened:
   * it opens with the value.
   */
  get due(): Decision | undefined {
    if (!this.#applied) return undefined;
    const decision = this.decision;
    const { value, by, why } = decision;
    const same = this.#applied.value === value && this.#applied.by === by && this.#applied.why === why;
    const obeyed = by !== 'rule' || value === undefined || (this.#known.certain && this.#known.value === value);
    return same && obeyed ? undefined : decision;
  }

  /** The hardware was given this value for the present decision. */
  markApplied(value: RawValue | undefined): void {
    const decision = this.decision;
    const over = this.spec.momentary && decision.value === undefined;
    this.#applied = over || decision.value === value ? decision : { ...decision, value };
  }

  /** The hardware has this value, and not the one that the port opened with. The decision becomes due again. */
  rejectedAtOpen(value: RawValue): void {
    if (this.#applied) this.#applied = { ...this.#applied, value };
  }

  /** A write begins. From now on the hardware may have the value. */
  writeStarted(value: RawValue): void {
    this.#writing = value;
    this.#valueBeforeWrite = this.#known.value;
    this.#blockedDuringWrite = undefined;
  }

  /** The write ended, and the hardware has this value. */
  writeConfirmed(value: RawValue): void {
    this.#writing = undefined;
    const { rate } = this.spec.rules;
    if (rate && value !== this.#valueBeforeWrite) {
      const now = this.#clock.now();
      const changes = [...this.#known.changes.filter((at) => at > now - rate.perMs), now];
      this.#known = { ...this.#known, changes };
    }
    this.confirm(value);
  }

  /** The write ended without confirmation. The output counts as on when it may be on. */
  writeUnconfirmed(value: RawValue): void {
    this.#writing = undefined;
    if (isOn(this.spec, value)) this.confirm(value);
    this.markUnknown();
  }

  /** The hardware refused the write. */
  writeRefused(): void {
    this.#writing = undefined;
  }

  /** A reading or write has shown that the hardware has this value. */
  confirm(value: RawValue): void {
    this.#pending = false;
    this.openedWith = undefined;
    this.#setKnown(value);
  }

  #setKnown(value: RawValue): void {
    const known = this.#known;
    if (known.certain && known.value === value) return;
    const switched = known.value === undefined || isOn(this.spec, value) !== isOn(this.spec, known.value);
    const switchedAt = switched ? this.#clock.now() : known.switchedAt;
    this.#known = { value, certain: true, switchedAt, changes: known.changes };
  }

  /** The state of the hardware is not known any more. */
  markUnknown(): void {
    const { value, switchedAt, changes } = this.#known;
    this.#known = { value, certain: false, switchedAt, changes };
  }

  /** See OtherPins.interlockState. */
  get interlockState(): 'on' | 'unknown' | MonotonicMs {
    const { value, certain, switchedAt } = this.#known;
    if (isOn(this.spec, this.#writing) || isOn(this.spec, value)) return 'on';
    return certain ? switchedAt : 'unknown';
  }

  #context(now: MonotonicMs = this.#clock.now()): RuleContext {
    return { spec: this.spec, known: this.#known, now, otherPins: this.#otherPins };
  }
}
