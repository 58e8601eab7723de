import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import type { Reading } from '../driver/contract.ts';
import type { ChannelHandle } from './channels.ts';

/**
 * Lets a value age: hardware that has not confirmed it for `staleMs` makes it uncertain. A port tells changes only, so the
 * value is asked for in good time: one that is merely constant stays good. What is given from memory confirms nothing.
 */
export class Ageing {
  readonly #clock: Clock;
  readonly #staleMs: DurationMs;
  readonly #handle: ChannelHandle;
  readonly #tell: (reading: Reading) => void;
  #last: Reading | undefined;
  #heardAt: MonotonicMs;
  #stale = false;
  #closed = false;
  #timer: Timer | undefined;

  constructor(clock: Clock, staleMs: DurationMs, handle: ChannelHandle, tell: (reading: Reading) => void) {
    this.#clock = clock;
    this.#staleMs = staleMs;
    this.#handle = handle;
    this.#tell = tell;
    this.#heardAt = clock.now();
    this.#askLater();
  }

  /** The port has told something. */
  heard(reading: Reading): void {
    this.#last = reading;
    this.#heardAt = this.#clock.now();
    this.#stale = false;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #askLater(): void {
    this.#timer = this.#clock.after(this.#staleMs / 2, () => {
      this.#ask();
      this.#judgeLater();
    });
  }

  #judgeLater(): void {
    this.#timer = this.#clock.after(this.#staleMs / 2, () => {
      this.#judge();
      this.#askLater();
    });
  }

  #ask(): void {
    this.#handle.read().then(
      (reading) => this.#answered(reading),
      // The port is not open: its owner tells every channel so.
      () => undefined,
    );
  }

  #answered(reading: Reading): void {
    if (this.#closed || !reading.ok || isOld(reading, this.#last)) return;
    const wasStale = this.#stale;
    this.heard(reading);
    if (wasStale) this.#tell(reading);
  }

  #judge(): void {
    const last = this.#last;
    const age = this.#clock.now() - this.#heardAt;
    if (this.#stale || !last?.ok || age < this.#staleMs) return;
    this.#stale = true;
    this.#tell({ ...last, uncertain: `not confirmed by the hardware for ${Math.round(age / 1000)} s` });
  }
}

/** A reading from memory has the source time of the one before. */
function isOld(reading: Reading & { ok: true }, last: Reading | undefined): boolean {
  return last?.ok === true && reading.sourceTime !== undefined && reading.sourceTime === last.sourceTime;
}
