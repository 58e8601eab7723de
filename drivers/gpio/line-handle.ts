import type { UnixSeconds } from '../../src/clock/clock.ts';
import type { PortContext, Reading, ReadingListener } from '../../src/driver/contract.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { EdgeKind } from './address.ts';
import type { Edge, GpioChannel, Line, LineEvents, LineRequestSpec, LineResult } from './backend.ts';

/** Who uses a line: several channels can (a level, a counter and a frequency of one wire). */
export interface LineUser {
  /** A level, or the reason why there is none. Not with every edge: a level may be told twice. */
  reading(reading: Reading): void;
  /** Every edge, before its level. */
  edge?(edge: Edge): void;
}

/** One line's place in the port: the line when it is held, the reason when it is not, and who uses it. */
export class LineHandle implements LineRequestSpec {
  channel: GpioChannel;
  readonly edges: EdgeKind;
  readonly timed: boolean;
  readonly events: LineEvents;
  readonly #users: LineUser[] = [];
  #line: Line | undefined;
  #wasLost = false;
  #error: DcsError;

  constructor(channel: GpioChannel, needs: { edges: EdgeKind; timed: boolean }, lost: (error: DcsError) => void) {
    this.channel = channel;
    this.edges = needs.edges;
    this.timed = needs.timed;
    this.#error = new DcsError('PORT_DOWN', `${channel.key} has not been taken yet`);
    this.events = {
      level: (high, sourceTime) => this.#tell(levelReading(high, sourceTime)),
      edge: (edge) => {
        for (const user of this.#users) user.edge?.(edge);
      },
      lost: (error) => {
        this.#line = undefined;
        this.#wasLost = true;
        this.#error = error;
        this.#tell({ ok: false, error });
        lost(error);
      },
    };
  }

  /** Not held, and it makes sense to try: a line that does not exist will not come to be. */
  get shouldRequest(): boolean {
    return this.#line === undefined && (this.#error.retryable || this.#error.code === 'INTERNAL');
  }

  /** The line while it is held; throws the reason when it is not. */
  get line(): Line {
    if (this.#line) return this.#line;
    throw this.#error;
  }

  addUser(user: LineUser): void {
    this.#users.push(user);
  }

  /** The line is about to be taken. An output that was lost does not begin anew: it gets what comes after a loss. */
  beforeRequest(): void {
    const { openingValue: _before, ...rest } = this.channel;
    if (!this.#wasLost || !rest.returnValue) return;
    const value = rest.returnValue();
    const start = typeof value === 'number' ? value === 1 : value;
    this.channel = start === undefined ? rest : { ...rest, openingValue: start };
  }

  /** What came of taking the line; users are told either way. */
  accept(taken: LineResult, { log }: PortContext): void {
    if (taken.ok) {
      this.#line = taken.line;
      this.#tell(this.read());
      return;
    }
    // Once per kind of trouble: a line that stays busy does not fill the log.
    if (taken.error.message !== this.#error.message) log.warn({ err: taken.error }, taken.error.message);
    this.#error = taken.error;
    this.#tell({ ok: false, error: taken.error });
  }

  read(): Reading {
    if (!this.#line) return { ok: false, error: this.#error };
    try {
      return levelReading(this.#line.read());
    } catch (thrown) {
      return { ok: false, error: toDcsError(thrown) };
    }
  }

  /** An output has been driven and then had this level; users hear of it. */
  driven(high: boolean): void {
    this.#tell(levelReading(high));
  }

  close(): void {
    this.#users.length = 0;
    this.#line?.release();
    this.#line = undefined;
  }

  #tell(reading: Reading): void {
    for (const user of this.#users) user.reading(reading);
  }
}

function levelReading(high: boolean, sourceTime?: UnixSeconds): Reading {
  return sourceTime === undefined ? { ok: true, value: high } : { ok: true, value: high, sourceTime };
}

/** What stands behind one channel of the port. */
export interface ChannelBinding {
  read(): Reading;
  /** The slot an output drives. Throws for everything that is no output. */
  outputLine(): LineHandle;
  /** Outputs that are no level: takes over what is asked. Throws a DcsError. */
  setDutyCycle?(value: RawValue): void;
  /** How late its worst edge was so far, ms. Absent: it switches nothing by itself. */
  readonly maxLateMs?: number;
  /** Sets a counter or position. Absent: the channel has nothing to set. Throws BAD_VALUE. */
  preset?(value: RawValue): void;
  subscribe(listener: ReadingListener): () => void;
  close(): void;
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
export class LevelBinding implements ChannelBinding {
  readonly #slot: LineHandle;
  readonly #listeners = new Listeners();

  constructor(slot: LineHandle) {
    this.#slot = slot;
    slot.addUser({ reading: (reading) => this.#listeners.tell(reading) });
  }

  read(): Reading {
    return this.#slot.read();
  }

  outputLine(): LineHandle {
    const { key, direction } = this.#slot.channel;
    if (direction === 'out') return this.#slot;
    throw new DcsError('READ_ONLY', `${key} is an input`);
  }

  subscribe(listener: ReadingListener): () => void {
    return this.#listeners.add(listener, () => this.read());
  }

  close(): void {
    this.#listeners.clear();
  }
}

/** A channel that contradicts another one on its line. */
export class RefusedBinding implements ChannelBinding {
  readonly #error: DcsError;
  readonly #listeners = new Listeners();

  constructor(error: DcsError) {
    this.#error = error;
  }

  read(): Reading {
    return { ok: false, error: this.#error };
  }

  outputLine(): LineHandle {
    throw this.#error;
  }

  subscribe(listener: ReadingListener): () => void {
    return this.#listeners.add(listener, () => this.read());
  }

  close(): void {
    this.#listeners.clear();
  }
}
