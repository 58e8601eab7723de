import type { Clock, MonotonicMs, UnixSeconds } from '../clock/clock.ts';
import type { CommandState } from '../message/payloads.ts';
import { isOn, type PinSpec, type RawValue } from '../pin/pin.ts';
import { admitCommand, admitRearm, admitValue, next, type OutputEvent, type Present } from './events.ts';
import type { KeptOverride } from './kept-outputs.ts';
import type { Commander } from './nodes.ts';
import { danger, type Facts, type Hindrance, type Neighbours } from './rules.ts';
import { type Decision, decide, type Override, type Will } from './will.ts';

export interface LastCommand extends Commander {
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
  readonly #neighbours: Neighbours;
  #will: Will;
  #facts: Facts;
  /** A value is on its way to the hardware. */
  #underway: RawValue | undefined;
  /** The value when that was begun. */
  #before: RawValue | undefined;
  /** What has forbidden it since, be it for a moment only. */
  #forbidden: Hindrance | undefined;
  #done: Decision | undefined;
  /** The safe value the port was to be opened with, until it is known whether the hardware has taken it. */
  given: RawValue | undefined;
  /** When the port was last to be opened something had not been carried out. */
  #owed = false;
  lastCommand: LastCommand | undefined;
  /** Who gave the override, and when it ends for people. */
  overriddenBy: (Commander & { readonly until: UnixSeconds; readonly kept?: false }) | undefined;

  constructor(spec: PinSpec, initial: RawValue | undefined, clock: Clock, neighbours: Neighbours) {
    this.spec = spec;
    this.#clock = clock;
    this.#neighbours = neighbours;
    this.#will = { stand: { value: initial, by: 'start', why: 'as at start' }, losses: [], ended: false };
    this.#facts = { value: undefined, sure: false, switchedAt: clock.now(), changes: [] };
  }

  get override(): Override | undefined {
    return this.#will.override;
  }

  /** What it is to be, or is just being made. */
  get desired(): RawValue | undefined {
    return this.#underway ?? this.decision.value;
  }

  get facts(): Facts {
    return this.#facts;
  }

  /** What it is to be now. */
  get decision(): Decision {
    return decide(this.spec, this.#will, this.#facts, this.#clock.now(), this.#neighbours);
  }

  /** Throws a DcsError when a command to be `value` is refused. */
  admit(value: RawValue): void {
    admitCommand(this.#will, value, this.#present);
  }

  admitOverride(value: RawValue): void {
    admitValue(value, this.#present);
  }

  admitRearm(): void {
    admitRearm(this.#will, this.spec);
  }

  /** Takes an event in that has been admitted where it needs to be. */
  take(event: OutputEvent): void {
    const no = event.kind === 'command' ? this.#forbidden : undefined;
    this.#will = next(this.#will, no ? { kind: 'forbidden', no } : event, this.#present);
  }

  /** A pin its rules ask for has changed: what they forbid now counts, however soon it is over. */
  notice(): void {
    this.take({ kind: 'look' });
    const value = this.#underway;
    if (value === undefined) return;
    const now = this.#clock.now();
    this.#forbidden ??= danger(this.spec, value, { ...this.#facts, value, switchedAt: now }, now, this.#neighbours);
  }

  /** An override of before the restart is still in force. */
  resumeOverride({ value, node, actor, until }: KeptOverride, deadline: MonotonicMs): void {
    this.take({ kind: 'override', value, until: deadline });
    this.overriddenBy = { node, actor, until };
  }

  /**
   * The agent stops. Returns the value to end with; undefined: it stays as it is. One that keeps its value first gets what
   * was due and could not be done: the end of what was commanded, its safe value, what a rule wants.
   */
  stop(): RawValue | undefined {
    const { value: due, by } = this.due ?? {};
    this.take({ kind: 'stop' });
    const { value = by === 'safe' || by === 'rule' || by === 'command' ? due : undefined } = this.decision;
    this.carriedOut(value);
    return value;
  }

  /** The value to open the port with; counts as carried out. Undefined: what the hardware has stays. */
  opening(first: boolean): RawValue | undefined {
    // An attempt to open may fail: owed until the hardware is known to be something.
    this.#owed ||= this.due !== undefined;
    this.take(first ? { kind: 'look' } : { kind: 'reopened', owed: this.#owed });
    this.#done = this.decision;
    const { value, by } = this.#done;
    this.given = by === 'safe' ? value : undefined;
    // Not every hardware tells what it has become: from now on it may be on.
    if (value !== undefined && isOn(value)) {
      this.#seen(value);
      this.doubt();
    }
    return value;
  }

  /**
   * What is still to be done: a decision that has not been carried out, or a rule that the hardware does not obey. Nothing
   * before the port was opened: it is opened with the value.
   */
  get due(): Decision | undefined {
    if (!this.#done) return undefined;
    const decision = this.decision;
    const { value, by, why } = decision;
    const same = this.#done.value === value && this.#done.by === by && this.#done.why === why;
    const obeyed = by !== 'rule' || value === undefined || (this.#facts.sure && this.#facts.value === value);
    return same && obeyed ? undefined : decision;
  }

  /** The hardware was given this value; done, if that is still what it is to be. */
  carriedOut(value: RawValue | undefined): void {
    this.#done = { ...this.decision, value };
  }

  /** The hardware did not take what the port was to be opened with: that is still to be done. */
  untaken(value: RawValue): void {
    if (this.#done) this.#done = { ...this.#done, value };
  }

  /** A value is being sent: from now on it may be so. */
  begin(value: RawValue): void {
    this.#underway = value;
    this.#before = this.#facts.value;
    this.#forbidden = undefined;
  }

  /** The hardware has it. */
  confirmed(value: RawValue): void {
    this.#underway = undefined;
    const now = this.#clock.now();
    const { rate } = this.spec.rules;
    if (rate && value !== this.#before) {
      this.#facts = { ...this.#facts, changes: [...this.#facts.changes.filter((at) => at > now - rate.perMs), now] };
    }
    this.know(value);
  }

  /** Nobody knows whether the hardware has it. It counts as on when it may be on. */
  unconfirmed(value: RawValue): void {
    this.#underway = undefined;
    if (isOn(value)) this.know(value);
    this.doubt();
  }

  /** The hardware did not take it. */
  refused(): void {
    this.#underway = undefined;
  }

  /** The hardware was seen to have this value. */
  know(value: RawValue): void {
    this.#owed = false;
    this.given = undefined;
    this.#seen(value);
  }

  #seen(value: RawValue): void {
    const before = this.#facts;
    const switched = before.value === undefined || isOn(value) !== isOn(before.value);
    const switchedAt = switched ? this.#clock.now() : before.switchedAt;
    this.#facts = { ...before, value, sure: true, switchedAt };
  }

  /** What the hardware has is not known any more. */
  doubt(): void {
    this.#facts = { ...this.#facts, sure: false };
  }

  /** See Neighbours.partner. */
  get asPartner(): 'on' | 'unknown' | MonotonicMs {
    const { value, sure, switchedAt } = this.#facts;
    if (isOn(this.#underway) || isOn(value)) return 'on';
    return sure ? switchedAt : 'unknown';
  }

  get #present(): Present {
    return { spec: this.spec, facts: this.#facts, now: this.#clock.now(), neighbours: this.#neighbours };
  }
}
