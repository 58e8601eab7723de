import type { Clock, UnixSeconds } from '../clock/clock.ts';
import type { PinValue, Quality } from '../message/payloads.ts';
import { isOn, type PinCondition, type PinSpec, type RawValue } from '../pin/pin.ts';
import { Output } from './output.ts';
import type { OtherPins } from './rules.ts';

/** The last known value of a pin, in the user's units. */
export interface LastKnown {
  readonly val: PinValue;
  readonly quality: Quality;
  /** Why `quality` is not good. */
  readonly reason?: string | undefined;
  /** When the hardware took this value on, where it says so. */
  readonly sourceTime?: UnixSeconds | undefined;
}

/** One pin of this process. */
export interface PinEntry {
  readonly spec: PinSpec;
  /** Name of its port. */
  readonly port: string;
  /** Key of its channel on that port. */
  readonly key: string;
  readonly lastKnown: LastKnown;
  /** `undefined` for an input, and for an output that only scales another one. */
  readonly output?: Output;
}

/**
 * All pins of this process with their last known values. Rules read this table and no messages: nobody on the bus can
 * forge it, and it changes in the turn of the event loop in which the pin does.
 */
export class PinTable implements OtherPins {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { -readonly [Key in keyof PinEntry]: PinEntry[Key] }>();
  readonly #watchers = new Map<string, Set<() => void>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adds a pin. `initial`: start value of an output. Its hardware keeps its own value when `undefined`. */
  add(spec: PinSpec, at: { readonly port: string; readonly key: string }, initial?: RawValue): PinEntry {
    const output = spec.direction === 'out' && !spec.scaleOf ? new Output(spec, initial, this.#clock, this) : undefined;
    const entry: PinEntry = { spec, ...at, lastKnown: { val: null, quality: 'bad' }, ...(output && { output }) };
    this.#entries.set(spec.name, entry);
    return entry;
  }

  get(pin: string): PinEntry | undefined {
    return this.#entries.get(pin);
  }

  [Symbol.iterator](): Iterator<PinEntry> {
    return this.#entries.values();
  }

  /** Stores the last known value of a pin and calls its watchers. */
  update(pin: string, lastKnown: LastKnown): void {
    const entry = this.#entries.get(pin);
    if (!entry) return;
    entry.lastKnown = lastKnown;
    this.notifyWatchers(pin);
  }

  /** Calls the watchers of a pin: something that rules read may have changed. */
  notifyWatchers(pin: string): void {
    const watchers = this.#watchers.get(pin);
    if (watchers) for (const watcher of watchers) watcher();
  }

  /** Calls `watcher` after every change of a pin, in the same turn. It must not throw. Returns the unsubscriber. */
  watch(pin: string, watcher: () => void): () => void {
    const watchers = this.#watchers.get(pin) ?? new Set();
    this.#watchers.set(pin, watchers.add(watcher));
    return () => {
      watchers.delete(watcher);
    };
  }

  qualityOf(pin: string): Quality {
    return this.#entries.get(pin)?.lastKnown.quality ?? 'bad';
  }

  isGoodAndOn({ pin, is }: PinCondition): boolean {
    const entry = this.#entries.get(pin);
    if (entry?.lastKnown.quality !== 'good') return false;
    const { val } = entry.lastKnown;
    return val !== null && (is ? is.includes(val) : isOn(entry.spec, val));
  }

  interlockState(pin: string): ReturnType<OtherPins['interlockState']> {
    return this.#entries.get(pin)?.output?.interlockState ?? 'unknown';
  }
}
