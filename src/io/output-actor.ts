import { type DurationMs, type MonotonicMs, sleep, type Timer } from '../clock/clock.ts';
import type { WriteOptions } from '../driver/contract.ts';
import { toDcsError } from '../errors/errors.ts';
import type { Envelope } from '../message/envelope.ts';
import type { CommandState, IoMessage, OutputReport, PinValue } from '../message/payloads.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';
import { stepAfter } from '../safety/after-command.ts';
import type { KeptOverride } from '../safety/kept-outputs.ts';
import type { LastCommand, Output } from '../safety/output.ts';
import type { ChannelHandle } from './channels.ts';
import { parseCommand, parseControl } from './command.ts';
import { agree, toRaw, toWanted } from './convert.ts';
import { type Answer, PinActor, type PinLife } from './pin-actor.ts';
import type { Found } from './pin-state.ts';

/** What the hardware refused and nobody waits for is tried again this often. */
const AGAIN_MS: DurationMs = 250;
/** A command that takes longer is reported as accepted meanwhile. */
const SLOW_MS: DurationMs = 200;
/** The answer to an override waits at most so long for the disk. */
const KEEP_LIMIT_MS: DurationMs = 1000;

/** Drives one output: whatever its decision core says, at the moment it says so. */
export class OutputActor extends PinActor {
  readonly #output: Output;
  #unwatch: (() => void)[] = [];
  #wake: Timer | undefined;
  #looking = false;
  /** What it follows was last like this. */
  #followed: string | undefined;
  #complained: string | undefined;

  constructor(spec: PinSpec, output: Output, handle: ChannelHandle, life: PinLife) {
    super(spec, handle, life);
    this.#output = output;
  }

  override onStart(): void {
    const { table, nodes } = this.life;
    const { controller, rules } = this.spec;
    this.#output.take({ kind: 'start' });
    super.onStart();
    const notice = () => {
      this.#output.notice();
      this.#look();
    };
    for (const pin of [...(rules.requires ?? []), ...(rules.interlock?.pins ?? [])]) {
      this.#unwatch.push(table.watch(pin, notice));
    }
    if (rules.follow) this.#unwatch.push(table.watch(rules.follow.pin, () => this.#look()));
    if (controller !== undefined) {
      const what = controller === '*' ? 'no other node is there' : `${controller} is not there`;
      this.#unwatch.push(
        nodes.watch(controller, (present) => {
          this.#output.take({ kind: present ? 'found' : 'lost', what });
          this.#look();
        }),
      );
    }
    // An override may be in force already, and ends although the hardware may tell nothing.
    this.#look();
  }

  /** Drives it to its exit value: the last word, for the inbox is closed. So it is when a failing pin is restarted. */
  override async onStop(): Promise<void> {
    await super.onStop();
    for (const end of this.#unwatch.splice(0)) end();
    try {
      await this.#end(this.#output.stop());
    } finally {
      // From now on nobody looks what it is.
      this.#output.doubt();
      this.life.table.changed(this.spec.name);
    }
  }

  async #end(value: RawValue | undefined): Promise<void> {
    if (this.spec.onExit === 'input') {
      await this.handle.float();
      this.giveUp('driven by nobody: the pin stopped, and its on_exit is input');
      return;
    }
    if (value === undefined) return;
    await this.#write(value);
    this.report();
  }

  protected override async carryOut(message: IoMessage, envelope: Envelope, arrival: MonotonicMs): Promise<Answer> {
    const control = parseControl(message);
    if (control) {
      if (control.rearm) this.#rearm();
      if (control.override === 0) this.#output.take({ kind: 'override-end' });
      await this.#settle();
      return {};
    }
    const command = parseCommand(message);
    const value = toWanted(this.spec, command.val);
    const step = stepAfter(this.spec, command, value);
    if (command.override !== undefined) {
      this.checkAge(command.ttl, arrival);
      return this.#override(value, command.override, envelope);
    }
    this.#output.admit(value);
    const at = this.clock.unix() - (this.clock.now() - arrival) / 1000;
    this.#output.lastCommand = { ...this.life.nodes.senderOf(envelope), at, val: value, state: 'accepted' };
    const slow = this.clock.after(SLOW_MS, () => this.report());
    const { ttl } = command;
    try {
      this.checkAge(ttl, arrival);
      // The port may have a queue of its own.
      const { state } = await this.#write(value, ttl === undefined ? undefined : { expiresAt: arrival + ttl * 1000 });
      // Only now: a command that was refused must not keep the pulse before it from ending.
      this.#output.take({ kind: 'command', value, step, ...(state === 'failed' && ({ unconfirmed: true } as const)) });
      this.#output.carriedOut(value);
      this.#became(state);
    } catch (error) {
      const { code } = toDcsError(error);
      this.#became(code === 'TIMEOUT' ? 'unknown' : code === 'EXPIRED' ? 'expired' : 'failed');
      if (code === 'TIMEOUT') {
        // Unconfirmed, it may have taken effect all the same: what was to end it still has to.
        this.#output.take({ kind: 'command', value, step, unconfirmed: true });
        this.#output.carriedOut(value);
      }
      throw error;
    } finally {
      slow.cancel();
      this.#look();
    }
    return {};
  }

  protected override wanted(): OutputReport {
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

  protected override found({ val, quality }: Found): void {
    const { facts, lastCommand } = this.#output;
    if (quality === 'good' && lastCommand) this.#lookedAt(lastCommand, val);
    if (val === null || quality !== 'good') {
      if (!facts.sure) return;
      this.#output.doubt();
    } else {
      // However it came to be so; only what it goes to at the end is not what it was.
      if (this.#output.decision.by !== 'exit') this.life.kept.note(this.spec, val);
      const { given } = this.#output;
      if (given !== undefined && !agree(this.spec, val, given)) this.#output.untaken(val);
      else if (facts.sure && facts.value === val) return;
      this.#output.know(val);
    }
    this.#look();
  }

  /** Looks, in this turn and between two messages, whether there is something to do. */
  #look(): void {
    if (this.#looking) return;
    this.#looking = true;
    this.after(0, () => this.#settle());
  }

  /** Does what is due, and sees to it that it is looked again when time will change it. */
  async #settle(): Promise<void> {
    this.#looking = false;
    this.#wake?.cancel();
    this.#follow();
    this.#output.take({ kind: 'look' });
    if (this.#output.overriddenBy && !this.#output.override) this.#forgetOverride();
    const { due } = this.#output;
    if (!due) {
      const { wakeAt } = this.#output.decision;
      if (wakeAt !== undefined) this.#wakeIn(Math.max(1, wakeAt - this.clock.now()));
      return;
    }
    try {
      const { value, sure } = this.#output.facts;
      // For another reason than before it may be to stay as it is.
      if (due.value !== undefined && !(sure && due.value === value)) await this.#write(due.value);
      this.#complained = undefined;
    } catch (error) {
      const { message } = toDcsError(error);
      if (message !== this.#complained) this.refuse(error, undefined);
      this.#complained = message;
      this.#wakeIn(AGAIN_MS);
      return;
    }
    this.#output.carriedOut(due.value);
    this.report();
    // What it was told to be and is not, all the same: no reason to try without a pause.
    if (this.#output.due?.value === due.value) this.#wakeIn(AGAIN_MS);
    else this.#look();
  }

  #wakeIn(ms: DurationMs): void {
    this.#wake?.cancel();
    this.#wake = this.after(ms, () => this.#settle());
  }

  #follow(): void {
    const { follow } = this.spec.rules;
    if (!follow) return;
    const { val, quality } = this.life.table.get(follow.pin)?.now ?? { val: null, quality: 'bad' };
    const seen = `${quality} ${val}`;
    if (seen === this.#followed) return;
    const lost = val === null || quality !== 'good';
    const first = this.#followed === undefined;
    this.#followed = seen;
    if (lost) {
      if (!first) this.#output.take({ kind: 'follow-lost', why: `${follow.pin} is ${quality}` });
      return;
    }
    try {
      this.#output.take({ kind: 'follow', value: toWanted(this.spec, val) });
    } catch (error) {
      this.refuse(error, undefined);
    }
  }

  #rearm(): void {
    this.#output.admitRearm();
    this.#output.take({ kind: 'rearm' });
  }

  async #override(value: RawValue, seconds: number, envelope: Envelope): Promise<Answer> {
    this.#output.admitOverride(value);
    let failure: unknown;
    try {
      await this.#write(value);
    } catch (error) {
      // Unconfirmed, it may be so all the same: its end has to come.
      if (toDcsError(error).code !== 'TIMEOUT') throw error;
      failure = error;
    }
    const by = { ...this.life.nodes.senderOf(envelope), until: this.clock.unix() + seconds };
    const unkept = { ...by, kept: false } as const;
    this.#output.take({ kind: 'override', value, until: this.clock.now() + seconds * 1000 });
    this.#output.overriddenBy = unkept;
    this.#output.carriedOut(value);
    this.#look();
    const after = this.#keepOverride({ ...by, value }, () => {
      if (this.#output.overriddenBy === unkept) this.#output.overriddenBy = by;
    });
    if (failure) throw failure;
    return { after };
  }

  /** Only the answer waits for the disk: one that hangs must not keep the output from obeying its rules. */
  async #keepOverride(override: KeptOverride, done: () => void): Promise<void> {
    const { life, spec, clock } = this;
    const saving = life.kept.override(spec.name, override);
    void saving.then((kept) => (kept ? done() : undefined));
    if (await Promise.race([saving, sleep(clock, KEEP_LIMIT_MS)])) return;
    life.log.warn({ pin: spec.name }, `${spec.name}: this override does not survive a restart: it is not on the disk`);
  }

  #forgetOverride(): void {
    this.#output.overriddenBy = undefined;
    void this.life.kept.override(this.spec.name, undefined);
  }

  async #write(value: RawValue, options?: WriteOptions): Promise<{ state: CommandState }> {
    const { spec, handle, life } = this;
    const raw = toRaw(spec, value);
    this.#output.begin(value);
    life.table.changed(spec.name);
    try {
      const { value: has, asked } = await this.drive(raw, () => handle.write(raw, options));
      this.#output.confirmed(has);
      return { state: asked ? (agree(spec, has, value) ? 'verified' : 'failed') : 'sent' };
    } catch (error) {
      if (toDcsError(error).code === 'TIMEOUT') this.#output.unconfirmed(value);
      else this.#output.refused();
      throw error;
    } finally {
      life.table.changed(spec.name);
    }
  }

  /** What the hardware shows tells what became of a command that nobody confirmed. */
  #lookedAt({ state, val: value }: LastCommand, val: PinValue): void {
    if (state !== 'unknown' && state !== 'sent') return;
    if (val !== null && agree(this.spec, val, value)) this.#became('verified');
    else if (state === 'unknown') this.#became('failed');
  }

  #became(state: CommandState): void {
    const { lastCommand } = this.#output;
    if (lastCommand) this.#output.lastCommand = { ...lastCommand, state };
  }
}
