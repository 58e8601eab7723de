import { Actor } from '../bus/actor.ts';
import type { MonotonicMs, Timer } from '../clock/clock.ts';
import type { Reading, WriteResult } from '../driver/contract.ts';
import { DcsError, messageOf, toDcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import { type Envelope, isRecord } from '../message/envelope.ts';
import { type IoError, type IoMessage, isReport, type OutputReport } from '../message/payloads.ts';
import { parseCommand, timedStepFor } from '../output/command.ts';
import type { KeptOutputs } from '../output/kept-state.ts';
import type { Nodes } from '../output/nodes.ts';
import type { PinTable } from '../output/pin-table.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';
import { toRate, toRaw, toValue } from './convert.ts';
import { Debouncer, StalenessMonitor } from './input-filters.ts';
import { type Observation, PinState } from './pin-state.ts';
import type { ChannelHandle } from './port-runner.ts';

/** What pins share. */
export interface PinEnvironment {
  readonly log: Log;
  readonly table: PinTable;
  readonly nodes: Nodes;
  readonly kept: KeptOutputs;
}

/** What a command was carried out with. */
export interface CommandOutcome {
  /** Its answer is to wait until this has settled. Never rejects. */
  readonly answerAfter?: Promise<void>;
}

/**
 * One pin's life on the bus: hardware changes become reports, commands are carried out, and every command gets exactly
 * one answer: a report with `reply_to`, or an IoErrorMessage.
 */
export class PinActor extends Actor {
  readonly spec: PinSpec;
  protected readonly handle: ChannelHandle;
  protected readonly environment: PinEnvironment;
  protected readonly state: PinState;
  #unlisten: () => void = () => {};
  #debouncer: Debouncer | undefined;
  #staleness: StalenessMonitor | undefined;
  #duplicateSeen = false;
  /** A write is under way. */
  #writing = false;
  /** A change was seen during the write and not reported. */
  #reportWithheld = false;
  /** Ends the silence that `max_silence` allows. */
  #maxSilence: Timer | undefined;

  constructor(spec: PinSpec, handle: ChannelHandle, life: PinEnvironment) {
    super(`pin ${spec.name}`);
    this.spec = spec;
    this.handle = handle;
    this.environment = life;
    this.state = new PinState(spec);
    this.onPin(spec.name, (message, envelope, arrival) => this.#onMessage(message, envelope, arrival));
    this.on('UpdateIoMessage', (data, envelope) => this.#onUpdate(data, envelope));
    if (spec.readOn !== undefined) this.onReport(spec.readOn, () => this.#readNow());
  }

  override onStart(): void {
    const { spec, clock, handle } = this;
    this.state.start(clock.unix());
    this.#restartMaxSilence();
    if (spec.kind === 'digital' && spec.direction === 'in' && spec.debounceMs > 0) {
      const read = () => handle.read();
      this.#debouncer = new Debouncer(clock, spec.debounceMs, read, (reading) => this.#observeAndReport(reading));
    }
    if (spec.staleAfterMs !== undefined) {
      this.#staleness = new StalenessMonitor(clock, spec.staleAfterMs, handle, (reading) =>
        this.#observeAndReport(reading),
      );
    }
    this.#unlisten = handle.listen((reading) => this.#onReading(reading));
  }

  override onStop(): void | Promise<void> {
    this.#unlisten();
    this.#debouncer?.close();
    this.#staleness?.close();
  }

  /**
   * Carries a command out; throws a DcsError when it is refused. The answer waits for what it resolves with. A counter is an
   * input that can be set to a number.
   */
  protected async execute(message: IoMessage, _envelope: Envelope, arrival: MonotonicMs): Promise<CommandOutcome> {
    const { spec } = this;
    if (spec.kind !== 'counter') throw new DcsError('READ_ONLY', `${spec.name} is an input`);
    const command = parseCommand(message);
    const raw = toRaw(spec, command.val);
    // Throws: what ends by itself is for outputs.
    timedStepFor(spec, command, raw);
    this.checkExpiry(command.ttl, arrival);
    await this.writeHardware(raw, () => this.handle.preset(raw));
    return {};
  }

  /** What is wanted of an output; undefined on inputs. */
  protected outputReport(): OutputReport | undefined {
    return undefined;
  }

  /** Told what was found before it is reported. */
  protected onObservation(_found: Observation): void {}

  /** Sends a value to the hardware. Resolves with what it then has, as the user means it, and whether it could be asked. */
  protected async writeHardware(
    raw: RawValue,
    write: () => Promise<WriteResult>,
  ): Promise<{ value: RawValue; asked: boolean }> {
    this.#writing = true;
    try {
      const { readBack } = await write();
      const value = toValue(this.spec, readBack ?? raw);
      this.#observe({ val: value, quality: 'good', rate: this.state.rate }, 0);
      return { value, asked: readBack !== undefined };
    } catch (error) {
      const failure = toDcsError(error);
      if (failure.code === 'TIMEOUT' && this.state.quality === 'good') {
        // Sent, but nobody confirmed: the old value may not be true any more.
        const reason = `a write was not confirmed: ${failure.message}`;
        this.#observe({ val: this.state.val, quality: 'uncertain', reason });
        this.report();
      } else if (this.#reportWithheld) this.report();
      throw failure;
    } finally {
      this.#writing = false;
      this.#reportWithheld = false;
    }
  }

  protected checkExpiry(ttl: number | undefined, arrival: MonotonicMs): void {
    const age = (this.clock.now() - arrival) / 1000;
    if (ttl === undefined || age <= ttl) return;
    throw new DcsError('EXPIRED', `${this.spec.name}: the command waited ${age.toFixed(3)} s, its ttl is ${ttl} s`);
  }

  protected report(replyTo?: string): void {
    this.send({ IoMessage: this.state.report(replyTo, this.outputReport()) });
    this.#restartMaxSilence();
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
    this.environment.log.warn({ pin: this.spec.name, code }, `refused: ${message}`);
    this.send({ IoErrorMessage: answer });
  }

  /** Nothing is known any more; what was is reported as bad. */
  protected reportBad(reason: string): void {
    this.#observe({ val: this.state.val, quality: 'bad', reason });
    this.report();
  }

  async #onMessage(message: IoMessage, envelope: Envelope, arrival: MonotonicMs): Promise<void> {
    if (isReport(message)) {
      this.#warnOfDuplicate(envelope);
      return;
    }
    try {
      const { answerAfter: after } = await this.execute(message, envelope, arrival);
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
      this.#onReading(await this.handle.read());
    } catch (error) {
      // The port is not open: it tells that itself, and the value when it is.
      this.environment.log.debug({ pin: this.spec.name, err: error }, `not read: ${messageOf(error)}`);
    }
  }

  #onReading(reading: Reading): void {
    this.#staleness?.onReading(reading);
    if (this.#debouncer && !this.handle.debounced) this.#debouncer.onReading(reading);
    else this.#observeAndReport(reading);
  }

  #observeAndReport(reading: Reading): void {
    if (!this.#observe(this.#observationOf(reading))) return;
    // The hardware echoes what is being written; the answer to the command says it.
    if (this.#writing) this.#reportWithheld = true;
    else this.report();
  }

  #observe(found: Observation, deadband?: number): boolean {
    const news = this.state.update(found, this.clock.unix(), deadband);
    this.onObservation(found);
    if (news) this.environment.table.update(this.spec.name, { val: this.state.val, quality: this.state.quality });
    return news;
  }

  #observationOf(reading: Reading): Observation {
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

  #restartMaxSilence(): void {
    const { maxSilenceMs } = this.spec;
    if (maxSilenceMs === undefined) return;
    this.#maxSilence?.cancel();
    this.#maxSilence = this.after(maxSilenceMs, () => this.report());
  }

  /** Somebody else reports under our name: two nodes were given the same pin. Said once. */
  #warnOfDuplicate({ sender }: Envelope): void {
    if (this.#duplicateSeen) return;
    this.#duplicateSeen = true;
    this.environment.log.warn(
      { pin: this.spec.name, sender },
      `another node reports a pin named ${this.spec.name} too`,
    );
  }
}
