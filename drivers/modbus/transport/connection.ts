import { type Clock, type DurationMs, type MonotonicMs, sleep, type Timer } from '../../../src/clock/clock.ts';
import type { Link, LinkEvents } from '../../../src/driver/kit/link.ts';
import { DcsError, systemCode, toDcsError } from '../../../src/errors/errors.ts';
import type { LinkNeed, TransportLink, TransportLinkEvents } from './transport.ts';

/** `close_after: idle` closes the connection when nothing has been asked for this long. */
const IDLE_MS = 100;
/** Waits before a refused reconnection is tried again: a small device listens again only some time after it has closed. */
const REFUSED_WAITS_MS: readonly DurationMs[] = [50, 100];
/** So many connections in a row may be closed by the device before a request was sent. */
const MAX_UNUSED = 2;
/** After so many requests and this time without a byte in return the device may have forgotten the connection. */
const SILENT_REQUESTS = 3;
const SILENT_MS = 10_000;
/** Safety margin of the learned idle time: delays of the network and of the device's timer. */
const IDLE_MARGIN_MS = 50;
/** So many times in a row the device must keep a connection for longer than the learned time before that time is forgotten. */
const MAX_KEPT = 8;

export interface ConnectionOptions {
  readonly clock: Clock;
  /** Silence after connecting, before the first request. */
  readonly pauseMs: DurationMs;
  /** When this side closes the connection; `undefined`: it stays open. */
  readonly closeAfter: 'idle' | 'each' | undefined;
  count(name: string): void;
}

/** One connection, from connecting to closing. */
interface Session {
  link: Link | undefined;
  /** When a request may be sent: after the pause. */
  readyAt: MonotonicMs;
  /** When its last bytes arrived, or when it was connected. */
  heardAt: MonotonicMs;
  /** Number of requests that were answered. */
  answers: number;
  requestsUnderWay: number;
  /** Requests in a row that ended without a byte in return. */
  silentRequests: number;
  /** A request has been sent. */
  used: boolean;
}

/**
 * A TCP connection that is made anew when a request needs it. Devices close connections that are idle, or after each reply:
 * by itself that is no loss. The link is lost when a connection cannot be made.
 */
export class Connection implements TransportLink {
  readonly #connect: (events: LinkEvents) => Promise<Link>;
  readonly #options: ConnectionOptions;
  readonly #events: TransportLinkEvents;
  readonly #waiting = new Set<(error?: DcsError) => void>();
  #session: Session | undefined;
  #opening = false;
  #closing: Promise<void> = Promise.resolve();
  #idleTimer: Timer | undefined;
  /** The last connection was closed by the device, or failed. */
  #broken = false;
  /** A connection has carried a second reply, so the device does not close after each. */
  #reused = false;
  /** One connection has been given up before its second request, because the device might have closed it. */
  #spared = false;
  /** Shortest time after its last reply at which the device has closed a connection. */
  #closesAfterMs: DurationMs = Number.POSITIVE_INFINITY;
  /** How often in a row the device has kept a connection for longer. */
  #kept = 0;
  /** Number of connections in a row that the device has closed before a request was sent. */
  #unused = 0;
  #ended = false;

  private constructor(
    connect: (events: LinkEvents) => Promise<Link>,
    options: ConnectionOptions,
    events: TransportLinkEvents,
  ) {
    this.#connect = connect;
    this.#options = options;
    this.#events = events;
  }

  /** Makes the first connection. Rejects as `connect` does. */
  static async open(
    connect: (events: LinkEvents) => Promise<Link>,
    options: ConnectionOptions,
    events: TransportLinkEvents,
  ): Promise<Connection> {
    const connection = new Connection(connect, options, events);
    await connection.#connectOnce();
    return connection;
  }

  ready(): boolean {
    const { link, readyAt = 0 } = this.#session ?? {};
    return link !== undefined && readyAt <= this.#options.clock.now() && !this.#isUsedUp();
  }

  /**
   * Connects when there is no connection, and keeps the pause after connecting. With `fresh` it replaces a connection that the
   * device is about to close, because a write that meets the closing would have an unknown effect. Rejects with EXPIRED, or
   * with PORT_DOWN when no connection can be made: the link is down then.
   */
  async prepare(_unit: number, { fresh = false, expiresAt = Number.POSITIVE_INFINITY }: LinkNeed = {}): Promise<void> {
    this.#idleTimer?.cancel();
    this.#closeUsedUp();
    if (fresh) {
      await this.catchUp();
      if (this.#isAboutToClose()) this.#closeSession();
    }
    if (this.#ended) throw closedError();
    if (!this.ready()) await this.#untilReady(expiresAt);
  }

  async catchUp(): Promise<void> {
    await this.#session?.link?.catchUp?.();
  }

  /** Sends on a connection that is `ready`. */
  send(bytes: Buffer): void {
    if (!this.#session) return;
    this.#unused = 0;
    this.#session.used = true;
    this.#session.requestsUnderWay++;
    this.#session.link?.send(bytes);
  }

  requestEnded(answered: boolean): void {
    const { clock, closeAfter } = this.#options;
    const session = this.#session;
    if (!session) return;
    session.requestsUnderWay--;
    if (!answered) session.silentRequests++;
    else if (++session.answers > 1) this.#reused = true;
    if (session.requestsUnderWay > 0) return;
    if (session.silentRequests >= SILENT_REQUESTS && clock.now() - session.heardAt >= SILENT_MS) this.reset();
    else if (closeAfter === 'each') this.#closeSession();
    else if (closeAfter === 'idle') this.#closeWhenIdle();
  }

  /** Ends the present connection, which cannot be trusted any more. */
  reset(): void {
    if (!this.#session) return;
    this.#broken = true;
    this.#closeSession();
  }

  async close(): Promise<void> {
    this.#end(closedError());
    await this.#closing;
  }

  #closeWhenIdle(): void {
    this.#idleTimer?.cancel();
    this.#idleTimer = this.#options.clock.after(IDLE_MS, () => {
      if (this.#session?.requestsUnderWay === 0) this.#closeSession();
    });
  }

  /** The device closes each connection after its reply, and the present one has had it. */
  #isUsedUp(): boolean {
    const closesEach = !this.#reused && this.#closesAfterMs < Number.POSITIVE_INFINITY;
    return closesEach && this.#session?.requestsUnderWay === 0 && this.#session.answers > 0;
  }

  #closeUsedUp(): void {
    if (!this.#isUsedUp()) return;
    this.#noteKept(this.#silenceMs() - IDLE_MARGIN_MS);
    this.#closeSession();
  }

  #silenceMs(): DurationMs {
    return this.#options.clock.now() - (this.#session?.heardAt ?? 0);
  }

  /** The device has not closed a connection that was silent for this long after a reply: one early closing was by chance. */
  #noteKept(silence: DurationMs): void {
    if (silence <= this.#closesAfterMs || ++this.#kept < MAX_KEPT) return;
    this.#closesAfterMs = Number.POSITIVE_INFINITY;
    this.#spared = false;
    this.#kept = 0;
  }

  #isAboutToClose(): boolean {
    const session = this.#session;
    // A connection that has carried no reply yet is as fresh as can be.
    if (!session || session.answers === 0 || session.requestsUnderWay > 0) return false;
    if (!this.#reused && !this.#spared) {
      this.#spared = true;
      return true;
    }
    return this.#silenceMs() >= this.#closesAfterMs / 2 - IDLE_MARGIN_MS;
  }

  #untilReady(expiresAt: MonotonicMs): Promise<void> {
    const { clock } = this.#options;
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const end = (error?: DcsError) => {
        timer?.cancel();
        this.#waiting.delete(end);
        if (error) reject(error);
        else resolve();
      };
      this.#waiting.add(end);
      if (expiresAt !== Number.POSITIVE_INFINITY)
        timer = clock.after(Math.max(0, expiresAt - clock.now()), () => end(expiredError()));
      if (!this.#opening) void this.#openUntilReady();
    });
  }

  /** Never rejects: those who wait are told, and a failure takes the link down. */
  async #openUntilReady(): Promise<void> {
    const { clock } = this.#options;
    this.#opening = true;
    try {
      while (!this.#ended && !this.ready()) {
        if (this.#unused > MAX_UNUSED) throw unusedError();
        // Its last reply may have come since the request began to wait.
        this.#closeUsedUp();
        if (!this.#session) await this.#connectPatiently();
        const rest = (this.#session?.readyAt ?? 0) - clock.now();
        if (rest > 0) await sleep(clock, rest);
      }
      this.#opening = false;
      if (this.#waiting.size === 0) this.#notNeeded();
      for (const end of this.#waiting) end();
    } catch (thrown) {
      this.#opening = false;
      this.#down(toDcsError(thrown));
    }
  }

  /** The connection is ready, and the time of those who wanted it was up before. */
  #notNeeded(): void {
    this.#unused = 0;
    if (this.#options.closeAfter) this.#closeWhenIdle();
  }

  async #connectPatiently(): Promise<void> {
    await this.#closing;
    for (const wait of REFUSED_WAITS_MS) {
      if (this.#ended) return;
      try {
        return await this.#connectOnce();
      } catch (error) {
        if (!isRefused(error)) throw error;
      }
      await sleep(this.#options.clock, wait);
    }
    if (!this.#ended) await this.#connectOnce();
  }

  async #connectOnce(): Promise<void> {
    const { clock, pauseMs, count } = this.#options;
    const times = { readyAt: 0, heardAt: 0 };
    const counts = { answers: 0, requestsUnderWay: 0, silentRequests: 0 };
    const session: Session = { ...times, ...counts, link: undefined, used: false };
    const link = await this.#connect({
      data: (bytes) => this.#receive(session, bytes),
      down: (error) => this.#closedByDevice(session, error),
    });
    if (this.#ended) {
      await link.close();
      return;
    }
    count('connections');
    session.link = link;
    session.heardAt = clock.now();
    session.readyAt = session.heardAt + pauseMs;
    this.#session = session;
    this.#events.opened(this.#broken);
    this.#broken = false;
  }

  #receive(session: Session, bytes: Buffer): void {
    if (session !== this.#session) return;
    if (session.answers > 0) this.#noteKept(this.#silenceMs());
    session.heardAt = this.#options.clock.now();
    session.silentRequests = 0;
    this.#events.data(bytes);
  }

  #closedByDevice(session: Session, error: DcsError): void {
    if (session !== this.#session) return;
    this.#session = undefined;
    this.#broken = true;
    if (!session.used) this.#unused++;
    if (session.answers > 0) {
      this.#closesAfterMs = Math.min(this.#closesAfterMs, this.#options.clock.now() - session.heardAt);
      this.#kept = 0;
    }
    this.#options.count('connections_closed');
    this.#closing = session.link?.close() ?? Promise.resolve();
    this.#events.closed(error);
  }

  #closeSession(): void {
    this.#idleTimer?.cancel();
    const link = this.#session?.link;
    this.#session = undefined;
    if (link) this.#closing = link.close();
  }

  #down(error: DcsError): void {
    if (this.#ended) return;
    this.#end(error);
    this.#events.down(error);
  }

  #end(error: DcsError): void {
    this.#ended = true;
    this.#closeSession();
    for (const end of this.#waiting) end(error);
  }
}

function isRefused(error: unknown): boolean {
  const code = error instanceof DcsError ? systemCode(error.cause) : undefined;
  return code === 'ECONNREFUSED' || code === 'ECONNRESET';
}

function closedError(): DcsError {
  return new DcsError('PORT_DOWN', 'the port is closed');
}

function expiredError(): DcsError {
  return new DcsError('EXPIRED', 'its time was up before the device was connected; nothing was sent');
}

function unusedError(): DcsError {
  return new DcsError('PORT_DOWN', 'the device closes every connection before anything is asked', {
    expected: 'a shorter pause, or no other master that holds its only connection',
  });
}
