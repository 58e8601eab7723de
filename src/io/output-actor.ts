import { type DurationMs, type MonotonicMs, sleep, type Timer } from '../clock/clock.ts';
import type { WriteOptions } from '../driver/contract.ts';
import { DcsError, type ErrorCode, toDcsError } from '../errors/errors.ts';
import type { Envelope } from '../message/envelope.ts';
import type { CommandState, IoCommand, IoControl, IoMessage, OutputReport, PinValue } from '../message/payloads.ts';
import { parseCommand, parseControl, type TimedStep, timedStepFor } from '../output/command.ts';
import type { Decision } from '../output/desired-state.ts';
import type { KeptOverride } from '../output/kept-state.ts';
import type { LastCommand, Output } from '../output/output.ts';
import { timingHold } from '../output/rules.ts';
import { isOn, type PinSpec, type RawValue, valueText } from '../pin/pin.ts';
import { type ParsedValue, parseValue, toRaw, valuesMatch } from './convert.ts';
import { type CommandOutcome, PinActor, type PinEnvironment } from './pin-actor.ts';
import type { Observation } from './pin-state.ts';
import type { ChannelHandle } from './port-runner.ts';

/** A decision that the hardware refuses is retried this often. */
const RETRY_MS: DurationMs = 250;
/** A repetition that failed is tried again after this time, or after the usual one if that is shorter. */
const REPEAT_RETRY_MS: DurationMs = 1000;
/** A command that takes longer is reported as `accepted` meanwhile. */
const SLOW_COMMAND_MS: DurationMs = 200;
/** Longest time that the answer to an override waits for the disk. */
const OVERRIDE_SAVE_LIMIT_MS: DurationMs = 1000;

/** Returns whether hardware may have a value although its write ended with an error. */
function mayHaveTakenEffect(code: ErrorCode): boolean {
  return code === 'TIMEOUT' || code === 'NOT_TAKEN';
}

/** The actor of one output: drives the hardware to what `Output` decides. */
export class OutputActor extends PinActor {
  readonly #output: Output;
  #unwatch: (() => void)[] = [];
  #evaluationTimer: Timer | undefined;
  #evaluationQueued = false;
  /** When the command under way began. `undefined` when there is none. */
  #commandBegan: MonotonicMs | undefined;
  /** The slow-command timer runs. It is not cancelled with each command: a busy output would arm it for every one. */
  #slowTimerArmed = false;
  /** Last known value and quality of the followed pin. */
  #followed: string | undefined;
  /** When the value in force is written again, with `repeat`. */
  #repeatAt: MonotonicMs = 0;
  /** The last repetition failed, which has been told. */
  #repeatFailed = false;
  /** Message of the last failure, which is logged once. */
  #lastFailure: string | undefined;

  constructor(spec: PinSpec, output: Output, handle: ChannelHandle, environment: PinEnvironment) {
    super(spec, handle, environment);
    this.#output = output;
  }

  override onStart(): void {
    const { table, nodes } = this.environment;
    const { controller, rules } = this.spec;
    this.#repeatAt = this.clock.now() + (this.spec.repeatMs ?? 0);
    this.#output.apply({ kind: 'start' });
    super.onStart();
    const reevaluate = () => {
      this.#output.reevaluate();
      this.#queueEvaluation();
    };
    const required = rules.requires?.map(({ pin }) => pin) ?? [];
    for (const pin of new Set([...required, ...(rules.interlock?.pins ?? [])])) {
      this.#unwatch.push(table.watch(pin, reevaluate));
    }
    if (rules.follow) this.#unwatch.push(table.watch(rules.follow.pin, () => this.#queueEvaluation()));
    if (controller !== undefined) {
      const what = controller === '*' ? 'no other node is there' : `${controller} is not there`;
      this.#unwatch.push(
        nodes.watch(controller, (present) => {
          this.#output.apply({ kind: present ? 'found' : 'lost', what });
          this.#queueEvaluation();
        }),
      );
    }
    // An override from before the restart must end, although the hardware may report nothing.
    this.#queueEvaluation();
  }

  /** Drives the output to its exit value. The inbox is closed, so no later command changes it. */
  override async onStop(): Promise<void> {
    await super.onStop();
    for (const end of this.#unwatch.splice(0)) end();
    try {
      await this.#applyExitValue(this.#output.stop());
    } finally {
      // The pin observes the hardware no more.
      this.#output.markUnknown();
      this.environment.table.notifyWatchers(this.spec.name);
    }
  }

  async #applyExitValue(value: RawValue | undefined): Promise<void> {
    if (this.spec.onExit === 'input') {
      await this.handle.float();
      this.reportBad('driven by nobody: the pin stopped, and its on_exit is input');
      return;
    }
    if (value === undefined) return;
    if ((await this.#drive(value, toRaw(this.spec, value))) === 'failed') this.refuse(this.#notTaken(value), undefined);
    this.report();
  }

  protected override async execute(
    message: IoMessage,
    envelope: Envelope,
    arrival: MonotonicMs,
  ): Promise<CommandOutcome> {
    const control = parseControl(message);
    if (control) return this.#executeControl(control);
    const command = parseCommand(message);
    const parsed = parseValue(this.spec, command.val);
    const step = timedStepFor(this.spec, command, parsed.value);
    if (command.override !== undefined) {
      this.checkExpiry(command.ttl, arrival);
      return this.#override(parsed, command.override, envelope);
    }
    this.#output.admit(parsed.value);
    const { node, actor } = this.environment.nodes.senderOf(envelope);
    const at = this.clock.unix() - (this.clock.now() - arrival) / 1000;
    this.#output.lastCommand = { node, actor, at, val: parsed.value, state: 'accepted' };
    await this.#executeCommand(command, parsed, step, arrival);
    return {};
  }

  async #executeControl({ rearm, override }: IoControl): Promise<CommandOutcome> {
    if (rearm) {
      this.#output.admitRearm();
      this.#output.apply({ kind: 'rearm' });
    }
    if (override === 0) this.#output.apply({ kind: 'override-end' });
    await this.#evaluate();
    return {};
  }

  async #executeCommand(
    { ttl }: IoCommand,
    { value, raw }: ParsedValue,
    step: TimedStep | undefined,
    arrival: MonotonicMs,
  ): Promise<void> {
    this.#reportIfSlow();
    try {
      this.checkExpiry(ttl, arrival);
      // The port may have a queue of its own.
      const state = await this.#drive(value, raw, ttl === undefined ? undefined : { expiresAt: arrival + ttl * 1000 });
      if (state === 'failed') throw this.#notTaken(value);
      // Only now: a refused command must not cancel the pulse before it.
      const overruled = this.#output.applyCommand({ kind: 'command', value, step });
      this.#output.markApplied(value);
      if (overruled) throw overruled;
      this.#setCommandState(state);
    } catch (error) {
      const { code } = toDcsError(error);
      this.#setCommandState(code === 'TIMEOUT' ? 'unknown' : code === 'EXPIRED' ? 'expired' : 'failed');
      if (mayHaveTakenEffect(code)) {
        // Its pulse or lease still has to end.
        this.#output.applyCommand({ kind: 'command', value, step, unconfirmed: true });
        this.#output.markApplied(value);
      }
      // The value that the hardware has instead.
      if (code === 'NOT_TAKEN') this.report();
      throw error;
    } finally {
      this.#commandBegan = undefined;
      this.#evaluateAfterCommand();
    }
  }

  protected override outputReport(): OutputReport {
    return outputReportOf(this.#output);
  }

  protected override onObservation({ val, quality }: Observation): void {
    const output = this.#output;
    const { known, lastCommand } = output;
    if (quality === 'good' && lastCommand) this.#settleLastCommand(lastCommand, val);
    if (val === null || quality !== 'good') {
      if (!known.certain) return;
      output.markUnknown();
    } else {
      this.#keepLast(val);
      this.#confirmInForce(val);
      if (this.#rejectedAtOpen(val)) output.rejectedAtOpen(val);
      else if (known.certain && known.value === val) return;
      output.confirm(val);
    }
    this.#queueEvaluation();
  }

  protected override onWritten(value: RawValue): void {
    this.#keepLast(value);
    if (this.#rejectedAtOpen(value)) this.#output.rejectedAtOpen(value);
    this.#output.writeConfirmed(value);
  }

  /** Remembers any confirmed value for `initial: last`, except the exit value. */
  #keepLast(value: RawValue): void {
    if (!this.#output.stopping) this.environment.kept.setLast(this.spec, value);
  }

  #rejectedAtOpen(value: RawValue): boolean {
    const { openedWith } = this.#output;
    return openedWith !== undefined && !this.#matches(value, openedWith);
  }

  /** Returns whether the hardware has the value that it was given, as nearly as its channel holds it. */
  #matches(has: RawValue, given: RawValue): boolean {
    if (has === given) return true;
    return valuesMatch(this.spec, has, given, this.handle.resolution(toRaw(this.spec, given)));
  }

  /** Evaluates the output in this turn of the event loop, between two messages. */
  #queueEvaluation(): void {
    if (this.#evaluationQueued) return;
    this.#evaluationQueued = true;
    this.after(0, () => this.#evaluate());
  }

  /** Evaluates the output after a command: at once when nothing is due, else after the answer. */
  #evaluateAfterCommand(): void {
    const output = this.#output;
    try {
      output.apply({ kind: 'evaluate' });
      const overrideEnded = output.overriddenBy !== undefined && output.override === undefined;
      if (this.spec.rules.follow || overrideEnded || output.due) this.#queueEvaluation();
      else this.#evaluateWhenTimeIsUp();
    } catch {
      // A defect must not change the answer: the supervisor sees it when the evaluation fails again.
      this.#queueEvaluation();
    }
  }

  /** Applies the due decision, and sets the timer for the next evaluation. */
  async #evaluate(): Promise<void> {
    const output = this.#output;
    this.#evaluationQueued = false;
    this.#evaluationTimer?.cancel();
    this.#follow();
    output.apply({ kind: 'evaluate' });
    if (output.overriddenBy && !output.override) this.#forgetOverride();
    const { due } = output;
    if (!due) {
      await this.#repeatWhenDue();
      this.#evaluateWhenNeeded();
      return;
    }
    try {
      const { value, certain } = output.known;
      // A new reason alone needs no write.
      if (due.value !== undefined && !(certain && due.value === value)) {
        const state = await this.#drive(due.value, toRaw(this.spec, due.value));
        if (state === 'failed') throw this.#notTaken(due.value);
      }
      this.#lastFailure = undefined;
    } catch (error) {
      if (this.#mustRetry(error, due)) {
        this.#evaluateIn(RETRY_MS);
        return;
      }
    }
    output.markApplied(due.value);
    this.report();
    // Hardware that took the value and does not have it is retried, with a pause.
    if (output.due?.value === due.value) this.#evaluateIn(RETRY_MS);
    else this.#queueEvaluation();
  }

  /**
   * Tells once that a decision failed. Returns whether it is written again. Hardware that limits a number does so every time,
   * so that only a safe value or one of a rule is.
   */
  #mustRetry(error: unknown, { by }: Decision): boolean {
    const { message, code } = toDcsError(error);
    const again = code !== 'NOT_TAKEN' || this.spec.kind !== 'analog' || by === 'safe' || by === 'rule';
    if (message !== this.#lastFailure) {
      this.refuse(error, undefined);
      if (again && code === 'NOT_TAKEN') this.report();
    }
    this.#lastFailure = message;
    return again;
  }

  /** After a repetition: at once when a decision became due during the write, as when the port has opened again. */
  #evaluateWhenNeeded(): void {
    if (this.#output.due) this.#queueEvaluation();
    else this.#evaluateWhenTimeIsUp();
  }

  #evaluateWhenTimeIsUp(): void {
    const { reevaluateAt = Number.POSITIVE_INFINITY } = this.#output.decision;
    const at = this.#toRepeat === undefined ? reevaluateAt : Math.min(reevaluateAt, this.#repeatAt);
    if (at === Number.POSITIVE_INFINITY) this.#evaluationTimer?.cancel();
    else this.#evaluateIn(Math.max(1, at - this.clock.now()));
  }

  /** The value in force that is written again and again. `undefined` when there is none. A failed command is not repeated. */
  get #toRepeat(): RawValue | undefined {
    if (this.spec.repeatMs === undefined) return undefined;
    const { value, by, unconfirmed } = this.#output.decision;
    return by === 'exit' || unconfirmed ? undefined : value;
  }

  /** Writes the value in force once more. Until that works again, the value of the hardware is uncertain. */
  async #repeatWhenDue(): Promise<void> {
    const value = this.#toRepeat;
    if (value === undefined || this.clock.now() < this.#repeatAt || this.#mustWait(value)) return;
    const { lastCommand, decision } = this.#output;
    const { val, quality } = this.state;
    const { error, state } = await this.#repeat(value);
    if (error && error.code !== 'NOT_TAKEN') this.doubt(`the value could not be written again: ${error.message}`);
    // The loss of a port or device is told by itself.
    if (error && !this.#repeatFailed && error.code !== 'PORT_DOWN') this.refuse(error, undefined);
    this.#repeatFailed = error !== undefined;
    const commanded = decision.by === 'command' && lastCommand?.val === value && lastCommand.state !== state;
    if (commanded) this.#setCommandState(state);
    if (commanded || this.state.val !== val || (!error && quality !== 'good')) this.report();
  }

  /** Postpones a repetition while a rule of time keeps the output from changing. The way to the safe value ignores it. */
  #mustWait(value: RawValue): boolean {
    const { known, decision } = this.#output;
    if (decision.by === 'safe' || decision.by === 'rule') return false;
    const { until } = timingHold(this.spec, value, known, this.clock.now()) ?? {};
    if (until !== undefined) this.#repeatAt = until;
    return until !== undefined;
  }

  async #repeat(value: RawValue): Promise<{ readonly error?: DcsError; readonly state: CommandState }> {
    try {
      const state = await this.#drive(value, toRaw(this.spec, value), { repetition: true });
      return state === 'failed' ? { state, error: this.#notTaken(value) } : { state };
    } catch (thrown) {
      const error = toDcsError(thrown);
      // Hardware that refuses does so every time. What passes must not take as long as the hardware waits.
      if (error.retryable) this.#repeatAt = Math.min(this.#repeatAt, this.clock.now() + REPEAT_RETRY_MS);
      return { error, state: error.code === 'TIMEOUT' ? 'unknown' : 'failed' };
    }
  }

  #evaluateIn(ms: DurationMs): void {
    this.#evaluationTimer?.cancel();
    this.#evaluationTimer = this.after(ms, () => this.#evaluate());
  }

  #follow(): void {
    const { follow } = this.spec.rules;
    if (!follow) return;
    const { val, quality } = this.environment.table.get(follow.pin)?.lastKnown ?? { val: null, quality: 'bad' };
    const seen = `${quality} ${val}`;
    if (seen === this.#followed) return;
    const lost = val === null || quality !== 'good';
    const first = this.#followed === undefined;
    this.#followed = seen;
    if (lost) {
      if (!first) this.#output.apply({ kind: 'follow-lost', why: `${follow.pin} is ${quality}` });
      return;
    }
    try {
      const copied = follow.is ? follow.is.includes(val) : val;
      this.#output.apply({ kind: 'follow', value: parseValue(this.spec, copied).value });
    } catch (error) {
      this.refuse(error, undefined);
    }
  }

  async #override({ value, raw }: ParsedValue, seconds: number, envelope: Envelope): Promise<CommandOutcome> {
    this.#output.admitOverride(value);
    let failure: DcsError | undefined;
    try {
      if ((await this.#drive(value, raw)) === 'failed') failure = this.#notTaken(value);
    } catch (error) {
      failure = toDcsError(error);
      // An unconfirmed override may have taken effect, so its end has to come.
      if (!mayHaveTakenEffect(failure.code)) throw error;
    }
    const by = { ...this.environment.nodes.senderOf(envelope), until: this.clock.unix() + seconds };
    const unkept = { ...by, kept: false } as const;
    this.#output.apply({ kind: 'override', value, until: this.clock.now() + seconds * 1000 });
    this.#output.overriddenBy = unkept;
    this.#output.markApplied(value);
    this.#queueEvaluation();
    const answerAfter = this.#saveOverride({ ...by, value }, () => {
      if (this.#output.overriddenBy === unkept) this.#output.overriddenBy = by;
    });
    if (failure) throw new DcsError(failure.code, `${failure.message}; the override is in force`, { cause: failure });
    return { answerAfter };
  }

  /** Only the answer waits for the disk: the output obeys its rules although the disk hangs. */
  async #saveOverride(override: KeptOverride, onSaved: () => void): Promise<void> {
    const { environment, spec, clock } = this;
    const saving = environment.kept.saveOverride(spec.name, override);
    void saving.then((saved) => (saved ? onSaved() : undefined));
    if (await Promise.race([saving, sleep(clock, OVERRIDE_SAVE_LIMIT_MS)])) return;
    const message = `${spec.name}: this override does not survive a restart: it is not on the disk`;
    environment.log.warn({ pin: spec.name }, message);
  }

  #forgetOverride(): void {
    this.#output.overriddenBy = undefined;
    void this.environment.kept.saveOverride(this.spec.name, undefined);
  }

  /** Writes a value to the hardware. Resolves with what became of it. */
  async #drive(value: RawValue, raw: RawValue, options?: WriteOptions): Promise<CommandState> {
    const { spec, handle, environment } = this;
    this.#output.writeStarted(value);
    this.#repeatAt = this.clock.now() + (spec.repeatMs ?? 0);
    // Only a write to on blocks other outputs.
    if (isOn(spec, value)) environment.table.notifyWatchers(spec.name);
    try {
      const written = await this.write(raw, handle.write(raw, options));
      if (!written.wasReadBack) return 'sent';
      // Hardware that has carried an order out has forgotten it.
      return this.#matches(written.value, value) ? 'verified' : spec.momentary ? 'sent' : 'failed';
    } catch (error) {
      if (mayHaveTakenEffect(toDcsError(error).code)) this.#output.writeUnconfirmed(value);
      else this.#output.writeRefused();
      environment.table.notifyWatchers(spec.name);
      throw error;
    }
  }

  /** The error of a write after which the hardware has another value. */
  #notTaken(value: RawValue): DcsError {
    const { spec, state } = this;
    const has = valueText(state.val);
    return new DcsError('NOT_TAKEN', `${spec.name}: the hardware accepted ${valueText(value)}, but it has ${has} now`, {
      found: state.val,
    });
  }

  /** Reports a command as `accepted` that is still under way after SLOW_COMMAND_MS. */
  #reportIfSlow(): void {
    this.#commandBegan = this.clock.now();
    if (this.#slowTimerArmed) return;
    this.#slowTimerArmed = true;
    this.clock.after(SLOW_COMMAND_MS, () => this.#onSlowTimer());
  }

  #onSlowTimer(): void {
    this.#slowTimerArmed = false;
    if (this.#commandBegan === undefined) return;
    const remaining = this.#commandBegan + SLOW_COMMAND_MS - this.clock.now();
    if (remaining <= 0) {
      this.report();
      return;
    }
    this.#slowTimerArmed = true;
    this.clock.after(remaining, () => this.#onSlowTimer());
  }

  /** The value in force is there: its command counts, also when a later one has failed. */
  #confirmInForce(val: RawValue): void {
    const { unconfirmed, value } = this.#output.decision;
    if (unconfirmed && value !== undefined && this.#matches(val, value)) this.#output.apply({ kind: 'confirmed' });
  }

  /** Settles an unconfirmed command by what the hardware shows. */
  #settleLastCommand({ state, val: value }: LastCommand, val: PinValue): void {
    if (state === 'verified' && this.#toRepeat === value && val !== null && !this.#matches(val, value)) {
      // The hardware has fallen back.
      this.#setCommandState('failed');
      return;
    }
    if (state !== 'unknown' && state !== 'sent') return;
    if (val !== null && this.#matches(val, value)) this.#setCommandState('verified');
    else if (state === 'unknown') this.#setCommandState('failed');
  }

  #setCommandState(state: CommandState): void {
    const { lastCommand } = this.#output;
    if (!lastCommand) return;
    const { node, actor, at, val } = lastCommand;
    this.#output.lastCommand = { node, actor, at, val, state };
  }
}

/** The `output` part of the reports of an output. */
export function outputReportOf(output: Output): OutputReport {
  const { decision, desired, lastCommand, override, overriddenBy } = output;
  // Assigned one by one: spreading costs much in the path of every command.
  const report: { -readonly [Key in keyof OutputReport]: OutputReport[Key] } = {
    by: decision.by,
    why: decision.why,
  };
  if (desired !== undefined) report.desired = desired;
  if (lastCommand) report.command = lastCommand;
  if (override && overriddenBy) report.override = { ...overriddenBy, val: override.value };
  return report;
}
