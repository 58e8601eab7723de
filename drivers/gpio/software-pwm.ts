import type { Clock, MonotonicMs, Timer } from '../../src/clock/clock.ts';
import type { PortContext, Reading } from '../../src/driver/contract.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { GpioChannel } from './backend.ts';
import type { ChannelBinding, LineHandle, TellReading } from './line-handle.ts';

/** Drives a line. Throws a DcsError. */
export type DriveLine = (line: LineHandle, high: boolean) => void;

/**
 * Software PWM: this process switches the output on and off. Good for heaters and valves, too slow for motors. An edge comes
 * when the event loop has time, usually within 2 ms of its due time; due times are fixed, so delays do not add up. The line is
 * left off when the port closes, because nothing would switch it then.
 */
export class SoftwarePwm implements ChannelBinding {
  readonly #key: string;
  readonly #line: LineHandle;
  readonly #clock: Clock;
  readonly #log: PortContext['log'];
  readonly #drive: DriveLine;
  readonly #tell: TellReading;
  readonly #periodMs: number;
  readonly #openingValue: RawValue | undefined;
  readonly #returnValue: GpioChannel['returnValue'];
  /** The line has been held before. */
  #wasHeld = false;
  /** `undefined` until a duty cycle is set, and after the line was lost. */
  #dutyCycle: number | undefined;
  #timer: Timer | undefined;
  #error: DcsError | undefined;
  #maxLateMs = 0;
  #closed = false;

  constructor(channel: GpioChannel, line: LineHandle, context: PortContext, drive: DriveLine, tell: TellReading) {
    const { key, address } = channel;
    this.#key = key;
    this.#line = line;
    this.#clock = context.clock;
    this.#log = context.log;
    this.#drive = drive;
    this.#tell = tell;
    this.#periodMs = 1000 / (address.pwm ?? 1);
    this.#openingValue = channel.openingValue;
    this.#returnValue = channel.returnValue;
    context.log.info({ channel: key }, `${key}: software PWM, ${address.pwm} Hz, each edge up to some 2 ms late`);
    line.addUser({ reading: (reading) => this.#onLineReading(reading) });
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
    throw new DcsError('BAD_VALUE', `${this.#key} takes a duty cycle, 0 to 1`);
  }

  setDutyCycle(value: RawValue): void {
    if (typeof value !== 'number') {
      throw new DcsError('BAD_VALUE', `${this.#key} takes a number`, { found: value, expected: '0 to 1' });
    }
    if (!(value >= 0 && value <= 1)) {
      throw new DcsError('OUT_OF_RANGE', `${this.#key}: a duty cycle is 0 to 1`, { found: value, expected: '0 to 1' });
    }
    const begun = this.#clock.now();
    // First: when the line cannot be driven, the edges of the present duty cycle go on.
    this.#switch(value > 0, begun);
    this.#timer?.cancel();
    this.#error = undefined;
    this.#dutyCycle = value;
    if (value > 0 && value < 1) this.#scheduleEdge(begun + value * this.#periodMs, false, value);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    if (this.#dutyCycle === undefined || this.#dutyCycle === 0 || this.#dutyCycle === 1) return;
    try {
      this.#drive(this.#line, false);
    } catch (thrown) {
      this.#log.warn({ err: thrown }, `${this.#key} could not be switched off: ${toDcsError(thrown).message}`);
    }
  }

  /** Drives the line. The edge comes somewhere within the call, so its delay includes the whole call. */
  #switch(high: boolean, due: MonotonicMs): void {
    this.#drive(this.#line, high);
    this.#maxLateMs = Math.max(this.#maxLateMs, this.#clock.now() - due);
  }

  #scheduleEdge(due: MonotonicMs, high: boolean, dutyCycle: number): void {
    this.#timer = this.#clock.after(Math.max(0, due - this.#clock.now()), () => {
      try {
        this.#switch(high, due);
      } catch (thrown) {
        this.#markLost(toDcsError(thrown));
        this.#scheduleRecovery();
        return;
      }
      const next = due + (high ? dutyCycle : 1 - dutyCycle) * this.#periodMs;
      // Periods missed while the event loop was blocked are not made up for.
      this.#scheduleEdge(next < this.#clock.now() - this.#periodMs ? this.#clock.now() : next, !high, dutyCycle);
    });
  }

  /** An edge failed, so the line may be on, but it is still held: drives the return value, else off, once that works. */
  #scheduleRecovery(): void {
    this.#timer = this.#clock.after(this.#periodMs, () => {
      try {
        const value = this.#returnValue?.();
        if (typeof value === 'number') this.setDutyCycle(value);
        else {
          this.#drive(this.#line, false);
          this.#error = undefined;
        }
        this.#tell(this.read());
      } catch {
        // The reading has been bad since the edge failed, with the reason.
        this.#scheduleRecovery();
      }
    });
  }

  /** The line was lost, or requested (again). Its levels are of no interest: this object makes them. */
  #onLineReading(reading: Reading): void {
    if (!reading.ok) {
      this.#markLost(reading.error);
    } else if (this.#dutyCycle === undefined) {
      this.#error = undefined;
      const value = this.#wasHeld ? this.#returnValue?.() : this.#openingValue;
      this.#wasHeld = true;
      // In a later turn of the event loop: the port is still requesting its lines.
      if (typeof value === 'number') setImmediate(() => this.#start(value));
      else this.#tell(this.read());
    }
  }

  #start(value: number): void {
    if (this.#dutyCycle !== undefined || this.#closed) return;
    try {
      this.setDutyCycle(value);
      this.#tell(this.read());
    } catch (thrown) {
      this.#markLost(toDcsError(thrown));
    }
  }

  #markLost(error: DcsError): void {
    this.#timer?.cancel();
    this.#dutyCycle = undefined;
    this.#error = error;
    this.#tell({ ok: false, error });
  }
}
