import { type DurationMs, type MonotonicMs, sleep, type Timer } from '../clock/clock.ts';
import type { WriteOptions } from '../driver/contract.ts';
import { toDcsError } from '../errors/errors.ts';
import type { Envelope } from '../message/envelope.ts';
import type { CommandState, IoMessage, OutputReport, PinValue } from '../message/payloads.ts';
import { parseCommand, parseControl, timedStepFor } from '../output/command.ts';
import type { KeptOverride } from '../output/kept-state.ts';
import type { LastCommand, Output } from '../output/output.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';
import { parseValue, toRaw, valuesMatch } from './convert.ts';
import { type CommandOutcome, PinActor, type PinEnvironment } from './pin-actor.ts';
import type { Observation } from './pin-state.ts';
import type { ChannelHandle } from './port-runner.ts';

/** What the hardware refused and nobody waits for is tried again this often. */
const RETRY_MS: DurationMs = 250;
/** A command that takes longer is reported as accepted meanwhile. */
const SLOW_COMMAND_MS: DurationMs = 200;
/** The answer to an override waits at most so long for the disk. */
const OVERRIDE_SAVE_LIMIT_MS: DurationMs = 1000;

/** Drives one output: whatever its decision core says, at the moment it says so. */
export class OutputActor extends PinActor {
  readonly #output: Output;
  #unwatch: (() => void)[] = [];
  #evaluationTimer: Timer | undefined;
  #evaluationQueued = false;
  /** What it follows was last like this. */
  #followed: string | undefined;
  #lastFailure: string | undefined;

  constructor(spec: PinSpec, output: Output, handle: ChannelHandle, life: PinEnvironment) {
    super(spec, handle, life);
    this.#output = output;
  }

  override onStart(): void {
    const { table, nodes } = this.environment;
    const { controller, rules } = this.spec;
    this.#output.apply({ kind: 'start' });
    super.onStart();
    const notice = () => {
      this.#output.reevaluate();
      this.#queueEvaluation();
    };
    for (const pin of [...(rules.requires ?? []), ...(rules.interlock?.pins ?? [])]) {
      this.#unwatch.push(table.watch(pin, notice));
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
    // An override may be in force already, and ends although the hardware may tell nothing.
    this.#queueEvaluation();
  }

  /** Drives it to its exit value: the last word, for the inbox is closed. So it is when a failing pin is restarted. */
  override async onStop(): Promise<void> {
    await super.onStop();
    for (const end of this.#unwatch.splice(0)) end();
    try {
      await this.#applyExitValue(this.#output.stop());
    } finally {
      // From now on nobody looks what it is.
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
    await this.#write(value);
    this.report();
  }

  protected override async execute(
    message: IoMessage,
    envelope: Envelope,
    arrival: MonotonicMs,
  ): Promise<CommandOutcome> {
    const control = parseControl(message);
    if (control) {
      if (control.rearm) this.#rearm();
      if (control.override === 0) this.#output.apply({ kind: 'override-end' });
      await this.#evaluate();
      return {};
    }
    const command = parseCommand(message);
    const value = parseValue(this.spec, command.val);
    const step = timedStepFor(this.spec, command, value);
    if (command.override !== undefined) {
      this.checkExpiry(command.ttl, arrival);
      return this.#override(value, command.override, envelope);
    }
    this.#output.admit(value);
    const at = this.clock.unix() - (this.clock.now() - arrival) / 1000;
    this.#output.lastCommand = { ...this.environment.nodes.senderOf(envelope), at, val: value, state: 'accepted' };
    const slow = this.clock.after(SLOW_COMMAND_MS, () => this.report());
    const { ttl } = command;
    try {
      this.checkExpiry(ttl, arrival);
      // The port may have a queue of its own.
      const { state } = await this.#write(value, ttl === undefined ? undefined : { expiresAt: arrival + ttl * 1000 });
      // Only now: a command that was refused must not keep the pulse before it from ending.
      this.#output.apply({ kind: 'command', value, step, ...(state === 'failed' && ({ unconfirmed: true } as const)) });
      this.#output.markApplied(value);
      this.#setCommandState(state);
    } catch (error) {
      const { code } = toDcsError(error);
      this.#setCommandState(code === 'TIMEOUT' ? 'unknown' : code === 'EXPIRED' ? 'expired' : 'failed');
      if (code === 'TIMEOUT') {
        // Unconfirmed, it may have taken effect all the same: what was to end it still has to.
        this.#output.apply({ kind: 'command', value, step, unconfirmed: true });
        this.#output.markApplied(value);
      }
      throw error;
    } finally {
      slow.cancel();
      this.#queueEvaluation();
    }
    return {};
  }

  protected override outputReport(): OutputReport {
    const { decision, desired, lastCommand, override, overriddenBy } = this.#output;
    const { by, why } = decision;
    return {
      ...(desired !== undefined && { desired }),
      by,
      why,
      ...(lastCommand && { command: lastCommand }),
      ...(override && overriddenBy && { override: { ...overriddenBy, val: override.value } }),
    };
  }

  protected override onObservation({ val, quality }: Observation): void {
    const { known: facts, lastCommand } = this.#output;
    if (quality === 'good' && lastCommand) this.#settleLastCommand(lastCommand, val);
    if (val === null || quality !== 'good') {
      if (!facts.certain) return;
      this.#output.markUnknown();
    } else {
      // However it came to be so; only what it goes to at the end is not what it was.
      if (this.#output.decision.by !== 'exit') this.environment.kept.setLast(this.spec, val);
      const { openedWith: given } = this.#output;
      if (given !== undefined && !valuesMatch(this.spec, val, given)) this.#output.rejectedAtOpen(val);
      else if (facts.certain && facts.value === val) return;
      this.#output.confirm(val);
    }
    this.#queueEvaluation();
  }

  /** Looks, in this turn and between two messages, whether there is something to do. */
  #queueEvaluation(): void {
    if (this.#evaluationQueued) return;
    this.#evaluationQueued = true;
    this.after(0, () => this.#evaluate());
  }

  /** Does what is due, and sees to it that it is looked again when time will change it. */
  async #evaluate(): Promise<void> {
    this.#evaluationQueued = false;
    this.#evaluationTimer?.cancel();
    this.#follow();
    this.#output.apply({ kind: 'look' });
    if (this.#output.overriddenBy && !this.#output.override) this.#forgetOverride();
    const { due } = this.#output;
    if (!due) {
      const { reevaluateAt } = this.#output.decision;
      if (reevaluateAt !== undefined) this.#evaluateIn(Math.max(1, reevaluateAt - this.clock.now()));
      return;
    }
    try {
      const { value, certain: sure } = this.#output.known;
      // For another reason than before it may be to stay as it is.
      if (due.value !== undefined && !(sure && due.value === value)) await this.#write(due.value);
      this.#lastFailure = undefined;
    } catch (error) {
      const { message } = toDcsError(error);
      if (message !== this.#lastFailure) this.refuse(error, undefined);
      this.#lastFailure = message;
      this.#evaluateIn(RETRY_MS);
      return;
    }
    this.#output.markApplied(due.value);
    this.report();
    // What it was told to be and is not, all the same: no reason to try without a pause.
    if (this.#output.due?.value === due.value) this.#evaluateIn(RETRY_MS);
    else this.#queueEvaluation();
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
      this.#output.apply({ kind: 'follow', value: parseValue(this.spec, val) });
    } catch (error) {
      this.refuse(error, undefined);
    }
  }

  #rearm(): void {
    this.#output.admitRearm();
    this.#output.apply({ kind: 'rearm' });
  }

  async #override(value: RawValue, seconds: number, envelope: Envelope): Promise<CommandOutcome> {
    this.#output.admitOverride(value);
    let failure: unknown;
    try {
      await this.#write(value);
    } catch (error) {
      // Unconfirmed, it may be so all the same: its end has to come.
      if (toDcsError(error).code !== 'TIMEOUT') throw error;
      failure = error;
    }
    const by = { ...this.environment.nodes.senderOf(envelope), until: this.clock.unix() + seconds };
    const unkept = { ...by, kept: false } as const;
    this.#output.apply({ kind: 'override', value, until: this.clock.now() + seconds * 1000 });
    this.#output.overriddenBy = unkept;
    this.#output.markApplied(value);
    this.#queueEvaluation();
    const after = this.#saveOverride({ ...by, value }, () => {
      if (this.#output.overriddenBy === unkept) this.#output.overriddenBy = by;
    });
    if (failure) throw failure;
    return { answerAfter: after };
  }

  /** Only the answer waits for the disk: one that hangs must not keep the output from obeying its rules. */
  async #saveOverride(override: KeptOverride, done: () => void): Promise<void> {
    const { environment: life, spec, clock } = this;
    const saving = life.kept.override(spec.name, override);
    void saving.then((kept) => (kept ? done() : undefined));
    if (await Promise.race([saving, sleep(clock, OVERRIDE_SAVE_LIMIT_MS)])) return;
    life.log.warn({ pin: spec.name }, `${spec.name}: this override does not survive a restart: it is not on the disk`);
  }

  #forgetOverride(): void {
    this.#output.overriddenBy = undefined;
    void this.environment.kept.override(this.spec.name, undefined);
  }

  async #write(value: RawValue, options?: WriteOptions): Promise<{ state: CommandState }> {
    const { spec, handle, environment: life } = this;
    const raw = toRaw(spec, value);
    this.#output.writeStarted(value);
    life.table.notifyWatchers(spec.name);
    try {
      const { value: has, asked } = await this.writeHardware(raw, () => handle.write(raw, options));
      this.#output.writeConfirmed(has);
      return { state: asked ? (valuesMatch(spec, has, value) ? 'verified' : 'failed') : 'sent' };
    } catch (error) {
      if (toDcsError(error).code === 'TIMEOUT') this.#output.writeUnconfirmed(value);
      else this.#output.writeRefused();
      throw error;
    } finally {
      life.table.notifyWatchers(spec.name);
    }
  }

  /** What the hardware shows tells what became of a command that nobody confirmed. */
  #settleLastCommand({ state, val: value }: LastCommand, val: PinValue): void {
    if (state !== 'unknown' && state !== 'sent') return;
    if (val !== null && valuesMatch(this.spec, val, value)) this.#setCommandState('verified');
    else if (state === 'unknown') this.#setCommandState('failed');
  }

  #setCommandState(state: CommandState): void {
    const { lastCommand } = this.#output;
    if (lastCommand) this.#output.lastCommand = { ...lastCommand, state };
  }
}
