import type { UnixSeconds } from '../clock/clock.ts';
import type { Reading, ReadingListener } from '../driver/contract.ts';
import { DcsError, toDcsError } from '../errors/errors.ts';
import { evaluate, type PinSample } from '../expression/expression.ts';
import { type Expression, pinsOf } from '../expression/parse.ts';
import type { LastKnown, PinTable } from '../output/pin-table.ts';
import { fitsKind, type PinSpec } from '../pin/pin.ts';
import type { ChannelHandle } from './port-runner.ts';

/** A pin whose value is computed from other pins. */
export interface ComputedPin {
  readonly spec: PinSpec;
  readonly expression: Expression;
  /** The pins whose quality counts. */
  readonly qualityFrom: readonly string[];
}

const NO_VALUE: PinSample = { val: null, quality: 'bad', reason: 'not read yet' };

/**
 * Evaluates the computed pins of a process. It runs at the end of the turn of the event loop in which a source changes, each
 * pin once and after its own sources: values that were read together are never mixed with older ones.
 *
 * One turn may bring several moments, as when edges have waited in the kernel. A moment ends when a source changes again, or
 * at a later time of the hardware. The pins are evaluated for each, so that rules see an interruption however short it was.
 */
export class ComputedPins {
  readonly #table: PinTable;
  /** Each pin stands after those that it is computed from. */
  readonly #pins: readonly ComputedPin[];
  readonly #listeners = new Map<string, Set<ReadingListener>>();
  readonly #changed = new Set<ComputedPin>();
  readonly #unwatch: (() => void)[] = [];
  #queued = false;
  #evaluating = false;
  /** The sources as last seen. */
  readonly #seen = new Map<string, LastKnown>();
  /** The sources that have changed at this moment, and when they did. */
  readonly #changedNow = new Set<string>();
  #time: UnixSeconds | undefined;
  /** The source that has changed already when the moment before that is evaluated, with its value then. */
  #past: { readonly source: string; readonly value: PinSample } | undefined;

  constructor(pins: readonly ComputedPin[], table: PinTable) {
    this.#table = table;
    this.#pins = sourcesFirst(pins);
    for (const source of new Set(pins.flatMap(({ expression }) => pinsOf(expression)))) {
      const dependents = this.#pins.filter(({ expression }) => pinsOf(expression).includes(source));
      this.#unwatch.push(table.watch(source, () => this.#sourceChanged(source, dependents)));
    }
  }

  close(): void {
    for (const end of this.#unwatch.splice(0)) end();
  }

  /**
   * The access of a pin's actor to its value, in place of a channel of a port. Commands have another way: ScaledOutput.
   * `undefined` for a pin that is not computed.
   */
  handle(name: string, port: string): ChannelHandle | undefined {
    const pin = this.#pins.find(({ spec }) => spec.name === name);
    if (!pin) return undefined;
    const refuse = async () => {
      throw new DcsError('READ_ONLY', `${name} is computed`);
    };
    return {
      port,
      debounced: false,
      read: async () => this.#read(pin),
      write: refuse,
      preset: refuse,
      float: refuse,
      resolution: () => undefined,
      listen: (listener) => {
        const listeners = this.#listeners.get(name) ?? new Set();
        this.#listeners.set(name, listeners.add(listener));
        this.#queue([pin]);
        return () => {
          listeners.delete(listener);
        };
      },
    };
  }

  #sourceChanged(source: string, dependents: readonly ComputedPin[]): void {
    const value = this.#table.get(source)?.lastKnown;
    const before = this.#seen.get(source);
    // Watchers are called after each write too.
    if (value === undefined || value === before) return;
    this.#seen.set(source, value);
    // A computed pin changes with its sources, at the same moment.
    if (!this.#evaluating) this.#beginMomentOf(source, value.sourceTime, before);
    this.#queue(dependents);
  }

  /** Evaluates the moment before a change that does not belong to it. */
  #beginMomentOf(source: string, time: UnixSeconds | undefined, value: PinSample = NO_VALUE): void {
    const later = time !== undefined && this.#time !== undefined && time !== this.#time;
    if (later || this.#changedNow.has(source)) {
      this.#past = { source, value };
      this.#evaluateChanged();
    }
    this.#changedNow.add(source);
    this.#time = time ?? this.#time;
  }

  #queue(pins: readonly ComputedPin[]): void {
    for (const pin of pins) this.#changed.add(pin);
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      this.#evaluateChanged();
    });
  }

  #evaluateChanged(): void {
    this.#evaluating = true;
    try {
      // A pin whose source is evaluated here comes later in the same loop.
      for (const pin of this.#pins) {
        if (!this.#changed.delete(pin)) continue;
        const reading = this.#read(pin);
        for (const listener of this.#listeners.get(pin.spec.name) ?? []) listener(reading);
      }
    } finally {
      this.#evaluating = false;
      this.#past = undefined;
      this.#time = undefined;
      this.#changedNow.clear();
      // A listener threw: the other pins must not wait for their next change.
      if (this.#changed.size > 0) this.#queue([]);
    }
  }

  #read({ spec, expression, qualityFrom }: ComputedPin): Reading {
    const past = this.#past;
    const sampleOf = (pin: string): PinSample =>
      pin === past?.source ? past.value : (this.#table.get(pin)?.lastKnown ?? NO_VALUE);
    try {
      const evaluated = evaluate(expression, sampleOf, (pin) => qualityFrom.includes(pin));
      if (fitsKind(spec.kind, evaluated.value)) return { ok: true, ...evaluated };
      throw new DcsError('BAD_VALUE', `${JSON.stringify(evaluated.value)} is no value of a pin that is ${spec.kind}`);
    } catch (error) {
      return { ok: false, error: toDcsError(error) };
    }
  }
}

/** Sorts pins so that each stands after those that it is computed from. No pin is computed from itself. */
function sourcesFirst(pins: readonly ComputedPin[]): ComputedPin[] {
  const byName = new Map(pins.map((pin) => [pin.spec.name, pin]));
  const sorted = new Set<ComputedPin>();
  const add = (pin: ComputedPin | undefined): void => {
    if (pin === undefined || sorted.has(pin)) return;
    for (const source of pinsOf(pin.expression)) add(byName.get(source));
    sorted.add(pin);
  };
  for (const pin of pins) add(pin);
  return [...sorted];
}
