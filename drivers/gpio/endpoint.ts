import type { Reading, ReadingListener } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { LineSlot } from './line-slot.ts';

/** What stands behind one channel of the port. */
export interface Endpoint {
  look(): Reading;
  /** The slot an output drives. Throws for everything that is no output. */
  output(): LineSlot;
  /** Outputs that are no level: takes over what is asked. Throws a DcsError. */
  modulate?(value: RawValue): void;
  /** How late its worst edge was so far, ms. Absent: it switches nothing by itself. */
  readonly lateMs?: number;
  /** Sets a counter or position. Absent: the channel has nothing to set. Throws BAD_VALUE. */
  preset?(value: RawValue): void;
  subscribe(listener: ReadingListener): () => void;
  end(): void;
}

/** The subscribers of a channel, told its present value from the event loop first. */
export class Listeners {
  readonly #listeners = new Set<ReadingListener>();

  add(listener: ReadingListener, look: () => Reading): () => void {
    // A wrapper, so that one function subscribed twice is two subscriptions.
    const own: ReadingListener = (one) => listener(one);
    this.#listeners.add(own);
    setImmediate(() => {
      if (this.#listeners.has(own)) own(look());
    });
    return () => {
      this.#listeners.delete(own);
    };
  }

  tell(reading: Reading): void {
    for (const listener of this.#listeners) listener(reading);
  }

  get any(): boolean {
    return this.#listeners.size > 0;
  }

  clear(): void {
    this.#listeners.clear();
  }
}

/** A channel that is the level of its line. */
export class LevelChannel implements Endpoint {
  readonly #slot: LineSlot;
  readonly #listeners = new Listeners();

  constructor(slot: LineSlot) {
    this.#slot = slot;
    slot.use({ reading: (reading) => this.#listeners.tell(reading) });
  }

  look(): Reading {
    return this.#slot.look();
  }

  output(): LineSlot {
    const { key, direction } = this.#slot.channel;
    if (direction === 'out') return this.#slot;
    throw new DcsError('READ_ONLY', `${key} is an input`);
  }

  subscribe(listener: ReadingListener): () => void {
    return this.#listeners.add(listener, () => this.look());
  }

  end(): void {
    this.#listeners.clear();
  }
}

/** A channel that contradicts another one on its line. */
export class RefusedChannel implements Endpoint {
  readonly #error: DcsError;
  readonly #listeners = new Listeners();

  constructor(error: DcsError) {
    this.#error = error;
  }

  look(): Reading {
    return { ok: false, error: this.#error };
  }

  output(): LineSlot {
    throw this.#error;
  }

  subscribe(listener: ReadingListener): () => void {
    return this.#listeners.add(listener, () => this.look());
  }

  end(): void {
    this.#listeners.clear();
  }
}
