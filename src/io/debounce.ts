import type { Clock, Timer } from '../clock/clock.ts';
import type { Reading, ReadingListener } from '../driver/contract.ts';

/**
 * Lets a level through once it has been still for `stillMs`, and then what the hardware says at that moment: the edge
 * that ends a bounce may be the one that was lost. The first reading and failures pass at once.
 */
export class Debouncer {
  readonly #clock: Clock;
  readonly #stillMs: number;
  readonly #read: () => Promise<Reading>;
  readonly #pass: ReadingListener;
  #timer: Timer | undefined;
  #settled = false;
  #closed = false;

  constructor(clock: Clock, stillMs: number, read: () => Promise<Reading>, pass: ReadingListener) {
    this.#clock = clock;
    this.#stillMs = stillMs;
    this.#read = read;
    this.#pass = pass;
  }

  take(reading: Reading): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    // Also of a read that is under way: what it finds is older than this.
    this.#timer = undefined;
    if (!reading.ok || !this.#settled) {
      this.#settled = reading.ok;
      this.#pass(reading);
      return;
    }
    this.#timer = this.#clock.after(this.#stillMs, () => this.#settle(reading));
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #settle(seen: Reading): void {
    const timer = this.#timer;
    this.#read().then(
      (now) => {
        if (this.#closed || this.#timer !== timer) return;
        // The edge's own time is the truth when the level is still what that edge made it.
        const same = now.ok && seen.ok && now.value === seen.value;
        this.#pass(same ? seen : now);
      },
      // The port went down while it was read: its owner tells every channel so.
      () => undefined,
    );
  }
}
