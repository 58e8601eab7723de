import { Actor } from '../bus/actor.ts';
import { isRecord } from '../message/envelope.ts';
import { type IoError, isReport } from '../message/payloads.ts';
import type { PinSpec } from '../pin/pin.ts';
import type { PinTable } from '../safety/pin-table.ts';
import { PinState } from './pin-state.ts';

/** Stands in for a pin whose own actor has been given up: says so, and refuses every command. */
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
    this.#state.begin(now);
    this.#state.take({ val: null, quality: 'bad', reason: `FAILED: ${this.#why}` }, now);
    this.#table.note(this.#spec.name, { val: null, quality: 'bad' });
    this.#report();
  }

  #report(replyTo?: string): void {
    this.send({ IoMessage: this.#state.report(replyTo) });
  }
}
