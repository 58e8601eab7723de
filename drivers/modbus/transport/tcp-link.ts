import { connect, type Socket } from 'node:net';
import type { Clock, DurationMs } from '../../../src/clock/clock.ts';
import { DcsError, systemCode } from '../../../src/errors/errors.ts';
import type { Link, LinkEvents } from './link.ts';

export interface TcpTarget {
  readonly host: string;
  readonly port: number;
}

/** Connects. Rejects with PORT_DOWN when nobody listens there or no connection comes about within `limit`. */
export function openTcp(target: TcpTarget, clock: Clock, limit: DurationMs, events: LinkEvents): Promise<Link> {
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
      const error = new DcsError('PORT_DOWN', `${where}: ${reasonOf(why, was)}`, { cause: why });
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
        // Two turns of the event loop: in between it has asked the kernel for what there is.
        catchUp: () => new Promise((done) => setImmediate(() => setImmediate(done))),
        close: () => {
          state = 'ended';
          return destroyed(socket, unanswered);
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
    // The device has closed its half: no reply can come any more, so there is nothing to wait for.
    socket.on('end', () => {
      end();
      socket.destroy();
    });
    socket.on('close', end);
  });
}

/**
 * With `unanswered` the connection is reset: a plain close leaves it to the kernel to deliver what has been sent, and after an
 * outage of minutes a write would reach the device behind newer ones.
 */
function destroyed(socket: Socket, unanswered: boolean): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
    if (unanswered && !socket.destroyed) socket.resetAndDestroy();
    else socket.destroy();
  });
}

function reasonOf(why: unknown, was: 'connecting' | 'open'): string {
  if (why === undefined) return was === 'open' ? 'the device closed the connection' : 'the connection was refused';
  const code = systemCode(why);
  if (code === 'ECONNREFUSED') return 'nobody listens there';
  if (code === 'ECONNRESET') return 'the device reset the connection';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'the name is unknown';
  return why instanceof Error ? why.message : String(why);
}
