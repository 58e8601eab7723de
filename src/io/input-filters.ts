import type { Clock, DurationMs, MonotonicMs, Timer, UnixSeconds } from '../clock/clock.ts';
import type { Reading, ReadingListener } from '../driver/contract.ts';
import type { RawValue } from '../pin/pin.ts';
import type { ChannelHandle } from './port-runner.ts';

/**
 * Emits a level once it has been stable for `stillMs`. It reads the hardware at that moment, because the edge that ended
 * the bounce may have been lost. The first reading and failures are emitted at once.
 */
export class Debouncer {
  readonly #clock: Clock;
  readonly #stillMs: number;
  readonly #read: () => Promise<Reading>;
  readonly #emit: ReadingListener;
  #timer: Timer | undefined;
  #settled = false;
  #closed = false;

  constructor(clock: Clock, stillMs: number, read: () => Promise<Reading>, pass: ReadingListener) {
    this.#clock = clock;
    this.#stillMs = stillMs;
    this.#read = read;
    this.#emit = pass;
  }

  onReading(reading: Reading): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    // A read under way is outdated by this reading too.
    this.#timer = undefined;
    if (!reading.ok || !this.#settled) {
      this.#settled = reading.ok;
      this.#emit(reading);
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
        // The time of the edge holds when the level is still the one of that edge.
        const same = now.ok && seen.ok && now.value === seen.value;
        this.#emit(same ? seen : now);
      },
      // The port went down meanwhile. Its runner tells every channel.
      () => undefined,
    );
  }
}

/**
 * Makes a value uncertain that the hardware has not confirmed for `staleMs`. A port tells changes only, so the monitor reads
 * the value at half that time: a constant value stays good. A reading from the port's memory confirms nothing.
 */
export class StalenessMonitor {
  readonly #clock: Clock;
  readonly #staleMs: DurationMs;
  readonly #handle: ChannelHandle;
  readonly #emit: (reading: Reading) => void;
  /** The last value of the hardware, read or written. */
  #lastReading: Reading | undefined;
  /** Source time of the last reading; a write has none. */
  #lastSourceTime: UnixSeconds | undefined;
  #confirmedAt: MonotonicMs;
  #stale = false;
  #closed = false;
  #timer: Timer | undefined;

  constructor(clock: Clock, staleMs: DurationMs, handle: ChannelHandle, tell: (reading: Reading) => void) {
    this.#clock = clock;
    this.#staleMs = staleMs;
    this.#handle = handle;
    this.#emit = tell;
    this.#confirmedAt = clock.now();
    this.#scheduleRead();
  }

  /** Takes over a reading of the port. */
  onReading(reading: Reading): void {
    if (reading.ok) this.#lastSourceTime = reading.sourceTime;
    this.#confirm(reading);
  }

  /** Takes over the value that the hardware has after a write: it is not told again. */
  onWritten(value: RawValue): void {
    this.#confirm({ ok: true, value });
  }

  #confirm(reading: Reading): void {
    this.#lastReading = reading;
    this.#confirmedAt = this.#clock.now();
    this.#stale = false;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #scheduleRead(): void {
    this.#timer = this.#clock.after(this.#staleMs / 2, () => {
      this.#read();
      this.#scheduleCheck();
    });
  }

  #scheduleCheck(): void {
    this.#timer = this.#clock.after(this.#staleMs / 2, () => {
      this.#checkAge();
      this.#scheduleRead();
    });
  }

  #read(): void {
    const before = this.#lastReading;
    this.#handle.read().then(
      (reading) => {
        // A write or a newer reading may have come meanwhile: this one is then from before it.
        if (this.#lastReading === before) this.#onAnswer(reading);
      },
      // The port is not open. Its runner tells every channel.
      () => undefined,
    );
  }

  #onAnswer(reading: Reading): void {
    if (this.#closed || !reading.ok || this.#isFromMemory(reading)) return;
    const wasStale = this.#stale;
    this.onReading(reading);
    if (wasStale) this.#emit(reading);
  }

  #checkAge(): void {
    const last = this.#lastReading;
    const age = this.#clock.now() - this.#confirmedAt;
    if (this.#stale || !last?.ok || age < this.#staleMs) return;
    this.#stale = true;
    this.#emit({ ...last, uncertain: `not confirmed by the hardware for ${Math.round(age / 1000)} s` });
  }

  /** Returns whether a reading is from the port's memory: it then has the source time of the last one. */
  #isFromMemory({ sourceTime }: Reading & { ok: true }): boolean {
    return sourceTime !== undefined && sourceTime === this.#lastSourceTime;
  }
}
