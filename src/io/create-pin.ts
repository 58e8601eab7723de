import { Actor } from '../bus/actor.ts';
import { isRecord } from '../message/envelope.ts';
import { type IoError, isReport } from '../message/payloads.ts';
import type { PinEntry, PinTable } from '../output/pin-table.ts';
import type { PinSpec, RawValue } from '../pin/pin.ts';
import { toRaw } from './convert.ts';
import { OutputActor } from './output-actor.ts';
import { PinActor, type PinEnvironment } from './pin-actor.ts';
import { PinState } from './pin-state.ts';
import type { ChannelHandle } from './port-runner.ts';
import { ScaledOutput } from './scaled-output.ts';

/** Creates the actor of a pin. */
export function createPin({ spec, output }: PinEntry, handle: ChannelHandle, environment: PinEnvironment): PinActor {
  if (spec.scaleOf) return new ScaledOutput(spec, spec.scaleOf, handle, environment);
  return output ? new OutputActor(spec, output, handle, environment) : new PinActor(spec, handle, environment);
}

/** Returns the raw value that a port opens an output with. The hardware keeps its value when `undefined`. */
export function openingValue({ spec, output }: PinEntry, first: boolean): RawValue | undefined {
  const value = output?.openingValue(first);
  return value === undefined ? undefined : toRaw(spec, value);
}

/** Returns the raw value of an output that is in force now. An order that was carried out is not in force. */
export function valueInForce(entry: PinEntry | undefined): RawValue | undefined {
  const value = entry?.spec.momentary ? undefined : entry?.output?.decision.value;
  return entry === undefined || value === undefined ? undefined : toRaw(entry.spec, value);
}

/** Replaces the actor of a pin that was abandoned: reports the pin as bad and refuses every command. */
export class FailedPin extends Actor {
  readonly #state: PinState;
  readonly #spec: PinSpec;
  readonly #why: string;
  readonly #table: PinTable;

  constructor(spec: PinSpec, why: string, table: PinTable) {
    super(`pin ${spec.name}`);
    this.#spec = spec;
    this.#why = why;
    this.#table = table;
    this.#state = new PinState(spec);
    this.onPin(spec.name, (message, { msg_id }) => {
      if (isReport(message)) return;
      const refusal: IoError = {
        pin_name: spec.name,
        code: 'FAILED',
        message: `${spec.name}: ${why}`,
        reply_to: msg_id,
      };
      this.send({ IoErrorMessage: refusal });
    });
    this.on('UpdateIoMessage', (data, { msg_id }) => {
      const asked = isRecord(data) ? data['pin_name'] : undefined;
      if (asked === undefined) this.#report();
      else if (asked === spec.name) this.#report(msg_id);
    });
  }

  override onStart(): void {
    const now = this.clock.unix();
    this.#state.start(now);
    this.#state.update({ val: null, quality: 'bad', reason: `FAILED: ${this.#why}` }, now);
    this.#table.update(this.#spec.name, { val: null, quality: 'bad', reason: `FAILED: ${this.#why}` });
    this.#report();
  }

  #report(replyTo?: string): void {
    this.send({ IoMessage: this.#state.report(replyTo) });
  }
}
