import type { Clock, DurationMs, MonotonicMs, Timer } from '../clock/clock.ts';
import { DcsError } from '../errors/errors.ts';
import { type Envelope, newId, type Payload } from '../message/envelope.ts';
import { type IoMessage, ioMessageOf, isReport } from '../message/payloads.ts';

/** `arrival` is when the message reached this process, on the bus's clock. */
export type Handler<Data> = (data: Data, envelope: Envelope, arrival: MonotonicMs) => void | Promise<void>;

/** A handler and what it listens to. The bus builds its routes from these. */
export interface Interest {
  /** Every message when `undefined`; the handler then gets the envelope as data. */
  readonly subject: string | undefined;
  /** Only messages of this pin, for subject IoMessage. */
  readonly pin: string | undefined;
  readonly handler: Handler<unknown>;
}

/** Options of a request. */
export interface RequestOptions {
  /** Longest time to wait for the answer. */
  readonly timeoutMs: DurationMs;
}

/** The bus as an attached actor sees it. */
export interface ActorHost {
  readonly clock: Clock;
  publish(actor: Actor, payload: Payload): Envelope;
  request(actor: Actor, payload: Payload, options: RequestOptions): Promise<Envelope>;
  /** Adds a route for an actor that is already attached. */
  interested(actor: Actor, interest: Interest): void;
  /** Runs work once, between two messages. */
  defer(actor: Actor, delay: DurationMs, work: () => void | Promise<void>): Timer;
  /** Runs periodic work between two messages; at most one run waits. */
  schedule(actor: Actor, period: DurationMs, work: () => void | Promise<void>): void;
}

/**
 * An object with an inbox, subject handlers and a lifecycle. Only actors talk on the bus. Handlers of one actor never
 * overlap: the next message waits until the promise of the previous handler has settled. An error thrown by a handler is
 * logged and counted, and harms no other actor.
 *
 * ```ts
 * export default class Hall extends Actor {
 *   constructor() {
 *     super('hall');
 *     this.onReport('door', (report) => this.send({ IoMessage: { pin_name: 'lamp', val: report.val } }));
 *   }
 * }
 * ```
 */
export class Actor {
  /** New at every start: five characters of base 57, as in aktos-dcs v1. */
  readonly id: string = newId();
  readonly name: string;
  /** @internal */
  readonly interests: Interest[] = [];
  #host: ActorHost | undefined;
  readonly #periodic: { period: DurationMs; work: () => void | Promise<void> }[] = [];

  constructor(name: string) {
    this.name = name;
  }

  /** Called once the actor can send. Its first message waits in the inbox until this has settled. */
  onStart(): void | Promise<void> {}

  /** Called after the last handler. The actor may still send. The supervisor limits its time. */
  onStop(): void | Promise<void> {}

  /** Handles all messages of a subject. `data` is `payload[subject]`. */
  on(subject: string, handler: Handler<unknown>): void {
    this.#add({ subject, pin: undefined, handler });
  }

  /** Handles all messages. */
  onAny(handler: (envelope: Envelope) => void | Promise<void>): void {
    this.#add({ subject: undefined, pin: undefined, handler: (_data, envelope) => handler(envelope) });
  }

  /** Handles all IoMessages of one pin: commands and reports. */
  onPin(pin: string, handler: Handler<IoMessage>): void {
    this.#add({
      subject: 'IoMessage',
      pin,
      handler: (_data, envelope, arrival) => {
        const message = ioMessageOf(envelope.payload);
        return message ? handler(message, envelope, arrival) : undefined;
      },
    });
  }

  /** Handles the reports of one pin, and no commands. */
  onReport(pin: string, handler: Handler<IoMessage>): void {
    this.onPin(pin, (message, envelope, arrival) =>
      isReport(message) ? handler(message, envelope, arrival) : undefined,
    );
  }

  /**
   * Runs periodic work between two messages, like the loop of a PLC program. A run is skipped while the one before it waits
   * or runs.
   */
  every(period: DurationMs, work: () => void | Promise<void>): void {
    if (!(period > 0)) throw new DcsError('BAD_VALUE', `${this.name}: a period must be above 0 ms`, { found: period });
    if (this.#host) this.#host.schedule(this, period, work);
    else this.#periodic.push({ period, work });
  }

  /**
   * Runs work once after `delay`, between two messages. A delay of 0 runs it in this turn of the event loop, before the
   * waiting messages. Cancelled work does not run, even when it was due.
   */
  after(delay: DurationMs, work: () => void | Promise<void>): Timer {
    return this.#attached().defer(this, delay, work);
  }

  /**
   * Broadcasts a message to all other actors: of this process and, through the mesh, of all others. Commands to pins of one
   * GPIO chip in this process switch in one step when no await is between them.
   */
  send(payload: Payload): Envelope {
    return this.#attached().publish(this, payload);
  }

  /**
   * Sends a command and waits for its answer. Resolves with the report that has its id in `reply_to`. Rejects with a DcsError
   * that has the code of the IoErrorMessage, or TIMEOUT.
   */
  request(payload: Payload, options: RequestOptions = { timeoutMs: 5000 }): Promise<Envelope> {
    return this.#attached().request(this, payload, options);
  }

  /** The clock of the bus: the system clock or a simulated one. */
  get clock(): Clock {
    return this.#attached().clock;
  }

  /** Called by the bus. @internal */
  attach(host: ActorHost): void {
    if (this.#host) throw new DcsError('INTERNAL', `${this.name} is attached already; make a new actor for each start`);
    this.#host = host;
    for (const { period, work } of this.#periodic) host.schedule(this, period, work);
  }

  #add(interest: Interest): void {
    this.interests.push(interest);
    this.#host?.interested(this, interest);
  }

  #attached(): ActorHost {
    if (this.#host) return this.#host;
    throw new DcsError(
      'INTERNAL',
      `${this.name} is not on a bus yet; send from onStart or a handler, not the constructor`,
    );
  }
}
