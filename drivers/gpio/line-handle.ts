import type { UnixSeconds } from '../../src/clock/clock.ts';
import type { PortContext, Reading } from '../../src/driver/contract.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { EdgeKind } from './address.ts';
import type { Edge, GpioChannel, Line, LineEvents, LineRequestSpec, LineResult } from './backend.ts';

/** A user of a line. Several channels can use one: a level, a counter and a frequency of one wire. */
export interface LineUser {
  /** A level, or the reason why there is none. Not called for every edge; may repeat a level. */
  reading(reading: Reading): void;
  /** Every edge, before its level. */
  edge?(edge: Edge): void;
}

/** One line of the port: the line while it is held, the reason while it is not, and its users. */
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
    this.#error = new DcsError('PORT_DOWN', `${channel.key} has not been requested yet`);
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

  /** The line is not held, and a request may succeed: not for a line that does not exist. */
  get shouldRequest(): boolean {
    return this.#line === undefined && (this.#error.retryable || this.#error.code === 'INTERNAL');
  }

  /** The line while it is held. Throws the reason when it is not. */
  get line(): Line {
    if (this.#line) return this.#line;
    throw this.#error;
  }

  addUser(user: LineUser): void {
    this.#users.push(user);
  }

  /** Called before the line is requested. An output that was lost opens with its return value. */
  beforeRequest(): void {
    const { openingValue: _before, ...rest } = this.channel;
    if (!this.#wasLost || !rest.returnValue) return;
    const value = rest.returnValue();
    const openingValue = typeof value === 'number' ? value === 1 : value;
    this.channel = openingValue === undefined ? rest : { ...rest, openingValue };
  }

  /** Keeps the result of a request, and tells the users. */
  accept(result: LineResult, { log }: PortContext): void {
    if (result.ok) {
      this.#line = result.line;
      this.#tell(this.read());
      return;
    }
    // Logged once for each reason: the retries must not fill the log.
    if (result.error.message !== this.#error.message) log.warn({ err: result.error }, result.error.message);
    this.#error = result.error;
    this.#tell({ ok: false, error: result.error });
  }

  read(): Reading {
    if (!this.#line) return { ok: false, error: this.#error };
    try {
      return levelReading(this.#line.read());
    } catch (thrown) {
      return { ok: false, error: toDcsError(thrown) };
    }
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

/** Use of a channel's lines: a level, a measurement, or software PWM. It tells its readings by itself. */
export interface ChannelBinding {
  read(): Reading;
  /** The line that an output drives. Throws a DcsError for all other channels. */
  outputLine(): LineHandle;
  /** Software PWM: sets the duty cycle, 0 to 1. Throws a DcsError. */
  setDutyCycle?(value: RawValue): void;
  /** Software PWM: the largest delay of an edge so far, ms. */
  readonly maxLateMs?: number;
  /** Sets a counter or position; `undefined` for all other channels. Throws BAD_VALUE, and the line's error while it is lost. */
  preset?(value: RawValue): void;
  close?(): void;
}

/** Tells a reading of one channel to the owner of the port. */
export type TellReading = (reading: Reading) => void;

/** A channel that is the level of its line. */
export class LevelBinding implements ChannelBinding {
  readonly #line: LineHandle;

  constructor(line: LineHandle, tell: TellReading) {
    this.#line = line;
    line.addUser({ reading: tell });
  }

  read(): Reading {
    return this.#line.read();
  }

  outputLine(): LineHandle {
    const { key, direction } = this.#line.channel;
    if (direction === 'out') return this.#line;
    throw new DcsError('READ_ONLY', `${key} is an input`);
  }
}

/** A channel that contradicts another channel of its line. */
export class RefusedBinding implements ChannelBinding {
  readonly #error: DcsError;

  constructor(error: DcsError, tell: TellReading) {
    this.#error = error;
    tell(this.read());
  }

  read(): Reading {
    return { ok: false, error: this.#error };
  }

  outputLine(): LineHandle {
    throw this.#error;
  }
}
