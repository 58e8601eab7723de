import type { DurationMs, MonotonicMs } from '../../src/clock/clock.ts';
import type { EdgeKind } from './address.ts';
import type { Edge } from './backend.ts';

/**
 * How many of the edges lost before this one were rising, and how many falling. Rising and falling alternate, so with
 * both watched the edges around a gap say exactly what was in it; with one kind watched, all were of that kind.
 */
export function lostByKind({ rising, lost }: Edge, watched: EdgeKind): { rising: number; falling: number } {
  if (watched === 'rising') return { rising: lost, falling: 0 };
  if (watched === 'falling') return { rising: 0, falling: lost };
  const opposite = Math.ceil(lost / 2);
  const same = lost - opposite;
  return rising ? { rising: same, falling: opposite } : { rising: opposite, falling: same };
}

/** Counts edges, the lost ones too: a total is right although its parts were not seen. */
export class EdgeCounter {
  value: number;
  readonly #kind: EdgeKind;
  readonly #watched: EdgeKind;

  /** `watched`: which edges the line signals, a superset of `kind`. */
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

/** Longest time without an edge before a frequency is called 0. */
const SILENCE_MS: DurationMs = 10_000;

/** Frequency in Hz from the stamps of rising edges: periods per time they took, not edges per second of ours. */
export class FrequencyMeter {
  readonly #watched: EdgeKind;
  #first: MonotonicMs | undefined;
  #last: MonotonicMs = 0;
  #periods = 0;
  /** Silence is measured on the reader's clock: no edge brings a stamp. */
  #heardAt: MonotonicMs = 0;
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
    this.#heardAt = now;
  }

  /** Hz since the last call. Without a new edge it falls as the time without one grows, and is 0 after 10 s. */
  read(now: MonotonicMs): number {
    if (this.#first !== undefined && this.#last > this.#first && this.#periods > 0) {
      this.#hz = (this.#periods * 1000) / (this.#last - this.#first);
      this.#first = this.#last;
      this.#periods = 0;
      return this.#hz;
    }
    const silence = now - this.#heardAt;
    if (silence >= SILENCE_MS) {
      this.#first = undefined;
      this.#periods = 0;
      this.#hz = 0;
    } else if (silence > 0) this.#hz = Math.min(this.#hz, 1000 / silence);
    return this.#hz;
  }
}

/** Seconds of the last level that was seen from its first to its last edge. */
export class WidthMeter {
  seconds: number | undefined;
  readonly #high: boolean;
  #began: MonotonicMs | undefined;

  constructor(high: boolean) {
    this.#high = high;
  }

  /** Something was lost in between: what began is not what ends next. */
  interrupted(): void {
    this.#began = undefined;
  }

  edge({ rising, lost, at }: Edge): void {
    if (lost > 0) this.interrupted();
    if (rising === this.#high) this.#began = at;
    else if (this.#began !== undefined) {
      this.seconds = (at - this.#began) / 1000;
      this.#began = undefined;
    }
  }
}

/** Steps of a quadrature encoder by its last and its present state (A is 2, B is 1). 0: no step, or an impossible one. */
const STEPS = [0, -1, 1, 0, 1, 0, 0, -1, -1, 0, 0, 1, 0, 1, -1, 0];

/** Position of a quadrature encoder in quarter steps: up while A leads B. */
export class Quadrature {
  value: number;
  /** Steps of which the direction could not be told. */
  errors = 0;
  #state: number;

  constructor(a: boolean, b: boolean, start: number) {
    this.#state = stateOf(a, b);
    this.value = start;
  }

  /** Both lines as they now are. */
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
