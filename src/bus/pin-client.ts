import type { DurationMs } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import type { Payload } from '../message/envelope.ts';
import { type IoMessage, ioMessageOf, isReport, type PinValue } from '../message/payloads.ts';
import type { Actor } from './actor.ts';

/** Default time to wait for an answer. */
export interface PinRequestOptions {
  readonly timeoutMs?: DurationMs;
}

/** Beside the value of a command; all times but `timeoutMs` in seconds, as on the wire. */
export interface SetOptions extends PinRequestOptions {
  /** The command is not carried out when it is older than this. */
  readonly ttl?: number;
  /** A lease: the output goes to its safe value after this. */
  readonly hold?: number;
  /** A digital output goes to the other level after this. */
  readonly pulse?: number;
  /** Seconds on and seconds off, beginning with the value. */
  readonly blink?: readonly [number, number];
  /** The value wins over every other command for so long. */
  readonly override?: number;
}

const ANSWER_TIMEOUT_MS: DurationMs = 5000;

/** Reads and commands pins by name, in the name of one actor. */
export class PinClient {
  readonly #actor: Actor;

  constructor(actor: Actor) {
    this.#actor = actor;
  }

  /** Resolves with the present report of a pin. Rejects with TIMEOUT when no pin has that name. */
  get(pin: string, { timeoutMs }: PinRequestOptions = {}): Promise<IoMessage> {
    return this.#request({ UpdateIoMessage: { pin_name: pin } }, timeoutMs);
  }

  /** Commands a pin. Resolves with the report that answers; rejects with the code of the refusal, or with TIMEOUT. */
  set(pin: string, val: NonNullable<PinValue>, { timeoutMs, ...options }: SetOptions = {}): Promise<IoMessage> {
    return this.#request({ IoMessage: { pin_name: pin, val, ...options } }, timeoutMs);
  }

  async #request(question: Payload, timeoutMs = ANSWER_TIMEOUT_MS): Promise<IoMessage> {
    const { payload } = await this.#actor.request(question, { timeoutMs });
    const message = ioMessageOf(payload);
    if (message && isReport(message)) return message;
    throw new DcsError('BAD_REPLY', 'the answer is no report of a pin', { found: payload });
  }
}
