import type { MonotonicMs } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import type { Envelope } from '../message/envelope.ts';
import type { IoCommand, IoControl, IoMessage, OutputReport, PinValue } from '../message/payloads.ts';
import { parseCommand, parseControl } from '../output/command.ts';
import type { PinSpec, ScaleOf } from '../pin/pin.ts';
import { parseValue, toValue } from './convert.ts';
import { outputReportOf } from './output-actor.ts';
import { type CommandOutcome, PinActor, type PinEnvironment } from './pin-actor.ts';
import type { ChannelHandle } from './port-runner.ts';

/** The scaled pin answers every command, after its retries and its verification. */
const ANSWER_LIMIT_MS = 60_000;

/**
 * The actor of an output that shows another one in other units. Each command goes to that output with all its options, so that
 * its rules, leases and overrides hold; its answer is passed on.
 */
export class ScaledOutput extends PinActor {
  readonly #scale: ScaleOf;

  constructor(spec: PinSpec, scale: ScaleOf, handle: ChannelHandle, environment: PinEnvironment) {
    super(spec, handle, environment);
    this.#scale = scale;
  }

  protected override async execute(
    message: IoMessage,
    _envelope: Envelope,
    arrival: MonotonicMs,
  ): Promise<CommandOutcome> {
    const command = parseControl(message) ?? this.#scaledCommand(parseCommand(message), arrival);
    // Not awaited: the next command must not wait for the answer to this one.
    return { answerAfter: this.#forward(command) };
  }

  #scaledCommand(command: IoCommand, arrival: MonotonicMs): IoCommand {
    const { ttl } = command;
    this.checkExpiry(ttl, arrival);
    const { factor, offset } = this.#scale;
    const raw = Number(parseValue(this.spec, command.val).raw);
    const val = (raw - offset) / factor;
    if (!Number.isFinite(val)) {
      throw new DcsError('OUT_OF_RANGE', `${this.spec.name}: ${command.val} cannot be converted`, {
        found: command.val,
      });
    }
    const left = ttl === undefined ? {} : { ttl: ttl - (this.clock.now() - arrival) / 1000 };
    return { ...command, ...left, val: Number.isSafeInteger(val) ? val : Number(val.toPrecision(12)) };
  }

  async #forward(command: IoCommand | IoControl): Promise<void> {
    await this.request({ IoMessage: { ...command, pin_name: this.#scale.pin } }, { timeoutMs: ANSWER_LIMIT_MS });
  }

  /** The output part of the scaled pin's report, in the units of this pin. `undefined` before the pin is there. */
  protected override outputReport(): OutputReport | undefined {
    const output = this.environment.table.get(this.#scale.pin)?.output;
    if (!output) return undefined;
    const { desired, command, override, ...rest } = outputReportOf(output);
    return {
      ...rest,
      ...(desired !== undefined && { desired: this.#scaled(desired) }),
      ...(command && { command: { ...command, val: this.#scaled(command.val) } }),
      ...(override && { override: { ...override, val: this.#scaled(override.val) } }),
    };
  }

  #scaled(val: PinValue): PinValue {
    if (val === null) return null;
    const { factor, offset } = this.#scale;
    return toValue(this.spec, Number((Number(val) * factor + offset).toPrecision(12)));
  }
}
