import type { Clock, DurationMs, MonotonicMs, Timer } from '../../src/clock/clock.ts';
import type { PortContext, Reading, ReadingListener } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { GpioChannel } from './backend.ts';
import { type Endpoint, Listeners } from './endpoint.ts';
import type { LineSlot } from './line-slot.ts';
import { type Meter, makeMeter } from './make-meter.ts';

const USUAL_REPORT_MS: DurationMs = 1000;

/** A channel that counts or measures: every edge goes in, and what comes out is told at a bounded rate. */
export class MeterChannel implements Endpoint {
  readonly #key: string;
  readonly #slots: readonly LineSlot[];
  readonly #meter: Meter;
  readonly #clock: Clock;
  readonly #reportMs: DurationMs;
  readonly #listeners = new Listeners();
  #timer: Timer | undefined;
  /** What was told last; undefined after trouble. */
  #told: string | undefined;
  /** Its lines are held; before they are for the first time there is nothing it could have missed, unless it goes on. */
  #held = false;
  #missed: boolean;
  /** Counters: the count at the beginning of the time the next rate is about. */
  #since: { at: MonotonicMs; value: number };
  #rate = 0;

  constructor(channel: GpioChannel, slots: readonly LineSlot[], context: PortContext) {
    this.#key = channel.key;
    this.#slots = slots;
    this.#clock = context.clock;
    this.#reportMs = channel.address.report ?? USUAL_REPORT_MS;
    this.#missed = channel.openingValue !== undefined;
    const meter = makeMeter(channel, slots, context);
    this.#meter = meter;
    this.#since = this.#now();
    if (meter.set) this.preset = (value) => this.#preset(value);
    slots.forEach((slot, line) => {
      slot.use({
        edge: (edge) => {
          // From rest: the time of the rate begins with this edge.
          if (!this.#timer) this.#since = this.#now();
          meter.edge(line, edge, this.#clock.now());
          this.#tellSoon();
        },
        reading: (reading) => this.#changed(reading),
      });
    });
  }

  readonly preset?: (value: RawValue) => void;

  look(): Reading {
    for (const slot of this.#slots) {
      const reading = slot.look();
      if (!reading.ok) return reading;
    }
    const { value, doubt } = this.#meter.value(this.#clock.now());
    const rate = this.#meter.set && { rate: this.#rate };
    return doubt === undefined ? { ok: true, value, ...rate } : { ok: true, value, uncertain: doubt, ...rate };
  }

  output(): LineSlot {
    throw new DcsError('READ_ONLY', `${this.#key} is measured, not driven`);
  }

  subscribe(listener: ReadingListener): () => void {
    return this.#listeners.add(listener, () => {
      const reading = this.look();
      if (this.#told === undefined) this.#noteTold(reading);
      return reading;
    });
  }

  end(): void {
    this.#timer?.cancel();
    this.#listeners.clear();
  }

  #preset(value: RawValue): void {
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      throw new DcsError('BAD_VALUE', `${this.#key} counts in whole numbers`, { found: value });
    }
    const before = this.#now().value;
    this.#meter.set?.(value);
    this.#since = { at: this.#since.at, value: this.#since.value + value - before };
    this.#tell();
  }

  /** Trouble is told at once, and so is its end. */
  #changed(reading: Reading): void {
    if (!reading.ok) {
      this.#held = false;
      this.#told = undefined;
      this.#listeners.tell(reading);
    } else if (!this.#held) {
      const levels = this.#slots.map((slot) => slot.look()).flatMap((one) => (one.ok ? [one.value === true] : []));
      if (levels.length < this.#slots.length) return;
      this.#meter.held(levels, this.#missed);
      this.#held = true;
      this.#missed = true;
      this.#tell();
    }
  }

  #tellSoon(): void {
    this.#timer ??= this.#clock.after(this.#reportMs, () => {
      this.#timer = undefined;
      this.#measureRate();
      this.#tell();
    });
  }

  /** Over the time since the last report, or since the first edge after a rest. */
  #measureRate(): void {
    if (!this.#meter.set) return;
    const { at, value } = this.#since;
    this.#since = this.#now();
    // More digits than that would be noise of the clock.
    this.#rate = Number((((this.#since.value - value) * 1000) / (this.#since.at - at)).toPrecision(6));
  }

  #now(): { at: MonotonicMs; value: number } {
    const at = this.#clock.now();
    // A frequency is measured by being asked for; only what counts has a rate.
    return { at, value: this.#meter.set ? this.#meter.value(at).value : 0 };
  }

  #tell(): void {
    const reading = this.look();
    if (reading.ok && tellsOf(reading) === this.#told) return;
    if (this.#listeners.any) this.#noteTold(reading);
    this.#listeners.tell(reading);
  }

  #noteTold(reading: Reading): void {
    if (!reading.ok) return;
    this.#told = tellsOf(reading);
    this.#meter.told?.();
    // What ends by itself is told once more: a rate, a doubt, a frequency.
    const { value, uncertain, rate } = reading;
    if ((this.#meter.fades && value !== 0) || rate || (uncertain !== undefined && this.#meter.told)) this.#tellSoon();
  }
}

function tellsOf({ value, uncertain, rate }: Reading & { ok: true }): string {
  return JSON.stringify([value, uncertain, rate]);
}
