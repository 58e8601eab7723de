import { type Clock, systemClock } from '../clock/clock.ts';
import { messageOf } from '../errors/errors.ts';

/** This many errors that nobody caught, within this time, and the process is not to be trusted any more. */
const LIMIT = 10;
const WINDOW_MS = 60_000;

/**
 * Errors that nobody caught: a timer of a user's actor that throws, a promise of a library that nobody waits for. One of
 * them must not take the relays down, so it is logged and the agent goes on; too many of them end it in good order.
 */
export class UncaughtErrors {
  readonly #clock: Clock;
  readonly #log: { error(detail: object, message: string): void };
  #recent: number[] = [];
  #giveUp: (error: Error) => void = () => {};
  readonly #listener = (error: unknown) => this.take(error);

  constructor(log: { error(detail: object, message: string): void }, clock: Clock = systemClock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Catches them from now on. Resolves with the last one when there are too many; never otherwise. */
  watch(): Promise<Error> {
    process.on('uncaughtException', this.#listener);
    process.on('unhandledRejection', this.#listener);
    return new Promise((resolve) => {
      this.#giveUp = resolve;
    });
  }

  take(error: unknown): void {
    this.#log.error({ err: error }, `an error that nobody caught: ${messageOf(error)}`);
    const now = this.#clock.now();
    this.#recent = [...this.#recent.filter((at) => now - at < WINDOW_MS), now];
    if (this.#recent.length < LIMIT) return;
    this.#giveUp(new Error(`${LIMIT} errors that nobody caught within ${WINDOW_MS / 1000} s: ${messageOf(error)}`));
  }
}
