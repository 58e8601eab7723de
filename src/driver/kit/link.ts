import { createSocket } from 'node:dgram';
import { connect, isIPv6, type Socket } from 'node:net';
import type { Clock, DurationMs } from '../../clock/clock.ts';
import { DcsError, systemCode } from '../../errors/errors.ts';

/** A connection that carries bytes to devices: a TCP connection, a serial line, a UDP socket. */
export interface Link {
  /** Sends bytes. Never throws: a failure ends in `down`. */
  send(bytes: Buffer): void;
  /** Serial lines: sets the line up for this unit (baud rate, parity). Rejects with PORT_DOWN. */
  prepare?(unit: number): Promise<void>;
  /** Delivers bytes that the kernel has received and nobody has read: they are older than anything sent from now on. */
  catchUp?(): void | Promise<void>;
  /** Whether `prepare` has nothing to do. */
  ready?(unit: number): boolean;
  /** Closes the link at once, without `down`. Idempotent. Resolves when the operating system has released it. */
  close(): Promise<void>;
}

/** Events of a link. */
export interface LinkEvents {
  data(bytes: Buffer): void;
  /** The link is lost. Called at most once. */
  down(error: DcsError): void;
}

/** A host and a TCP port. */
export interface NetworkTarget {
  readonly host: string;
  readonly port: number;
}

/** Connects. Rejects with PORT_DOWN when the connection is refused, or not made within `limit`. */
export function openTcp(target: NetworkTarget, clock: Clock, limit: DurationMs, events: LinkEvents): Promise<Link> {
  const where = `${target.host}:${target.port}`;
  return new Promise((resolve, reject) => {
    const socket = connect({ host: target.host, port: target.port, noDelay: true, keepAlive: true });
    let state: 'connecting' | 'open' | 'ended' = 'connecting';
    let why: unknown;
    let unanswered = false;
    const timer = clock.after(limit, () => {
      why = new Error(`no connection within ${limit} ms`);
      end();
      socket.destroy();
    });
    const end = () => {
      if (state === 'ended') return;
      const was = state;
      state = 'ended';
      timer.cancel();
      const error = new DcsError('PORT_DOWN', `${where}: ${lossReason(why, was)}`, { cause: why });
      if (was === 'open') events.down(error);
      else reject(error);
    };
    socket.once('connect', () => {
      state = 'open';
      timer.cancel();
      resolve({
        send: (bytes) => {
          unanswered = true;
          socket.write(bytes);
        },
        // Within two turns of the event loop, it has read what the kernel holds.
        catchUp: () => new Promise((done) => setImmediate(() => setImmediate(done))),
        close: () => {
          state = 'ended';
          return destroySocket(socket, unanswered);
        },
      });
    });
    socket.on('data', (bytes: Buffer) => {
      unanswered = false;
      if (state === 'open') events.data(bytes);
    });
    socket.on('error', (error) => {
      why = error;
      end();
      socket.destroy();
    });
    // The device has closed its half, so no reply can come any more.
    socket.on('end', () => {
      end();
      socket.destroy();
    });
    socket.on('close', end);
  });
}

/**
 * Resets the connection when bytes are `unanswered`. After a plain close the kernel would still deliver them: after an
 * outage of minutes a write would reach the device later than newer ones.
 */
function destroySocket(socket: Socket, unanswered: boolean): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
    if (unanswered && !socket.destroyed) socket.resetAndDestroy();
    else socket.destroy();
  });
}

function lossReason(why: unknown, was: 'connecting' | 'open'): string {
  if (why === undefined) return was === 'open' ? 'the device closed the connection' : 'the connection was refused';
  const code = systemCode(why);
  if (code === 'ECONNREFUSED') return 'nobody listens there';
  if (code === 'ECONNRESET') return 'the device reset the connection';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'the name is unknown';
  return why instanceof Error ? why.message : String(why);
}

/** Opens a UDP socket connected to one device. Without a connection, a missing device shows only as no answer. */
export function openUdp(target: NetworkTarget, events: LinkEvents): Promise<Link> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(target.host) ? 'udp6' : 'udp4');
    let open = false;
    let closed = false;
    const close = () =>
      new Promise<void>((done) => {
        if (closed) return done();
        closed = true;
        socket.close(() => done());
      });
    socket.on('message', (bytes) => {
      if (!closed) events.data(bytes);
    });
    socket.on('error', (error) => {
      // ECONNREFUSED belongs to an earlier datagram and ends nothing: its request runs into its deadline.
      if (open) return;
      void close();
      reject(new DcsError('PORT_DOWN', `${target.host}:${target.port}: ${error.message}`, { cause: error }));
    });
    socket.connect(target.port, target.host, () => {
      open = true;
      resolve({
        send: (bytes) => {
          // A datagram that cannot be sent is lost, as any datagram may be.
          if (!closed) socket.send(bytes, () => undefined);
        },
        close,
      });
    });
  });
}
