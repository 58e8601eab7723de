import { type Clock, type DurationMs, type MonotonicMs, sleep } from '../../../src/clock/clock.ts';
import { DcsError, toDcsError } from '../../../src/errors/errors.ts';
import { TcpLine } from './network.ts';
import type { Remote } from './network-path.ts';
import type { Transport, TransportEvents } from './transport.ts';

/** A connection that ends sooner than this and has carried nothing was refused by the device server in its own way. */
const SHORTEST_MS: DurationMs = 1000;
/**
 * Wait before a new connection is made: a small device server listens again only some time after it has closed. It doubles
 * up to SHORTEST_MS while connections end soon after bytes that nobody has asked for: `port already in use`.
 */
const REOPEN_MS: DurationMs = 50;

/** Bytes that were sent so shortly before the connection ended, and not answered, may be lost. */
const UNANSWERED_MS: DurationMs = 2000;

interface Connection {
  readonly since: MonotonicMs;
  line: TcpLine | undefined;
  used: boolean;
  /** Something was sent. */
  asked: boolean;
  /** When bytes were sent last, if nothing has arrived since. */
  unansweredAt: MonotonicMs | undefined;
}

/**
 * A line over plain TCP that is connected again when the other side closes it: device servers close idle connections, some
 * after each answer. It is lost when no connection can be made, or when it ends right after bytes that were not answered: a
 * command may not have arrived.
 */
export class ReopeningLine implements Transport {
  readonly #remote: Remote;
  readonly #clock: Clock;
  readonly #events: TransportEvents;
  readonly #count: (name: string) => void;
  #connection: Connection | undefined;
  /** Settles when there is a connection again, or none can be made. Never rejects. */
  #reopening: Promise<void> | undefined;
  #reopenMs: DurationMs = REOPEN_MS;
  #ended: DcsError | undefined;

  private constructor(remote: Remote, clock: Clock, events: TransportEvents, count: (name: string) => void) {
    this.#remote = remote;
    this.#clock = clock;
    this.#events = events;
    this.#count = count;
  }

  /** Rejects as TcpLine.open does. */
  static async open(
    remote: Remote,
    clock: Clock,
    events: TransportEvents,
    count: (name: string) => void,
  ): Promise<ReopeningLine> {
    const line = new ReopeningLine(remote, clock, events, count);
    await line.#connect();
    return line;
  }

  async send(bytes: Uint8Array, limit: DurationMs): Promise<void> {
    // Within two turns of the event loop, a closing that the kernel knows is known here.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    await this.#reopening;
    const connection = this.#connection;
    if (this.#ended || !connection?.line) throw this.#ended ?? new DcsError('PORT_DOWN', 'not connected');
    connection.used = true;
    connection.asked = true;
    connection.unansweredAt = this.#clock.now();
    await connection.line.send(bytes, limit);
  }

  async close(): Promise<void> {
    this.#ended ??= new DcsError('PORT_DOWN', 'the connection is closed');
    await this.#connection?.line?.close();
  }

  async #connect(): Promise<void> {
    const since = this.#clock.now();
    const connection: Connection = { since, line: undefined, used: false, asked: false, unansweredAt: undefined };
    this.#connection = connection;
    const line = await TcpLine.open(this.#remote, this.#clock, {
      data: (bytes) => {
        connection.used = true;
        connection.unansweredAt = undefined;
        if (!this.#ended) this.#events.data(bytes);
      },
      damaged: () => undefined,
      lost: (error) => this.#closed(connection, error),
    });
    connection.line = line;
    this.#count('connections');
    if (this.#ended) await line.close();
  }

  #closed(connection: Connection, error: DcsError): void {
    if (this.#ended || connection !== this.#connection) return;
    const { used, asked, since, unansweredAt } = connection;
    const now = this.#clock.now();
    const unanswered = unansweredAt !== undefined && now - unansweredAt < UNANSWERED_MS;
    const soon = now - since < SHORTEST_MS;
    if (unanswered || (!used && soon)) {
      this.#lost(error);
      return;
    }
    this.#count('connections_closed');
    // The rest of a frame that has begun does not come any more.
    this.#events.interrupted?.();
    const wait = soon && !asked ? this.#reopenMs : REOPEN_MS;
    this.#reopenMs = Math.min(2 * wait, SHORTEST_MS);
    this.#reopening = this.#reopen(wait);
  }

  async #reopen(wait: DurationMs): Promise<void> {
    await sleep(this.#clock, wait);
    try {
      if (!this.#ended) {
        await this.#connect();
        this.#events.resumed?.();
      }
    } catch (thrown) {
      this.#lost(toDcsError(thrown));
    }
    this.#reopening = undefined;
  }

  #lost(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#events.lost(error);
  }
}
