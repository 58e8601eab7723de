import type { Clock, DurationMs, MonotonicMs, Timer } from '../../src/clock/clock.ts';
import type { PortContext, Reading } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { EdgeKind } from './address.ts';
import type { Edge, GpioChannel } from './backend.ts';
import type { ChannelBinding, LineHandle, TellReading } from './line-handle.ts';

const DEFAULT_REPORT_MS: DurationMs = 1000;

/** A channel that counts or measures. Every edge goes into its meter; the result is told at a bounded rate. */
export class MeterBinding implements ChannelBinding {
  readonly #key: string;
  readonly #lines: readonly LineHandle[];
  readonly #meter: Meter;
  readonly #clock: Clock;
  readonly #tell: TellReading;
  readonly #reportMs: DurationMs;
  #timer: Timer | undefined;
  /** The last report; `undefined` after an error. */
  #lastReported: string | undefined;
  #held = false;
  /** Edges may have come before the lines were held: after a loss, or when the count goes on from an earlier run. */
  #mayHaveMissed: boolean;
  /** Counters: the count at the beginning of the time over which the next rate is measured. */
  #rateStart: { at: MonotonicMs; value: number };
  #rate = 0;

  constructor(channel: GpioChannel, lines: readonly LineHandle[], context: PortContext, tell: TellReading) {
    this.#key = channel.key;
    this.#lines = lines;
    this.#clock = context.clock;
    this.#tell = tell;
    this.#reportMs = channel.address.report ?? DEFAULT_REPORT_MS;
    this.#mayHaveMissed = channel.openingValue !== undefined;
    const meter = createMeter(channel, lines, context);
    this.#meter = meter;
    this.#rateStart = this.#sample();
    if (meter.set) this.preset = (value) => this.#preset(value);
    lines.forEach((line, index) => {
      line.addUser({
        edge: (edge) => {
          // The first edge after a rest: the rate is measured from here.
          if (!this.#timer) this.#rateStart = this.#sample();
          meter.edge(index, edge, this.#clock.now());
          this.#scheduleReport();
        },
        reading: (reading) => this.#onLineReading(reading),
      });
    });
  }

  readonly preset?: (value: RawValue) => void;

  read(): Reading {
    for (const line of this.#lines) {
      const reading = line.read();
      if (!reading.ok) return reading;
    }
    const { value, uncertain } = this.#meter.value(this.#clock.now());
    const rate = this.#meter.set && { rate: this.#rate };
    return uncertain === undefined ? { ok: true, value, ...rate } : { ok: true, value, uncertain, ...rate };
  }

  outputLine(): LineHandle {
    throw new DcsError('READ_ONLY', `${this.#key} is measured, not driven`);
  }

  close(): void {
    this.#timer?.cancel();
  }

  #preset(value: RawValue): void {
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      throw new DcsError('BAD_VALUE', `${this.#key} counts in whole numbers`, { found: value });
    }
    // A preset makes the pin good, but edges are lost while a line is.
    const present = this.read();
    if (!present.ok) throw present.error;
    const before = this.#sample().value;
    this.#meter.set?.(value);
    this.#rateStart = { at: this.#rateStart.at, value: this.#rateStart.value + value - before };
    this.#markReported(this.read());
  }

  /** Errors are told at once, and so is their end. */
  #onLineReading(reading: Reading): void {
    if (!reading.ok) {
      this.#held = false;
      this.#lastReported = undefined;
      this.#tell(reading);
    } else if (!this.#held) {
      const levels = this.#lines.map((line) => line.read()).flatMap((one) => (one.ok ? [one.value === true] : []));
      if (levels.length < this.#lines.length) return;
      this.#meter.linesHeld(levels, this.#mayHaveMissed);
      this.#held = true;
      this.#mayHaveMissed = true;
      this.#report();
    }
  }

  #scheduleReport(): void {
    this.#timer ??= this.#clock.after(this.#reportMs, () => {
      this.#timer = undefined;
      this.#measureRate();
      this.#report();
    });
  }

  /** Over the time since the last report, or since the first edge after a rest. */
  #measureRate(): void {
    if (!this.#meter.set) return;
    const { at, value } = this.#rateStart;
    this.#rateStart = this.#sample();
    // Six digits: the others would be noise of the clock.
    this.#rate = Number((((this.#rateStart.value - value) * 1000) / (this.#rateStart.at - at)).toPrecision(6));
  }

  #sample(): { at: MonotonicMs; value: number } {
    const at = this.#clock.now();
    // Reading a frequency starts its next measurement; only counters have a rate.
    return { at, value: this.#meter.set ? this.#meter.value(at).value : 0 };
  }

  #report(): void {
    const reading = this.read();
    if (reading.ok && reportedPart(reading) === this.#lastReported) return;
    this.#markReported(reading);
    this.#tell(reading);
  }

  #markReported(reading: Reading): void {
    if (!reading.ok) return;
    this.#lastReported = reportedPart(reading);
    this.#meter.reported?.();
    // A rate, an uncertainty or a frequency that ends by itself is reported once more.
    const { value, uncertain, rate } = reading;
    if ((this.#meter.decays && value !== 0) || rate || (uncertain !== undefined && this.#meter.reported))
      this.#scheduleReport();
  }
}

function reportedPart({ value, uncertain, rate }: Reading & { ok: true }): string {
  return JSON.stringify([value, uncertain, rate]);
}

/** Turns the edges of one or two lines into a value. */
export interface Meter {
  /** Line 0 is the pin's own; line 1 is the second line (B) of an encoder. */
  edge(line: number, edge: Edge, now: MonotonicMs): void;
  /** Its lines are held, at these levels. `missed`: edges may have come that it did not see. */
  linesHeld(levels: readonly boolean[], missed: boolean): void;
  value(now: MonotonicMs): { readonly value: number; readonly uncertain?: string };
  /** The value changes with time alone: a frequency falls while no edge comes. */
  readonly decays?: true;
  /** Sets a count or position; such a meter has a rate. `undefined` for measurements. */
  set?(value: number): void;
  /** The value has been reported: what made it uncertain until now is over. */
  reported?(): void;
}

/** Creates the meter that a channel's address asks for. */
export function createMeter(
  { address, openingValue }: GpioChannel,
  lines: readonly LineHandle[],
  context: PortContext,
): Meter {
  const from = typeof openingValue === 'number' ? openingValue : 0;
  const watched = lines[0]?.edges ?? 'both';
  if (address.count !== undefined) return countingMeter(new EdgeCounter(address.count, watched, from));
  if (address.encoder !== undefined) return encoderMeter(from, context);
  if (address.measure === 'frequency') {
    let meter = new FrequencyMeter(watched);
    return {
      edge: (_line, edge, now) => meter.edge(edge, now),
      linesHeld() {
        meter = new FrequencyMeter(watched);
      },
      value: (now) => ({ value: meter.read(now) }),
      decays: true,
    };
  }
  const meter = new PulseWidthMeter(address.measure === 'high-time');
  return {
    edge: (_line, edge) => meter.edge(edge),
    linesHeld: () => meter.reset(),
    value: () => (meter.seconds === undefined ? { value: 0, uncertain: 'no pulse yet' } : { value: meter.seconds }),
  };
}

/** Counts edges. The kernel numbers them, so dropped ones are counted too, and make the value uncertain once. */
function countingMeter(edges: EdgeCounter): Meter {
  let overrun = 0;
  let resumed = false;
  const uncertainty = () => {
    if (overrun > 0) return `overrun: ${overrun} edges came too fast to be seen, and are counted unseen`;
    return resumed ? 'resumed: edges from the time without counting are missing' : undefined;
  };
  return {
    edge(_line, edge) {
      overrun += edge.lost;
      edges.edge(edge);
    },
    linesHeld(_levels, missed) {
      resumed = missed;
    },
    value: () => withReason(edges.value, uncertainty()),
    set(value) {
      overrun = 0;
      resumed = false;
      edges.value = value;
    },
    reported() {
      overrun = 0;
      resumed = false;
    },
  };
}

function encoderMeter(from: number, { count }: PortContext): Meter {
  const levels = [false, false];
  let position = new Quadrature(false, false, from);
  let unknown = 0;
  let resumed = false;
  // Until the position is set: only the user knows it.
  const uncertainty = () => {
    if (unknown > 0) return `overrun: the direction of ${unknown} steps is unknown; set the position`;
    return resumed ? 'resumed: it may have moved while it was not watched; set the position' : undefined;
  };
  return {
    edge(line, { rising, lost }) {
      levels[line] = rising;
      const before = position.errors;
      position.move(levels[0] ?? false, levels[1] ?? false);
      // A lost step has no known direction, so it cannot be corrected.
      const more = position.errors - before + lost;
      if (more > 0) count('encoder_steps_lost', more);
      unknown += more;
    },
    linesHeld([a = false, b = false], missed) {
      levels[0] = a;
      levels[1] = b;
      position = new Quadrature(a, b, position.value);
      resumed ||= missed;
    },
    value: () => withReason(position.value, uncertainty()),
    set(value) {
      unknown = 0;
      resumed = false;
      position.value = value;
    },
  };
}

function withReason(value: number, uncertain: string | undefined): { value: number; uncertain?: string } {
  return uncertain === undefined ? { value } : { value, uncertain };
}

/**
 * Number of rising and of falling edges among those lost before this one. Rising and falling edges alternate, so the edges
 * around a gap tell its content when both are watched. With one kind watched all were of that kind.
 */
export function lostByKind({ rising, lost }: Edge, watched: EdgeKind): { rising: number; falling: number } {
  if (watched === 'rising') return { rising: lost, falling: 0 };
  if (watched === 'falling') return { rising: 0, falling: lost };
  const opposite = Math.ceil(lost / 2);
  const same = lost - opposite;
  return rising ? { rising: same, falling: opposite } : { rising: opposite, falling: same };
}

/** Counts edges, lost ones included. */
export class EdgeCounter {
  value: number;
  readonly #kind: EdgeKind;
  readonly #watched: EdgeKind;

  /** `watched`: the edges that the line reports, a superset of `kind`. */
  constructor(kind: EdgeKind, watched: EdgeKind, start: number) {
    this.#kind = kind;
    this.#watched = watched;
    this.value = start;
  }

  edge(edge: Edge): void {
    const lost = lostByKind(edge, this.#watched);
    if (this.#kind !== 'falling') this.value += lost.rising + (edge.rising ? 1 : 0);
    if (this.#kind !== 'rising') this.value += lost.falling + (edge.rising ? 0 : 1);
  }
}

/** Time without an edge after which a frequency is 0. */
const SILENCE_MS: DurationMs = 10_000;

/** Frequency in Hz from the kernel's time stamps of rising edges. */
export class FrequencyMeter {
  readonly #watched: EdgeKind;
  #first: MonotonicMs | undefined;
  #last: MonotonicMs = 0;
  #periods = 0;
  /** On the reader's clock: while no edge comes there is no time stamp either. */
  #lastEdgeSeenAt: MonotonicMs = 0;
  #hz = 0;

  constructor(watched: EdgeKind) {
    this.#watched = watched;
  }

  edge(edge: Edge, now: MonotonicMs): void {
    const periods = lostByKind(edge, this.#watched).rising + (edge.rising ? 1 : 0);
    if (this.#first !== undefined) this.#periods += periods;
    if (!edge.rising) return;
    this.#first ??= edge.at;
    this.#last = edge.at;
    this.#lastEdgeSeenAt = now;
  }

  /** Hz since the last call. Without a new edge it falls with time, and is 0 after 10 s. */
  read(now: MonotonicMs): number {
    if (this.#first !== undefined && this.#last > this.#first && this.#periods > 0) {
      this.#hz = (this.#periods * 1000) / (this.#last - this.#first);
      this.#first = this.#last;
      this.#periods = 0;
      return this.#hz;
    }
    const silence = now - this.#lastEdgeSeenAt;
    if (silence >= SILENCE_MS) {
      this.#first = undefined;
      this.#periods = 0;
      this.#hz = 0;
    } else if (silence > 0) this.#hz = Math.min(this.#hz, 1000 / silence);
    return this.#hz;
  }
}

/** Seconds of the last complete high or low level. */
export class PulseWidthMeter {
  seconds: number | undefined;
  readonly #high: boolean;
  #startedAt: MonotonicMs | undefined;

  constructor(high: boolean) {
    this.#high = high;
  }

  /** Forgets the level under way: edges were lost, so its end cannot be matched to its beginning. */
  reset(): void {
    this.#startedAt = undefined;
  }

  edge({ rising, lost, at }: Edge): void {
    if (lost > 0) this.reset();
    if (rising === this.#high) this.#startedAt = at;
    else if (this.#startedAt !== undefined) {
      this.seconds = (at - this.#startedAt) / 1000;
      this.#startedAt = undefined;
    }
  }
}

/** Steps of a quadrature encoder by its last and its present state (A is 2, B is 1). 0: no step, or an impossible one. */
const STEPS = [0, -1, 1, 0, 1, 0, 0, -1, -1, 0, 0, 1, 0, 1, -1, 0];

/** Position of a quadrature encoder in quarter steps: up while A leads B. */
export class Quadrature {
  value: number;
  /** Steps without a known direction. */
  errors = 0;
  #state: number;

  constructor(a: boolean, b: boolean, start: number) {
    this.#state = stateOf(a, b);
    this.value = start;
  }

  /** The present levels of both lines. */
  move(a: boolean, b: boolean): void {
    const state = stateOf(a, b);
    const step = STEPS[this.#state * 4 + state] ?? 0;
    if (step === 0 && state !== this.#state) this.errors++;
    this.#state = state;
    this.value += step;
  }
}

function stateOf(a: boolean, b: boolean): number {
  return (a ? 2 : 0) + (b ? 1 : 0);
}
