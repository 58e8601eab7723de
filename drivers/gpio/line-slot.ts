import type { UnixSeconds } from '../../src/clock/clock.ts';
import type { PortContext, Reading, ReadingListener } from '../../src/driver/driver.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { GpioChannel, Line, LineEvents, Taken, Wish } from './backend.ts';

/** A channel's place in the port: the line when it is held, the reason when it is not, and who listens. */
export class LineSlot implements Wish {
  readonly channel: GpioChannel;
  readonly events: LineEvents;
  readonly #listeners = new Set<ReadingListener>();
  #line: Line | undefined;
  #error: DcsError;
  #ended = false;

  constructor(channel: GpioChannel, lost: (error: DcsError) => void) {
    this.channel = channel;
    this.#error = new DcsError('PORT_DOWN', `${channel.key} has not been taken yet`);
    this.events = {
      level: (high, sourceTime) => this.#tell(reading(high, sourceTime)),
      lost: (error) => {
        this.#line = undefined;
        this.#error = error;
        this.#tell({ ok: false, error });
        lost(error);
      },
    };
  }

  /** Not held, and it makes sense to try: a line that does not exist will not come to be. */
  get wanted(): boolean {
    return this.#line === undefined && (this.#error.retryable || this.#error.code === 'INTERNAL');
  }

  /** What came of taking the line; listeners are told either way. */
  settle(taken: Taken, { log }: PortContext): void {
    if (taken.ok) {
      this.#line = taken.line;
      this.#tell(this.look());
      return;
    }
    // Once per kind of trouble: a line that stays busy does not fill the log.
    if (taken.error.message !== this.#error.message) log.warn({ err: taken.error }, taken.error.message);
    this.#error = taken.error;
    this.#tell({ ok: false, error: taken.error });
  }

  look(): Reading {
    if (!this.#line) return { ok: false, error: this.#error };
    try {
      return reading(this.#line.read());
    } catch (thrown) {
      return { ok: false, error: toDcsError(thrown) };
    }
  }

  /** Drives the line; listeners hear of it. Returns the level it then has. */
  write(high: boolean): boolean {
    if (!this.#line) throw this.#error;
    const readBack = this.#line.write(high);
    this.#tell(reading(readBack));
    return readBack;
  }

  subscribe(listener: ReadingListener): () => void {
    // A wrapper, so that one function subscribed twice is two subscriptions.
    const own: ReadingListener = (one) => listener(one);
    this.#listeners.add(own);
    setImmediate(() => {
      if (this.#listeners.has(own)) own(this.look());
    });
    return () => {
      this.#listeners.delete(own);
    };
  }

  end(): void {
    this.#ended = true;
    this.#line?.release();
    this.#line = undefined;
    this.#listeners.clear();
  }

  #tell(one: Reading): void {
    if (this.#ended) return;
    for (const listener of this.#listeners) listener(one);
  }
}

function reading(high: boolean, sourceTime?: UnixSeconds): Reading {
  return sourceTime === undefined ? { ok: true, value: high } : { ok: true, value: high, sourceTime };
}
