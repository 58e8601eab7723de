import type { Clock, MonotonicMs, Timer } from '../../src/clock/clock.ts';
import type { PortContext, Reading, ReadingListener } from '../../src/driver/contract.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { GpioChannel } from './backend.ts';
import { type Endpoint, Listeners } from './endpoint.ts';
import type { LineSlot } from './line-slot.ts';

/** Drives a line. Throws a DcsError. */
export type Drive = (slot: LineSlot, high: boolean) => void;

/**
 * An output that is switched on and off by this process: for heaters and valves, not for motors. An edge comes when the
 * event loop has time, usually within 2 ms of when it is due; edges are due at fixed times, so being late does not add up.
 * When the port ends, the line is left off: nobody is there to switch it.
 */
export class PwmChannel implements Endpoint {
  readonly #key: string;
  readonly #slot: LineSlot;
  readonly #clock: Clock;
  readonly #log: PortContext['log'];
  readonly #drive: Drive;
  readonly #periodMs: number;
  readonly #start: RawValue | undefined;
  readonly #again: GpioChannel['returnValue'];
  readonly #listeners = new Listeners();
  /** The line has been had before. */
  #wasHeld = false;
  /** Undefined: nothing asked for yet, or the line was lost. */
  #share: number | undefined;
  #timer: Timer | undefined;
  #error: DcsError | undefined;
  #lateMs = 0;

  constructor(
    { key, address, openingValue: start, returnValue: again }: GpioChannel,
    slot: LineSlot,
    context: PortContext,
    drive: Drive,
  ) {
    this.#key = key;
    this.#slot = slot;
    this.#clock = context.clock;
    this.#log = context.log;
    this.#drive = drive;
    this.#periodMs = 1000 / (address.pwm ?? 1);
    this.#start = start;
    this.#again = again;
    context.log.info(
      { channel: key },
      `${key}: switched by software, ${address.pwm} Hz, each edge up to some 2 ms late`,
    );
    slot.use({ reading: (reading) => this.#slotTold(reading) });
  }

  get lateMs(): number {
    return this.#lateMs;
  }

  look(): Reading {
    if (this.#error) return { ok: false, error: this.#error };
    if (this.#share !== undefined) return { ok: true, value: this.#share };
    const level = this.#slot.look();
    return level.ok ? { ok: true, value: level.value === true ? 1 : 0 } : level;
  }

  output(): LineSlot {
    throw new DcsError('BAD_VALUE', `${this.#key} takes a share of on-time, 0 to 1`);
  }

  /** From now on the line is on for this share of each period. Throws a DcsError. */
  modulate(value: RawValue): void {
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
    this.#share = value;
    if (value > 0 && value < 1) this.#edgeAt(begun + value * this.#periodMs, false, value);
    this.#listeners.tell(this.look());
  }

  subscribe(listener: ReadingListener): () => void {
    return this.#listeners.add(listener, () => this.look());
  }

  end(): void {
    this.#listeners.clear();
    this.#timer?.cancel();
    if (this.#share === undefined || this.#share === 0 || this.#share === 1) return;
    try {
      this.#drive(this.#slot, false);
    } catch (thrown) {
      this.#log.warn({ err: thrown }, `${this.#key} could not be switched off: ${toDcsError(thrown).message}`);
    }
  }

  /** The edge comes somewhere before the call returns, so it is taken to be as late as that. */
  #switch(high: boolean, due: MonotonicMs): void {
    this.#drive(this.#slot, high);
    this.#lateMs = Math.max(this.#lateMs, this.#clock.now() - due);
  }

  #edgeAt(due: MonotonicMs, high: boolean, share: number): void {
    this.#timer = this.#clock.after(Math.max(0, due - this.#clock.now()), () => {
      try {
        this.#switch(high, due);
      } catch (thrown) {
        this.#lost(toDcsError(thrown));
        this.#recoverSoon();
        return;
      }
      const next = due + (high ? share : 1 - share) * this.#periodMs;
      // After a standstill of the process the missed periods are not made up for.
      this.#edgeAt(next < this.#clock.now() - this.#periodMs ? this.#clock.now() : next, !high, share);
    });
  }

  /** An edge failed and the line may be on, but is still held: it is driven as after a loss, else off, once that works. */
  #recoverSoon(): void {
    this.#timer = this.#clock.after(this.#periodMs, () => {
      try {
        const value = this.#again?.();
        if (typeof value === 'number') this.modulate(value);
        else {
          this.#drive(this.#slot, false);
          this.#error = undefined;
          this.#listeners.tell(this.look());
        }
      } catch {
        // Its reading has said so since the edge failed.
        this.#recoverSoon();
      }
    });
  }

  /** What the slot says of its line: lost, or taken (again). Its levels are our own doing. */
  #slotTold(reading: Reading): void {
    if (!reading.ok) {
      this.#lost(reading.error);
    } else if (this.#share === undefined) {
      this.#error = undefined;
      const start = this.#wasHeld ? this.#again?.() : this.#start;
      this.#wasHeld = true;
      // From the event loop: the port is still taking its lines.
      if (typeof start === 'number') setImmediate(() => this.#begin(start));
      else this.#listeners.tell(this.look());
    }
  }

  #begin(start: number): void {
    if (this.#share !== undefined) return;
    try {
      this.modulate(start);
    } catch (thrown) {
      this.#lost(toDcsError(thrown));
    }
  }

  #lost(error: DcsError): void {
    this.#timer?.cancel();
    this.#share = undefined;
    this.#error = error;
    this.#listeners.tell({ ok: false, error });
  }
}
