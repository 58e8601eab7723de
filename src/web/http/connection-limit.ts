import type { Server, Socket } from 'node:net';
import { networkOf } from '../auth/login-limit.ts';

/** Share of all connections that one address may hold. */
const SHARE = 0.4;

/** Bounds the connections of a server, and of each address, so that one machine cannot lock out all others. */
export class ConnectionLimit {
  /** Connections that were closed at once. */
  refused = 0;
  readonly #most: number;
  readonly #byNetwork = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  guard(server: Server): void {
    server.maxConnections = this.#most;
    server.on('drop', () => this.refused++);
    server.on('connection', (socket: Socket) => this.#count(socket));
  }

  #count(socket: Socket): void {
    const network = networkOf(socket.remoteAddress ?? '');
    const open = (this.#byNetwork.get(network) ?? 0) + 1;
    // Whoever is on this machine may be a proxy, behind which everybody is.
    if (open > this.#most * SHARE && !isHere(network)) {
      this.refused++;
      socket.destroy();
      return;
    }
    this.#byNetwork.set(network, open);
    socket.once('close', () => {
      const left = (this.#byNetwork.get(network) ?? 1) - 1;
      if (left > 0) this.#byNetwork.set(network, left);
      else this.#byNetwork.delete(network);
    });
  }
}

/** 127.0.0.0/8, and ::1 as its network. */
function isHere(network: string): boolean {
  return network.startsWith('127.') || network === '0:0:0:0';
}
