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
import { parseValue, toRate, toValue } from './convert.ts';
import { Debouncer, StalenessMonitor } from './input-filters.ts';
import { type Observation, PinState } from './pin-state.ts';
import type { ChannelHandle } from './port-runner.ts';

/** The objects that all pins of a process share. */
export interface PinEnvironment {
  readonly log: Log;
  readonly table: PinTable;
  readonly nodes: Nodes;
  readonly kept: KeptOutputs;
}

/** The outcome of a command that succeeded. */
export interface CommandOutcome {
  /** The answer is sent once this has settled: the refusal when it rejects. */
  readonly answerAfter?: Promise<void>;
}

/** A write that the hardware took. */
export interface Written {
  /** The value that the hardware has, in the user's units: read back where it can be, else the one written. */
  readonly value: RawValue;
  readonly wasReadBack: boolean;
}

/**
 * The actor of one pin. Hardware changes become reports, and commands are carried out. Each command gets exactly one
 * answer: a report with `reply_to`, or an IoErrorMessage.
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
  /** Reports again after `max_silence` without a report. */
  #maxSilence: Timer | undefined;

  constructor(spec: PinSpec, handle: ChannelHandle, environment: PinEnvironment) {
    super(`pin ${spec.name}`);
    this.spec = spec;
    this.handle = handle;
    this.environment = environment;
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
      const emit = (reading: Reading) => this.#observeAndReport(reading);
      this.#staleness = new StalenessMonitor(clock, spec.staleAfterMs, handle, emit);
    }
    this.#unlisten = handle.listen((reading) => this.#onReading(reading));
  }

  override onStop(): void | Promise<void> {
    this.#unlisten();
    this.#debouncer?.close();
    this.#staleness?.close();
  }

  /**
   * Carries out a command. Throws a DcsError when it is refused. A counter is an input that a command sets to a number; all
   * other inputs are read-only.
   */
  protected async execute(message: IoMessage, _envelope: Envelope, arrival: MonotonicMs): Promise<CommandOutcome> {
    const { spec } = this;
    if (spec.kind !== 'counter') throw new DcsError('READ_ONLY', `${spec.name} is an input`);
    const command = parseCommand(message);
    const { raw } = parseValue(spec, command.val);
    // Throws: pulses, leases and blinking are for outputs.
    timedStepFor(spec, command, raw);
    this.checkExpiry(command.ttl, arrival);
    await this.write(raw, this.handle.preset(raw));
    return {};
  }

  /** Returns the `output` part of a report. `undefined` on inputs. */
  protected outputReport(): OutputReport | undefined {
    return undefined;
  }

  /** Called with each observation of the hardware before it is reported. */
  protected onObservation(_observation: Observation): void {}

  /** Called with the value of a confirmed write before the pin table changes. */
  protected onWritten(_value: RawValue): void {}

  /** Waits for the result of a write and takes over the value that the hardware has then. */
  protected async write(raw: RawValue, writing: Promise<WriteResult>): Promise<Written> {
    try {
      const { readBack } = await writing;
      const written = readBack ?? raw;
      this.#staleness?.onWritten(written);
      const value = toValue(this.spec, written);
      const news = this.state.update(
        { val: value, quality: 'good', rate: this.state.rate },
        this.clock.unix(),
        // A written value is reported although it differs by less than the deadband.
        0,
      );
      this.onWritten(value);
      this.#updateTable(news);
      return { value, wasReadBack: readBack !== undefined };
    } catch (error) {
      const failure = toDcsError(error);
      // The value was sent but not confirmed, so the old value is not certain any more.
      if (failure.code === 'TIMEOUT') this.doubt(`a write was not confirmed: ${failure.message}`);
      throw failure;
    }
  }

  /** Throws EXPIRED when a command is older than its `ttl`. */
  protected checkExpiry(ttl: number | undefined, arrival: MonotonicMs): void {
    if (ttl === undefined) return;
    const age = (this.clock.now() - arrival) / 1000;
    if (age <= ttl) return;
    throw new DcsError('EXPIRED', `${this.spec.name}: the command waited ${age.toFixed(3)} s, its ttl is ${ttl} s`);
  }

  /** Sends a report. `replyTo`: msg_id of the command or query that it answers. */
  protected report(replyTo?: string): void {
    this.send({ IoMessage: this.state.report(replyTo, this.outputReport()) });
    this.#restartMaxSilence();
  }

  /** Sends an IoErrorMessage and logs it. */
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

  /** Reports a good value as uncertain until the hardware confirms it. */
  protected doubt(reason: string): void {
    if (this.state.quality !== 'good') return;
    this.#observe({ val: this.state.val, quality: 'uncertain', reason });
    this.report();
  }

  /** Reports the last value with quality bad. */
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
      const { answerAfter } = await this.execute(message, envelope, arrival);
      const answer = () => this.report(envelope.msg_id);
      // Only the answer waits: the pin handles its next message.
      if (answerAfter) {
        const refusal = (error: unknown) => this.refuse(error, envelope.msg_id);
        answerAfter.then(
          () => this.after(0, answer),
          (error) => this.after(0, () => refusal(error)),
        );
      } else answer();
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
      // The port is not open. Its runner reports that, and the value when it opens.
      this.environment.log.debug({ pin: this.spec.name, err: error }, `not read: ${messageOf(error)}`);
    }
  }

  #onReading(reading: Reading): void {
    this.#staleness?.onReading(reading);
    if (this.#debouncer && !this.handle.debounced) this.#debouncer.onReading(reading);
    else this.#observeAndReport(reading);
  }

  #observeAndReport(reading: Reading): void {
    if (this.#observe(this.#observationOf(reading))) this.report();
  }

  /** Takes over an observation. Returns whether there is something to report. */
  #observe(observation: Observation): boolean {
    const news = this.state.update(observation, this.clock.unix());
    this.onObservation(observation);
    if (news) this.#updateTable(true);
    return news;
  }

  #updateTable(news: boolean): void {
    const { table } = this.environment;
    const { val, quality, reason, sourceTime } = this.state;
    if (news) table.update(this.spec.name, { val, quality, reason, sourceTime });
    // The end of a write matters to interlocks although the value is the same.
    else table.notifyWatchers(this.spec.name);
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

  /** Logs once that another node reports a pin of the same name. */
  #warnOfDuplicate({ sender }: Envelope): void {
    if (this.#duplicateSeen) return;
    this.#duplicateSeen = true;
    this.environment.log.warn(
      { pin: this.spec.name, sender },
      `another node reports a pin named ${this.spec.name} too`,
    );
  }
}
