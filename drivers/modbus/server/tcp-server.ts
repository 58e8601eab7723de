import { createServer, type Server, type Socket } from 'node:net';
import { DcsError } from '../../../src/errors/errors.ts';
import { encodeMbap, MbapReader } from '../protocol/mbap.ts';

/** Answers one request to one unit. `undefined`: no answer, because the request is for another slave. Never rejects. */
export type Responder = (unit: number, pdu: Buffer) => Promise<Buffer | undefined>;

export interface TcpServerOptions {
  readonly host: string;
  /** 0: a free port. */
  readonly port: number;
  readonly respond: Responder;
  /** More clients at once are refused. */
  readonly maxClients: number;
  /** Addresses that may connect; `undefined`: all. */
  readonly clients?: readonly string[];
  count(name: string, by?: number): void;
}

/** Number of requests of one client that may wait; a client that sends more is not read until they are done. */
const MAX_WAITING = 16;

/** A Modbus TCP slave. Requests of one client are processed one after the other, in order. */
export class ModbusTcpServer {
  readonly #options: TcpServerOptions;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();

  constructor(settings: TcpServerOptions) {
    this.#options = settings;
    this.#server = createServer({ noDelay: true, keepAlive: true }, (socket) => this.#accept(socket));
  }

  /** Resolves with the port. Rejects with BUSY or NO_PERMISSION when it cannot listen. */
  listen(): Promise<number> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause: Error & { code?: string }) => {
        const code = cause.code === 'EACCES' ? 'NO_PERMISSION' : 'BUSY';
        reject(new DcsError(code, `cannot listen on ${host}:${port}: ${cause.message}`, { cause }));
      });
      this.#server.listen(port, host, () => {
        const address = this.#server.address();
        resolve(typeof address === 'object' && address ? address.port : port);
      });
    });
  }

  close(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    const { count, maxClients, clients } = this.#options;
    const address = socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
    if (this.#clients.size >= maxClients || (clients && !clients.includes(address))) {
      count('clients_refused');
      socket.destroy();
      return;
    }
    this.#clients.add(socket);
    const reader = new MbapReader();
    let waiting = 0;
    let last = Promise.resolve();
    socket.on('close', () => this.#clients.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => {
      const broken = reader.push(bytes, ({ id, unit, pdu }) => {
        // A copy, because the answer may come when the received bytes are gone.
        const request = Buffer.from(pdu);
        if (++waiting >= MAX_WAITING) socket.pause();
        last = last.then(async () => {
          // A client that has disconnected has given up. Processed now, its request would come after newer commands of
          // others.
          if (!socket.writable) {
            count('requests_abandoned');
            return;
          }
          const reply = await this.#options.respond(unit, request);
          // A client that does not take its answers is not read either. A write to a closed socket ends at once.
          if (reply && socket.writable)
            await new Promise<void>((resolve) => socket.write(encodeMbap(id, unit, reply), () => resolve()));
          if (--waiting < MAX_WAITING) socket.resume();
        });
      });
      if (broken === undefined) return;
      count('frames_corrupt');
      socket.destroy();
    });
  }
}
