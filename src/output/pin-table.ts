import type { Clock } from '../clock/clock.ts';
import type { PinValue, Quality } from '../message/payloads.ts';
import { isOn, type PinSpec, type RawValue } from '../pin/pin.ts';
import { Output } from './output.ts';
import type { OtherPins } from './rules.ts';

/** What a pin is now, as the user means it. */
export interface LastKnown {
  readonly val: PinValue;
  readonly quality: Quality;
}

/** One pin of this process. */
export interface PinEntry {
  readonly spec: PinSpec;
  /** Name of its port, and the key of its channel there. */
  readonly port: string;
  readonly key: string;
  /** What it was last known to be. */
  readonly lastKnown: LastKnown;
  /** What is wanted of it and known of its hardware. Absent: an input. */
  readonly output?: Output;
}

/**
 * All pins of this process with what they are, in one place. Rules look here, and not at messages: what a pin is cannot
 * be forged by somebody on the bus, and is known in the same turn of the event loop.
 */
export class PinTable implements OtherPins {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { -readonly [Key in keyof PinEntry]: PinEntry[Key] }>();
  readonly #watchers = new Map<string, Set<() => void>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adds a pin. `initial`: the value an output starts with; undefined: what its hardware has. */
  add(spec: PinSpec, at: { readonly port: string; readonly key: string }, initial?: RawValue): PinEntry {
    const output = spec.direction === 'out' ? new Output(spec, initial, this.#clock, this) : undefined;
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

  /** A pin is this now. Tells whoever watches it. */
  update(pin: string, now: LastKnown): void {
    const entry = this.#entries.get(pin);
    if (!entry) return;
    entry.lastKnown = now;
    this.notifyWatchers(pin);
  }

  /** Something about a pin that rules ask for may have changed. */
  notifyWatchers(pin: string): void {
    for (const tell of this.#watchers.get(pin) ?? []) tell();
  }

  /** Calls `tell` after every change of a pin, in the same turn. It must not throw. Returns what ends that. */
  watch(pin: string, tell: () => void): () => void {
    const watchers = this.#watchers.get(pin) ?? new Set();
    this.#watchers.set(pin, watchers.add(tell));
    return () => {
      watchers.delete(tell);
    };
  }

  isGoodAndOn(pin: string): boolean {
    const now = this.#entries.get(pin)?.lastKnown;
    return now?.quality === 'good' && now.val !== null && isOn(now.val);
  }

  interlockState(pin: string): ReturnType<OtherPins['interlockState']> {
    return this.#entries.get(pin)?.output?.interlockState ?? 'unknown';
  }
}
