import { connect, type Socket } from 'node:net';
import type { Clock, DurationMs } from '../../../src/clock/clock.ts';
import { withDeadline } from '../../../src/clock/clock.ts';
import { DcsError, messageOf } from '../../../src/errors/errors.ts';
import type { Transport, TransportEvents } from './transport.ts';

const CONNECT_LIMIT_MS = 3000;
/** After this long without a byte the kernel begins to ask whether the other side is still there (ms). */
const KEEP_ALIVE_MS = 10_000;

/** Host and port of `tcp://host:port`. */
export interface Remote {
  readonly host: string;
  readonly port: number;
}

/** A serial device behind a device server: its bytes over TCP, as they are. */
export class TcpLine implements Transport {
  readonly #socket: Socket;
  readonly #name: string;
  readonly #clock: Clock;
  #ended: DcsError | undefined;
  /** Rejects the send under way. */
  #reject: ((error: DcsError) => void) | undefined;

  private constructor(socket: Socket, name: string, clock: Clock, events: TransportEvents) {
    this.#socket = socket;
    this.#name = name;
    this.#clock = clock;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('data', (bytes) => {
      if (!this.#ended) events.data(bytes);
    });
    let why = 'the other side closed it';
    socket.on('error', (error) => {
      why = messageOf(error);
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      if (this.#ended) return;
      const error = new DcsError('PORT_DOWN', `the connection to ${name} is gone (${why})`);
      this.#end(error);
      events.lost(error);
    });
  }

  /** Rejects with PORT_DOWN when nobody answers there. */
  static async open(remote: Remote, clock: Clock, events: TransportEvents): Promise<TcpLine> {
    const name = `${remote.host}:${remote.port}`;
    const socket = connect(remote);
    const connected = new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    try {
      await withDeadline(clock, CONNECT_LIMIT_MS, connected, () => new Error(`no answer in ${CONNECT_LIMIT_MS} ms`));
    } catch (cause) {
      // When the deadline came first an error may still follow.
      socket.on('error', () => undefined);
      socket.destroy();
      throw new DcsError('PORT_DOWN', `${name} cannot be reached: ${messageOf(cause)}`, {
        expected: 'a device server or ser2net that listens there',
        cause,
      });
    }
    return new TcpLine(socket, name, clock, events);
  }

  async send(bytes: Uint8Array, limit: DurationMs): Promise<void> {
    if (this.#ended) throw this.#ended;
    const taken = new Promise<void>((resolve, reject) => {
      this.#reject = reject;
      // An error ends the socket, and `close` tells it.
      this.#socket.write(bytes, (error) => error ?? resolve());
    });
    const late = () => new DcsError('TIMEOUT', `${this.#name} did not take ${bytes.length} bytes in ${limit} ms`);
    try {
      await withDeadline(this.#clock, limit, taken, late);
    } catch (error) {
      // What waits in the socket cannot be taken back but by ending it.
      this.#socket.destroy();
      throw error;
    } finally {
      this.#reject = undefined;
    }
  }

  /** Sends without waiting. A connection that cannot take it any more tells so by itself. */
  post(bytes: Uint8Array): void {
    if (!this.#ended) this.#socket.write(bytes);
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', `the connection to ${this.#name} is closed`));
    this.#socket.destroy();
  }

  #end(error: DcsError): void {
    this.#ended ??= error;
    this.#reject?.(this.#ended);
  }
}
