import type { Clock, DurationMs, MonotonicMs, Timer } from '../../src/clock/clock.ts';
import type { PortContext, Reading, ReadingListener } from '../../src/driver/driver.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { Edge, GpioChannel } from './backend.ts';
import { type Endpoint, Listeners } from './endpoint.ts';
import type { LineSlot } from './line-slot.ts';
import { EdgeCounter, FrequencyMeter, Quadrature, WidthMeter } from './meters.ts';

const USUAL_REPORT_MS: DurationMs = 1000;

/** What is made of the edges of one or two lines. */
interface Meter {
  /** Line 0 is the pin's own, line 1 an encoder's second. */
  edge(line: number, edge: Edge, now: MonotonicMs): void;
  /** Levels found by looking, once lines are taken. */
  levels?(levels: readonly boolean[]): void;
  value(now: MonotonicMs): { readonly value: number; readonly doubt?: string };
  /** It changes by time alone: a frequency falls when nothing comes. */
  readonly fades?: true;
  set?(value: number): void;
}

/** A channel that counts or measures: every edge goes in, and what comes out is told at a bounded rate. */
export class MeterChannel implements Endpoint {
  readonly #key: string;
  readonly #slots: readonly LineSlot[];
  readonly #meter: Meter;
  readonly #clock: Clock;
  readonly #reportMs: DurationMs;
  readonly #listeners = new Listeners();
  #timer: Timer | undefined;
  #told: number | undefined;

  constructor(channel: GpioChannel, slots: readonly LineSlot[], context: PortContext) {
    this.#key = channel.key;
    this.#slots = slots;
    this.#clock = context.clock;
    this.#reportMs = channel.address.report ?? USUAL_REPORT_MS;
    const meter = makeMeter(channel, slots, context);
    this.#meter = meter;
    if (meter.set) this.preset = (value) => this.#preset(value);
    slots.forEach((slot, line) => {
      slot.use({
        edge: (edge) => {
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
    return doubt === undefined ? { ok: true, value } : { ok: true, value, uncertain: doubt };
  }

  output(): LineSlot {
    throw new DcsError('READ_ONLY', `${this.#key} is measured, not driven`);
  }

  subscribe(listener: ReadingListener): () => void {
    return this.#listeners.add(listener, () => this.look());
  }

  end(): void {
    this.#timer?.cancel();
    this.#listeners.clear();
  }

  #preset(value: RawValue): void {
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      throw new DcsError('BAD_VALUE', `${this.#key} counts in whole numbers`, { found: value });
    }
    this.#meter.set?.(value);
    this.#tell();
  }

  /** Trouble is told at once, and so is its end. */
  #changed(reading: Reading): void {
    if (!reading.ok) {
      this.#told = undefined;
      this.#listeners.tell(reading);
    } else if (this.#told === undefined) {
      const levels = this.#slots.map((slot) => slot.look()).flatMap((one) => (one.ok ? [one.value === true] : []));
      if (levels.length < this.#slots.length) return;
      this.#meter.levels?.(levels);
      this.#tell();
    }
  }

  #tellSoon(): void {
    this.#timer ??= this.#clock.after(this.#reportMs, () => {
      this.#timer = undefined;
      this.#tell();
    });
  }

  #tell(): void {
    const reading = this.look();
    if (reading.ok && typeof reading.value === 'number') {
      if (reading.value === this.#told) return;
      this.#told = reading.value;
      if (this.#meter.fades && reading.value !== 0) this.#tellSoon();
    }
    this.#listeners.tell(reading);
  }
}

function makeMeter({ address, start }: GpioChannel, slots: readonly LineSlot[], context: PortContext): Meter {
  const from = typeof start === 'number' ? start : 0;
  const watched = slots[0]?.edges ?? 'both';
  if (address.count !== undefined) {
    const counter = new EdgeCounter(address.count, watched, from);
    return {
      edge: (_line, edge) => counter.edge(edge),
      value: () => ({ value: counter.value }),
      set: (value) => {
        counter.value = value;
      },
    };
  }
  if (address.encoder !== undefined) return encoder(from, context);
  if (address.measure === 'frequency') {
    const meter = new FrequencyMeter(watched);
    return {
      edge: (_line, edge, now) => meter.edge(edge, now),
      value: (now) => ({ value: meter.read(now) }),
      fades: true,
    };
  }
  const meter = new WidthMeter(address.measure === 'high-time');
  return {
    edge: (_line, edge) => meter.edge(edge),
    value: () => (meter.seconds === undefined ? { value: 0, doubt: 'no pulse yet' } : { value: meter.seconds }),
  };
}

function encoder(from: number, { count }: PortContext): Meter {
  const levels = [false, false];
  let position = new Quadrature(false, false, from);
  return {
    edge(line, { rising, lost }) {
      levels[line] = rising;
      const before = position.errors;
      position.move(levels[0] ?? false, levels[1] ?? false);
      // A step that was lost cannot be made up for: nobody knows its direction.
      const unknown = position.errors - before + lost;
      if (unknown > 0) count('encoder_steps_lost', unknown);
    },
    levels([a = false, b = false]) {
      levels[0] = a;
      levels[1] = b;
      position = new Quadrature(a, b, position.value);
    },
    value: () => ({ value: position.value }),
    set: (value) => {
      position.value = value;
    },
  };
}
