import type { Clock, MonotonicMs, Timer } from '../../src/clock/clock.ts';
import type { PortContext, Reading, ReadingListener } from '../../src/driver/contract.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { GpioChannel } from './backend.ts';
import type { LineHandle } from './line-handle.ts';
import { type ChannelBinding, Listeners } from './line-handle.ts';

/** Drives a line. Throws a DcsError. */
export type DriveLine = (slot: LineHandle, high: boolean) => void;

/**
 * An output that is switched on and off by this process: for heaters and valves, not for motors. An edge comes when the
 * event loop has time, usually within 2 ms of when it is due; edges are due at fixed times, so being late does not add up.
 * When the port ends, the line is left off: nobody is there to switch it.
 */
export class SoftwarePwm implements ChannelBinding {
  readonly #key: string;
  readonly #line: LineHandle;
  readonly #clock: Clock;
  readonly #log: PortContext['log'];
  readonly #drive: DriveLine;
  readonly #periodMs: number;
  readonly #openingValue: RawValue | undefined;
  readonly #returnValue: GpioChannel['returnValue'];
  readonly #listeners = new Listeners();
  /** The line has been had before. */
  #wasHeld = false;
  /** Undefined: nothing asked for yet, or the line was lost. */
  #dutyCycle: number | undefined;
  #timer: Timer | undefined;
  #error: DcsError | undefined;
  #maxLateMs = 0;

  constructor(
    { key, address, openingValue: start, returnValue: again }: GpioChannel,
    slot: LineHandle,
    context: PortContext,
    drive: DriveLine,
  ) {
    this.#key = key;
    this.#line = slot;
    this.#clock = context.clock;
    this.#log = context.log;
    this.#drive = drive;
    this.#periodMs = 1000 / (address.pwm ?? 1);
    this.#openingValue = start;
    this.#returnValue = again;
    context.log.info(
      { channel: key },
      `${key}: switched by software, ${address.pwm} Hz, each edge up to some 2 ms late`,
    );
    slot.addUser({ reading: (reading) => this.#onLineReading(reading) });
  }

  get maxLateMs(): number {
    return this.#maxLateMs;
  }

  read(): Reading {
    if (this.#error) return { ok: false, error: this.#error };
    if (this.#dutyCycle !== undefined) return { ok: true, value: this.#dutyCycle };
    const level = this.#line.read();
    return level.ok ? { ok: true, value: level.value === true ? 1 : 0 } : level;
  }

  outputLine(): LineHandle {
    throw new DcsError('BAD_VALUE', `${this.#key} takes a share of on-time, 0 to 1`);
  }

  /** From now on the line is on for this share of each period. Throws a DcsError. */
  setDutyCycle(value: RawValue): void {
    if (typeof value !== 'number') {
      throw new DcsError('BAD_VALUE', `${this.#key} takes a number`, { found: value, expected: '0 to 1' });
    }
    if (!(value >= 0 && value <= 1)) {
      throw new DcsError('OUT_OF_RANGE', `${this.#key}: a share of on-time is 0 to 1`, {
        found: value,
        expected: '0 to 1',
      });
    }
    const begun = this.#clock.now();
    // What cannot be driven leaves all as it was, with the edges that are to come.
    this.#switch(value > 0, begun);
    this.#timer?.cancel();
    this.#error = undefined;
    this.#dutyCycle = value;
    if (value > 0 && value < 1) this.#scheduleEdge(begun + value * this.#periodMs, false, value);
    this.#listeners.tell(this.read());
  }

  subscribe(listener: ReadingListener): () => void {
    return this.#listeners.add(listener, () => this.read());
  }

  close(): void {
    this.#listeners.clear();
    this.#timer?.cancel();
    if (this.#dutyCycle === undefined || this.#dutyCycle === 0 || this.#dutyCycle === 1) return;
    try {
      this.#drive(this.#line, false);
    } catch (thrown) {
      this.#log.warn({ err: thrown }, `${this.#key} could not be switched off: ${toDcsError(thrown).message}`);
    }
  }

  /** The edge comes somewhere before the call returns, so it is taken to be as late as that. */
  #switch(high: boolean, due: MonotonicMs): void {
    this.#drive(this.#line, high);
    this.#maxLateMs = Math.max(this.#maxLateMs, this.#clock.now() - due);
  }

  #scheduleEdge(due: MonotonicMs, high: boolean, share: number): void {
    this.#timer = this.#clock.after(Math.max(0, due - this.#clock.now()), () => {
      try {
        this.#switch(high, due);
      } catch (thrown) {
        this.#markLost(toDcsError(thrown));
        this.#scheduleRecovery();
        return;
      }
      const next = due + (high ? share : 1 - share) * this.#periodMs;
      // After a standstill of the process the missed periods are not made up for.
      this.#scheduleEdge(next < this.#clock.now() - this.#periodMs ? this.#clock.now() : next, !high, share);
    });
  }

  /** An edge failed and the line may be on, but is still held: it is driven as after a loss, else off, once that works. */
  #scheduleRecovery(): void {
    this.#timer = this.#clock.after(this.#periodMs, () => {
      try {
        const value = this.#returnValue?.();
        if (typeof value === 'number') this.setDutyCycle(value);
        else {
          this.#drive(this.#line, false);
          this.#error = undefined;
          this.#listeners.tell(this.read());
        }
      } catch {
        // Its reading has said so since the edge failed.
        this.#scheduleRecovery();
      }
    });
  }

  /** What the slot says of its line: lost, or taken (again). Its levels are our own doing. */
  #onLineReading(reading: Reading): void {
    if (!reading.ok) {
      this.#markLost(reading.error);
    } else if (this.#dutyCycle === undefined) {
      this.#error = undefined;
      const start = this.#wasHeld ? this.#returnValue?.() : this.#openingValue;
      this.#wasHeld = true;
      // From the event loop: the port is still taking its lines.
      if (typeof start === 'number') setImmediate(() => this.#begin(start));
      else this.#listeners.tell(this.read());
    }
  }

  #begin(start: number): void {
    if (this.#dutyCycle !== undefined) return;
    try {
      this.setDutyCycle(start);
    } catch (thrown) {
      this.#markLost(toDcsError(thrown));
    }
  }

  #markLost(error: DcsError): void {
    this.#timer?.cancel();
    this.#dutyCycle = undefined;
    this.#error = error;
    this.#listeners.tell({ ok: false, error });
  }
}
