import type { Clock, DurationMs, Timer } from '../../../src/clock/clock.ts';

/** What makes a simulated device reachable; resolves with how to end that. */
type Plug = () => Promise<() => Promise<void> | void>;

/** Something that can be pulled out and comes back by itself. */
export class Pluggable {
  readonly #clock: Clock;
  readonly #plug: Plug;
  readonly #failed: (error: unknown) => void;
  #end: (() => Promise<void> | void) | undefined;
  #timer: Timer | undefined;
  #closed = false;

  /** `failed`: it could not be plugged in again, its address being taken meanwhile; it tries on. */
  constructor(clock: Clock, plug: Plug, failed: (error: unknown) => void) {
    this.#clock = clock;
    this.#plug = plug;
    this.#failed = failed;
  }

  /** Rejects with what `plug` rejects with. */
  async start(): Promise<void> {
    this.#end = await this.#plug();
    if (this.#closed) await this.#pull();
  }

  unplug(away: DurationMs): void {
    if (this.#closed || !this.#end) return;
    const gone = this.#pull();
    const back = () => {
      gone
        .then(() => this.start())
        .catch((error: unknown) => {
          this.#failed(error);
          if (!this.#closed) this.#timer = this.#clock.after(away, back);
        });
    };
    this.#timer = this.#clock.after(away, back);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#pull();
  }

  async #pull(): Promise<void> {
    const end = this.#end;
    this.#end = undefined;
    await end?.();
  }
}
