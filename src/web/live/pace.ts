import type { Clock, DurationMs, MonotonicMs, Timer } from '../../clock/clock.ts';
import type { Payload } from '../../message/envelope.ts';
import { isRecord } from '../../message/envelope.ts';

/** Messages a browser or program may send a second, and how many at once after a while of silence. */
const PER_SECOND = 1000;
const BURST = 2000;
/** Every pin answers a question that names none. */
const ALL_PINS_COST = 200;
const WAIT_MS: DurationMs = 50;

/** What a message asks of the agent, in messages. */
export function costOf({ UpdateIoMessage: question }: Payload): number {
  const one = isRecord(question) && question['pin_name'] !== undefined;
  return question === undefined || one ? 1 : ALL_PINS_COST;
}

/**
 * Keeps one sender from taking all of the agent's time: whoever sends faster is read more slowly. Nothing is lost: it waits
 * at the sender.
 */
export class Pace {
  readonly #clock: Clock;
  readonly #reader: { pause(): void; resume(): void };
  #credit = BURST;
  #at: MonotonicMs;
  #timer: Timer | undefined;

  constructor(clock: Clock, reader: { pause(): void; resume(): void }) {
    this.#clock = clock;
    this.#reader = reader;
    this.#at = clock.now();
  }

  /** A message of this cost has been read. */
  spend(cost: number): void {
    this.#earn();
    this.#credit -= cost;
    if (this.#credit > 0 || this.#timer) return;
    this.#reader.pause();
    this.#wait();
  }

  /** The sender is not read just now. */
  get holds(): boolean {
    return this.#timer !== undefined;
  }

  end(): void {
    this.#timer?.cancel();
  }

  #wait(): void {
    this.#timer = this.#clock.after(WAIT_MS, () => {
      this.#earn();
      if (this.#credit <= 0) {
        this.#wait();
        return;
      }
      this.#timer = undefined;
      this.#reader.resume();
    });
  }

  #earn(): void {
    const now = this.#clock.now();
    this.#credit = Math.min(BURST, this.#credit + ((now - this.#at) / 1000) * PER_SECOND);
    this.#at = now;
  }
}
