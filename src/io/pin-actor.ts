import { Actor } from '../bus/actor.ts';
import type { DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { Log, Reading, WriteOptions } from '../driver/driver.ts';
import { DcsError, toDcsError } from '../errors/errors.ts';
import { type Envelope, isRecord } from '../message/envelope.ts';
import { type IoCommand, type IoError, type IoMessage, ioCommandSchema, isReport } from '../message/payloads.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';
import { floatsAtExit, valueAtExit } from '../safety/outputs.ts';
import type { ChannelHandle } from './channels.ts';
import { type Step, stepAfter } from './command-end.ts';
import { toRate, toRaw, toValue } from './convert.ts';
import { Debouncer } from './debounce.ts';
import { type Found, PinState } from './pin-state.ts';

/** A pulse or lease whose end the hardware refused is ended again this often. */
const STEP_AGAIN_MS = 250;

/**
 * One pin's life on the bus: hardware changes become reports, commands are carried out, and every command gets exactly
 * one answer: a report with `reply_to`, or an IoErrorMessage.
 */
export class PinActor extends Actor {
  readonly spec: PinSpec;
  readonly #handle: ChannelHandle;
  readonly #log: Log;
  readonly #state: PinState;
  #unlisten: () => void = () => {};
  #debouncer: Debouncer | undefined;
  #rivalSeen = false;
  /** What comes next by itself: the end of a pulse or a lease, the other level of a blinking output. */
  #next: { readonly timer: Timer; readonly step: Step } | undefined;
  /** A write is under way. */
  #driving = false;
  /** A change was seen during the write and not reported. */
  #withheld = false;
  /** Ends the silence that `max_silence` allows. */
  #silence: Timer | undefined;

  constructor(spec: PinSpec, handle: ChannelHandle, log: Log) {
    super(`pin ${spec.name}`);
    this.spec = spec;
    this.#handle = handle;
    this.#log = log;
    this.#state = new PinState(spec);
    this.onPin(spec.name, (message, envelope, arrival) => this.#onMessage(message, envelope, arrival));
    this.on('UpdateIoMessage', (data, envelope) => this.#onUpdate(data, envelope));
    if (spec.follow !== undefined) this.onReport(spec.follow, (report) => this.#follow(report));
  }

  override onStart(): void {
    this.#state.begin(this.clock.unix());
    this.#awaitSilence();
    if (this.spec.kind === 'digital' && this.spec.direction === 'in' && this.spec.debounceMs > 0) {
      this.#debouncer = new Debouncer(
        this.clock,
        this.spec.debounceMs,
        () => this.#handle.read(),
        (reading) => this.#apply(reading),
      );
    }
    this.#unlisten = this.#handle.listen((reading) => {
      if (this.#debouncer && !this.#handle.debounced) this.#debouncer.take(reading);
      else this.#apply(reading);
    });
  }

  /**
   * Drives the output to its exit value. The last word: the inbox is closed, nothing overrules it. It is the same when
   * the supervisor restarts a pin that keeps failing: nobody was in control.
   */
  override async onStop(): Promise<void> {
    this.#unlisten();
    this.#debouncer?.close();
    if (floatsAtExit(this.spec)) {
      await this.#handle.float();
      const reason = 'driven by nobody: the pin stopped, and its on_exit is input';
      this.#state.take({ val: this.#state.val, quality: 'bad', reason }, this.clock.unix());
      this.#report();
      return;
    }
    const exit = valueAtExit(this.spec);
    // An output that holds its value at exit still ends a pulse: nobody else will.
    const end = this.#next?.step.next ? undefined : this.#next?.step.raw;
    const raw = exit === undefined ? end : toRaw(this.spec, exit);
    if (raw === undefined) return;
    await this.#drive(raw);
    this.#report();
  }

  async #onMessage(message: IoMessage, envelope: Envelope, arrival: MonotonicMs): Promise<void> {
    if (isReport(message)) {
      this.#rival(envelope);
      return;
    }
    try {
      await this.#command(message, arrival);
      this.#report(envelope.msg_id);
    } catch (error) {
      this.#refuse(error, envelope.msg_id);
    }
  }

  async #command(message: IoMessage, arrival: MonotonicMs): Promise<void> {
    const { spec } = this;
    // A counter is an input that can be set to a number.
    if (spec.direction === 'in' && spec.kind !== 'counter') {
      throw new DcsError('READ_ONLY', `${spec.name} is an input`);
    }
    const command = parseCommand(message);
    const raw = toRaw(spec, command.val);
    const step = stepAfter(spec, command, raw);
    const age = (this.clock.now() - arrival) / 1000;
    if (command.ttl !== undefined && age > command.ttl) {
      throw new DcsError(
        'EXPIRED',
        `${spec.name}: the command waited ${age.toFixed(3)} s, its ttl is ${command.ttl} s`,
      );
    }
    const { ttl } = command;
    try {
      // The port may have a queue of its own.
      await this.#drive(raw, ttl === undefined ? undefined : { expiresAt: arrival + ttl * 1000 });
    } catch (error) {
      // Unconfirmed, it may have taken effect all the same: what was to end it still has to.
      if (step && toDcsError(error).code === 'TIMEOUT') this.#goOnWith(step);
      throw error;
    }
    // Only now: a command that was refused must not keep the pulse before it from ending.
    this.#goOnWith(step);
  }

  #goOnWith(step: Step | undefined): void {
    this.#next?.timer.cancel();
    this.#next = undefined;
    if (step) this.#stepLater(step, step.afterMs);
  }

  /** Sees to it that the output goes on by itself, however often the hardware refuses at first. */
  #stepLater(step: Step, afterMs: DurationMs): void {
    const timer = this.after(afterMs, async () => {
      try {
        await this.#drive(step.raw);
        this.#next = undefined;
        this.#report();
      } catch (error) {
        this.#refuse(error, undefined);
        this.#stepLater(step, STEP_AGAIN_MS);
        return;
      }
      const next = step.next?.();
      if (next) this.#stepLater(next, next.afterMs);
    });
    this.#next = { timer, step };
  }

  async #drive(raw: RawValue, options?: WriteOptions): Promise<void> {
    this.#driving = true;
    try {
      const handle = this.#handle;
      const writing = this.spec.direction === 'in' ? handle.preset(raw) : handle.write(raw, options);
      const { readBack = raw } = await writing;
      const found: Found = { val: toValue(this.spec, readBack), quality: 'good', rate: this.#state.rate };
      this.#state.take(found, this.clock.unix(), 0);
    } catch (error) {
      const failure = toDcsError(error);
      if (failure.code === 'TIMEOUT' && this.#state.quality === 'good') {
        // Sent, but nobody confirmed: the old value may not be true any more.
        const reason = `a write was not confirmed: ${failure.message}`;
        this.#state.take({ val: this.#state.val, quality: 'uncertain', reason }, this.clock.unix());
        this.#report();
      } else if (this.#withheld) this.#report();
      throw failure;
    } finally {
      this.#driving = false;
      this.#withheld = false;
    }
  }

  async #follow(report: IoMessage): Promise<void> {
    if (report['quality'] !== undefined && report['quality'] !== 'good') return;
    try {
      await this.#drive(toRaw(this.spec, report.val));
      this.#goOnWith(undefined);
      this.#report();
    } catch (error) {
      this.#refuse(error, undefined);
    }
  }

  #onUpdate(data: unknown, envelope: Envelope): void {
    const asked = isRecord(data) ? data['pin_name'] : undefined;
    if (asked === undefined) this.#report();
    else if (asked === this.spec.name) this.#report(envelope.msg_id);
  }

  #apply(reading: Reading): void {
    if (!this.#state.take(this.#found(reading), this.clock.unix())) return;
    // The hardware echoes what is being written; the answer to the command says it.
    if (this.#driving) this.#withheld = true;
    else this.#report();
  }

  #found(reading: Reading): Found {
    const { spec } = this;
    if (!reading.ok) {
      const { code, message } = reading.error;
      return { val: this.#state.val, quality: 'bad', reason: `${code}: ${message}` };
    }
    const { value, sourceTime, uncertain: reason, rate } = reading;
    return {
      val: toValue(spec, value),
      quality: reason === undefined ? 'good' : 'uncertain',
      reason,
      sourceTime,
      rate: rate === undefined ? undefined : toRate(spec, rate),
    };
  }

  #report(replyTo?: string): void {
    this.send({ IoMessage: this.#state.report(replyTo) });
    this.#awaitSilence();
  }

  #awaitSilence(): void {
    const { maxSilenceMs } = this.spec;
    if (maxSilenceMs === undefined) return;
    this.#silence?.cancel();
    this.#silence = this.after(maxSilenceMs, () => this.#report());
  }

  #refuse(error: unknown, replyTo: string | undefined): void {
    const { code, message } = toDcsError(error);
    const answer: IoError = {
      pin_name: this.spec.name,
      code,
      message,
      ...(replyTo !== undefined && { reply_to: replyTo }),
    };
    this.#log.warn({ pin: this.spec.name, code }, `refused: ${message}`);
    this.send({ IoErrorMessage: answer });
  }

  /** Somebody else reports under our name: two nodes were given the same pin. Said once. */
  #rival({ sender }: Envelope): void {
    if (this.#rivalSeen) return;
    this.#rivalSeen = true;
    this.#log.warn({ pin: this.spec.name, sender }, `another node reports a pin named ${this.spec.name} too`);
  }
}

function parseCommand(message: IoMessage): IoCommand {
  const parsed = ioCommandSchema.safeParse(message);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue?.path.join('.') ?? '';
  throw new DcsError('BAD_COMMAND', `${message.pin_name}: ${at || 'the command'}: ${issue?.message ?? 'is wrong'}`, {
    found: at === '' ? message : message[at],
    expected: '{pin_name, val: true|false|number|text, ttl?, hold?, pulse?, blink?}',
  });
}
