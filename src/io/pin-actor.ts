import { Actor } from '../bus/actor.ts';
import type { MonotonicMs, Timer } from '../clock/clock.ts';
import type { Log, Reading, WriteResult } from '../driver/contract.ts';
import { DcsError, messageOf, toDcsError } from '../errors/errors.ts';
import { type Envelope, isRecord } from '../message/envelope.ts';
import { type IoError, type IoMessage, isReport, type OutputReport } from '../message/payloads.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';
import { stepAfter } from '../safety/after-command.ts';
import type { KeptOutputs } from '../safety/kept-outputs.ts';
import type { Nodes } from '../safety/nodes.ts';
import type { PinTable } from '../safety/pin-table.ts';
import { Ageing } from './ageing.ts';
import type { ChannelHandle } from './channels.ts';
import { parseCommand } from './command.ts';
import { toRate, toRaw, toValue } from './convert.ts';
import { Debouncer } from './debounce.ts';
import { type Found, PinState } from './pin-state.ts';

/** What pins share. */
export interface PinLife {
  readonly log: Log;
  readonly table: PinTable;
  readonly nodes: Nodes;
  readonly kept: KeptOutputs;
}

/** What a command was carried out with. */
export interface Answer {
  /** Its answer is to wait until this has settled. Never rejects. */
  readonly after?: Promise<void>;
}

/**
 * One pin's life on the bus: hardware changes become reports, commands are carried out, and every command gets exactly
 * one answer: a report with `reply_to`, or an IoErrorMessage.
 */
export class PinActor extends Actor {
  readonly spec: PinSpec;
  protected readonly handle: ChannelHandle;
  protected readonly life: PinLife;
  protected readonly state: PinState;
  #unlisten: () => void = () => {};
  #debouncer: Debouncer | undefined;
  #ageing: Ageing | undefined;
  #rivalSeen = false;
  /** A write is under way. */
  #driving = false;
  /** A change was seen during the write and not reported. */
  #withheld = false;
  /** Ends the silence that `max_silence` allows. */
  #silence: Timer | undefined;

  constructor(spec: PinSpec, handle: ChannelHandle, life: PinLife) {
    super(`pin ${spec.name}`);
    this.spec = spec;
    this.handle = handle;
    this.life = life;
    this.state = new PinState(spec);
    this.onPin(spec.name, (message, envelope, arrival) => this.#onMessage(message, envelope, arrival));
    this.on('UpdateIoMessage', (data, envelope) => this.#onUpdate(data, envelope));
    if (spec.readOn !== undefined) this.onReport(spec.readOn, () => this.#readNow());
  }

  override onStart(): void {
    const { spec, clock, handle } = this;
    this.state.begin(clock.unix());
    this.#awaitSilence();
    if (spec.kind === 'digital' && spec.direction === 'in' && spec.debounceMs > 0) {
      const read = () => handle.read();
      this.#debouncer = new Debouncer(clock, spec.debounceMs, read, (reading) => this.#apply(reading));
    }
    if (spec.staleAfterMs !== undefined) {
      this.#ageing = new Ageing(clock, spec.staleAfterMs, handle, (reading) => this.#apply(reading));
    }
    this.#unlisten = handle.listen((reading) => this.#see(reading));
  }

  override onStop(): void | Promise<void> {
    this.#unlisten();
    this.#debouncer?.close();
    this.#ageing?.close();
  }

  /**
   * Carries a command out; throws a DcsError when it is refused. The answer waits for what it resolves with. A counter is an
   * input that can be set to a number.
   */
  protected async carryOut(message: IoMessage, _envelope: Envelope, arrival: MonotonicMs): Promise<Answer> {
    const { spec } = this;
    if (spec.kind !== 'counter') throw new DcsError('READ_ONLY', `${spec.name} is an input`);
    const command = parseCommand(message);
    const raw = toRaw(spec, command.val);
    // Throws: what ends by itself is for outputs.
    stepAfter(spec, command, raw);
    this.checkAge(command.ttl, arrival);
    await this.drive(raw, () => this.handle.preset(raw));
    return {};
  }

  /** What is wanted of an output; undefined on inputs. */
  protected wanted(): OutputReport | undefined {
    return undefined;
  }

  /** Told what was found before it is reported. */
  protected found(_found: Found): void {}

  /** Sends a value to the hardware. Resolves with what it then has, as the user means it, and whether it could be asked. */
  protected async drive(
    raw: RawValue,
    write: () => Promise<WriteResult>,
  ): Promise<{ value: RawValue; asked: boolean }> {
    this.#driving = true;
    try {
      const { readBack } = await write();
      const value = toValue(this.spec, readBack ?? raw);
      this.#take({ val: value, quality: 'good', rate: this.state.rate }, 0);
      return { value, asked: readBack !== undefined };
    } catch (error) {
      const failure = toDcsError(error);
      if (failure.code === 'TIMEOUT' && this.state.quality === 'good') {
        // Sent, but nobody confirmed: the old value may not be true any more.
        const reason = `a write was not confirmed: ${failure.message}`;
        this.#take({ val: this.state.val, quality: 'uncertain', reason });
        this.report();
      } else if (this.#withheld) this.report();
      throw failure;
    } finally {
      this.#driving = false;
      this.#withheld = false;
    }
  }

  protected checkAge(ttl: number | undefined, arrival: MonotonicMs): void {
    const age = (this.clock.now() - arrival) / 1000;
    if (ttl === undefined || age <= ttl) return;
    throw new DcsError('EXPIRED', `${this.spec.name}: the command waited ${age.toFixed(3)} s, its ttl is ${ttl} s`);
  }

  protected report(replyTo?: string): void {
    this.send({ IoMessage: this.state.report(replyTo, this.wanted()) });
    this.#awaitSilence();
  }

  protected refuse(error: unknown, replyTo: string | undefined): void {
    const { code, message, rule } = toDcsError(error);
    const answer: IoError = {
      pin_name: this.spec.name,
      code,
      message,
      ...(rule !== undefined && { rule }),
      ...(replyTo !== undefined && { reply_to: replyTo }),
    };
    this.life.log.warn({ pin: this.spec.name, code }, `refused: ${message}`);
    this.send({ IoErrorMessage: answer });
  }

  /** Nothing is known any more; what was is reported as bad. */
  protected giveUp(reason: string): void {
    this.#take({ val: this.state.val, quality: 'bad', reason });
    this.report();
  }

  async #onMessage(message: IoMessage, envelope: Envelope, arrival: MonotonicMs): Promise<void> {
    if (isReport(message)) {
      this.#rival(envelope);
      return;
    }
    try {
      const { after } = await this.carryOut(message, envelope, arrival);
      const answer = () => this.report(envelope.msg_id);
      // Nobody else waits for it: the pin goes on with its work.
      if (after) void after.then(() => this.after(0, answer));
      else answer();
    } catch (error) {
      this.refuse(error, envelope.msg_id);
    }
  }

  #onUpdate(data: unknown, envelope: Envelope): void {
    const asked = isRecord(data) ? data['pin_name'] : undefined;
    if (asked === undefined) this.report();
    else if (asked === this.spec.name) this.report(envelope.msg_id);
  }

  async #readNow(): Promise<void> {
    try {
      this.#see(await this.handle.read());
    } catch (error) {
      // The port is not open: it tells that itself, and the value when it is.
      this.life.log.debug({ pin: this.spec.name, err: error }, `not read: ${messageOf(error)}`);
    }
  }

  #see(reading: Reading): void {
    this.#ageing?.heard(reading);
    if (this.#debouncer && !this.handle.debounced) this.#debouncer.take(reading);
    else this.#apply(reading);
  }

  #apply(reading: Reading): void {
    if (!this.#take(this.#foundIn(reading))) return;
    // The hardware echoes what is being written; the answer to the command says it.
    if (this.#driving) this.#withheld = true;
    else this.report();
  }

  #take(found: Found, deadband?: number): boolean {
    const news = this.state.take(found, this.clock.unix(), deadband);
    this.found(found);
    if (news) this.life.table.note(this.spec.name, { val: this.state.val, quality: this.state.quality });
    return news;
  }

  #foundIn(reading: Reading): Found {
    const { spec } = this;
    if (!reading.ok) {
      const { code, message } = reading.error;
      return { val: this.state.val, quality: 'bad', reason: `${code}: ${message}` };
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

  #awaitSilence(): void {
    const { maxSilenceMs } = this.spec;
    if (maxSilenceMs === undefined) return;
    this.#silence?.cancel();
    this.#silence = this.after(maxSilenceMs, () => this.report());
  }

  /** Somebody else reports under our name: two nodes were given the same pin. Said once. */
  #rival({ sender }: Envelope): void {
    if (this.#rivalSeen) return;
    this.#rivalSeen = true;
    this.life.log.warn({ pin: this.spec.name, sender }, `another node reports a pin named ${this.spec.name} too`);
  }
}
