import type { BusInterest } from '../../bus/bus.ts';
import { type Envelope, isRecord } from '../../message/envelope.ts';
import { ioMessageOf } from '../../message/payloads.ts';

/** Most subjects or pins in one subscription; a peer that asks for more gets everything. */
const MAX_NAMES = 20_000;
const MAX_NAME = 256;

/** The messages a peer wants. It is sent no others, so messages without a subscriber use no bandwidth. */
export class Subscription {
  static readonly everything = new Subscription(true, [], []);
  readonly all: boolean;
  readonly #subjects: ReadonlySet<string>;
  readonly #pins: ReadonlySet<string>;

  constructor(all: boolean, subjects: Iterable<string>, pins: Iterable<string>) {
    this.all = all;
    this.#subjects = new Set(subjects);
    this.#pins = new Set(pins);
  }

  static fromInterest({ everything, subjects, pins }: BusInterest): Subscription {
    return everything ? Subscription.everything : new Subscription(false, subjects, pins);
  }

  /** Parses the wire form; `undefined` when it is malformed. */
  static parse(found: unknown): Subscription | undefined {
    if (!isRecord(found) || typeof found['all'] !== 'boolean') return undefined;
    const { all, subjects, pins } = found;
    if (!isNames(subjects) || !isNames(pins)) return undefined;
    return all || subjects.length > MAX_NAMES || pins.length > MAX_NAMES
      ? Subscription.everything
      : new Subscription(false, subjects, pins);
  }

  /** The wire form. */
  toWire(): object {
    return this.all
      ? { all: true, subjects: [], pins: [] }
      : { all: false, subjects: [...this.#subjects].sort(), pins: [...this.#pins].sort() };
  }

  /** A subscription to everything that either of the two matches. */
  union(other: Subscription): Subscription {
    if (this.all || other.all) return Subscription.everything;
    return new Subscription(false, [...this.#subjects, ...other.#subjects], [...this.#pins, ...other.#pins]);
  }

  matches({ payload }: Envelope): boolean {
    if (this.all) return true;
    for (const subject in payload) if (this.#subjects.has(subject)) return true;
    const pin = this.#pins.size > 0 ? ioMessageOf(payload)?.pin_name : undefined;
    return pin !== undefined && this.#pins.has(pin);
  }
}

function isNames(found: unknown): found is string[] {
  return Array.isArray(found) && found.every((name) => typeof name === 'string' && name.length <= MAX_NAME);
}
