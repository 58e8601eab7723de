import type { Clock, MonotonicMs, UnixSeconds } from '../clock/clock.ts';
import type { CommandState } from '../message/payloads.ts';
import { isOn, type PinSpec, type RawValue } from '../pin/pin.ts';
import {
  admitCommand,
  admitRearm,
  admitValue,
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

/**
 * One output of this process: what is wanted of it and what is known of it. It outlives the actor that drives it and the
 * port it is on. It decides and remembers; it drives nothing.
 */
export class Output {
  readonly spec: PinSpec;
  readonly #clock: Clock;
  readonly #otherPins: OtherPins;
  #desired: DesiredState;
  #known: KnownState;
  /** A value is on its way to the hardware. */
  #writing: RawValue | undefined;
  /** The value when that was begun. */
  #valueBeforeWrite: RawValue | undefined;
  /** What has forbidden it since, be it for a moment only. */
  #blockedDuringWrite: RuleBlock | undefined;
  #applied: Decision | undefined;
  /** The safe value the port was to be opened with, until it is known whether the hardware has taken it. */
  openedWith: RawValue | undefined;
  /** When the port was last to be opened something had not been carried out. */
  #pending = false;
  lastCommand: LastCommand | undefined;
  /** Who gave the override, and when it ends for people. */
  overriddenBy: (CommandSource & { readonly until: UnixSeconds; readonly kept?: false }) | undefined;

  constructor(spec: PinSpec, initial: RawValue | undefined, clock: Clock, neighbours: OtherPins) {
    this.spec = spec;
    this.#clock = clock;
    this.#otherPins = neighbours;
    this.#desired = { setpoint: { value: initial, by: 'start', why: 'as at start' }, losses: [], stopping: false };
    this.#known = { value: undefined, certain: false, switchedAt: clock.now(), changes: [] };
  }

  get override(): Override | undefined {
    return this.#desired.override;
  }

  /** What it is to be, or is just being made. */
  get desired(): RawValue | undefined {
    return this.#writing ?? this.decision.value;
  }

  get known(): KnownState {
    return this.#known;
  }

  /** What it is to be now. */
  get decision(): Decision {
    return decide(this.spec, this.#desired, this.#known, this.#clock.now(), this.#otherPins);
  }

  /** Throws a DcsError when a command to be `value` is refused. */
  admit(value: RawValue): void {
    admitCommand(this.#desired, value, this.#context);
  }

  admitOverride(value: RawValue): void {
    admitValue(value, this.#context);
  }

  admitRearm(): void {
    admitRearm(this.#desired, this.spec);
  }

  /** Takes an event in that has been admitted where it needs to be. */
  apply(event: OutputEvent): void {
    const block = event.kind === 'command' ? this.#blockedDuringWrite : undefined;
    this.#desired = transition(this.#desired, block ? { kind: 'forbidden', block } : event, this.#context);
  }

  /** A pin its rules ask for has changed: what they forbid now counts, however soon it is over. */
  reevaluate(): void {
    this.apply({ kind: 'look' });
    const value = this.#writing;
    if (value === undefined) return;
    const now = this.#clock.now();
    this.#blockedDuringWrite ??= violation(
      this.spec,
      value,
      { ...this.#known, value, switchedAt: now },
      now,
      this.#otherPins,
    );
  }

  /** An override of before the restart is still in force. */
  resumeOverride({ value, node, actor, until }: KeptOverride, deadline: MonotonicMs): void {
    this.apply({ kind: 'override', value, until: deadline });
    this.overriddenBy = { node, actor, until };
  }

  /**
   * The agent stops. Returns the value to end with; undefined: it stays as it is. One that keeps its value first gets what
   * was due and could not be done: the end of what was commanded, its safe value, what a rule wants.
   */
  stop(): RawValue | undefined {
    const { value: due, by } = this.due ?? {};
    this.apply({ kind: 'stop' });
    const { value = by === 'safe' || by === 'rule' || by === 'command' ? due : undefined } = this.decision;
    this.markApplied(value);
    return value;
  }

  /** The value to open the port with; counts as carried out. Undefined: what the hardware has stays. */
  openingValue(first: boolean): RawValue | undefined {
    // An attempt to open may fail: owed until the hardware is known to be something.
    this.#pending ||= this.due !== undefined;
    this.apply(first ? { kind: 'look' } : { kind: 'reopened', owed: this.#pending });
    this.#applied = this.decision;
    const { value, by } = this.#applied;
    this.openedWith = by === 'safe' ? value : undefined;
    // Not every hardware tells what it has become: from now on it may be on.
    if (value !== undefined && isOn(value)) {
      this.#setKnown(value);
      this.markUnknown();
    }
    return value;
  }

  /**
   * What is still to be done: a decision that has not been carried out, or a rule that the hardware does not obey. Nothing
   * before the port was opened: it is opened with the value.
   */
  get due(): Decision | undefined {
    if (!this.#applied) return undefined;
    const decision = this.decision;
    const { value, by, why } = decision;
    const same = this.#applied.value === value && this.#applied.by === by && this.#applied.why === why;
    const obeyed = by !== 'rule' || value === undefined || (this.#known.certain && this.#known.value === value);
    return same && obeyed ? undefined : decision;
  }

  /** The hardware was given this value; done, if that is still what it is to be. */
  markApplied(value: RawValue | undefined): void {
    this.#applied = { ...this.decision, value };
  }

  /** The hardware did not take what the port was to be opened with: that is still to be done. */
  rejectedAtOpen(value: RawValue): void {
    if (this.#applied) this.#applied = { ...this.#applied, value };
  }

  /** A value is being sent: from now on it may be so. */
  writeStarted(value: RawValue): void {
    this.#writing = value;
    this.#valueBeforeWrite = this.#known.value;
    this.#blockedDuringWrite = undefined;
  }

  /** The hardware has it. */
  writeConfirmed(value: RawValue): void {
    this.#writing = undefined;
    const now = this.#clock.now();
    const { rate } = this.spec.rules;
    if (rate && value !== this.#valueBeforeWrite) {
      this.#known = { ...this.#known, changes: [...this.#known.changes.filter((at) => at > now - rate.perMs), now] };
    }
    this.confirm(value);
  }

  /** Nobody knows whether the hardware has it. It counts as on when it may be on. */
  writeUnconfirmed(value: RawValue): void {
    this.#writing = undefined;
    if (isOn(value)) this.confirm(value);
    this.markUnknown();
  }

  /** The hardware did not take it. */
  writeRefused(): void {
    this.#writing = undefined;
  }

  /** The hardware was seen to have this value. */
  confirm(value: RawValue): void {
    this.#pending = false;
    this.openedWith = undefined;
    this.#setKnown(value);
  }

  #setKnown(value: RawValue): void {
    const before = this.#known;
    const switched = before.value === undefined || isOn(value) !== isOn(before.value);
    const switchedAt = switched ? this.#clock.now() : before.switchedAt;
    this.#known = { ...before, value, certain: true, switchedAt };
  }

  /** What the hardware has is not known any more. */
  markUnknown(): void {
    this.#known = { ...this.#known, certain: false };
  }

  /** See Neighbours.partner. */
  get interlockState(): 'on' | 'unknown' | MonotonicMs {
    const { value, certain: sure, switchedAt } = this.#known;
    if (isOn(this.#writing) || isOn(value)) return 'on';
    return sure ? switchedAt : 'unknown';
  }

  get #context(): RuleContext {
    return { spec: this.spec, known: this.#known, now: this.#clock.now(), otherPins: this.#otherPins };
  }
}
