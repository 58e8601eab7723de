import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import type { Timer } from '../../clock/clock.ts';
import { messageOf, systemCode } from '../../errors/errors.ts';
import type { WebHost, WebOptions } from '../options.ts';

const AGAIN_MS = 3000;
const MAX_CONNECTIONS = 256;
/** A request must be there within this; answers may last as long as they like. */
const REQUEST_MS = 15_000;

export interface Handlers {
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void;
}

/**
 * Keeps the server listening. An address that is taken or a certificate that cannot be read harms the page alone: it is
 * said once, and tried again every 3 s.
 */
export class Listener {
  readonly #options: WebOptions;
  readonly #host: WebHost;
  readonly #handlers: Handlers;
  #server: Server | undefined;
  #timer: Timer | undefined;
  #trouble = '';
  #stopped = false;

  constructor(options: WebOptions, host: WebHost, handlers: Handlers) {
    this.#options = options;
    this.#host = host;
    this.#handlers = handlers;
  }

  /** Resolves after the first attempt. Never rejects. */
  async start(): Promise<void> {
    try {
      const server = await this.#listen();
      if (this.#stopped) {
        server.close();
        return;
      }
      this.#server = server;
      this.#trouble = '';
      this.#host.log.info({ url: this.#url(server) }, `the web page is at ${this.#url(server)}`);
    } catch (error) {
      const { host, port } = this.#options;
      const why = systemCode(error) === 'EADDRINUSE' ? `another program has ${host}:${port}` : messageOf(error);
      if (why !== this.#trouble) this.#host.log.error({ err: error }, `the web page is not served: ${why}`);
      this.#trouble = why;
      if (!this.#stopped) this.#timer = this.#host.clock.after(AGAIN_MS, () => void this.start());
    }
  }

  /** Closes the server and every connection. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#server?.close();
    this.#server?.closeAllConnections();
  }

  async #listen(): Promise<Server> {
    const { tls, host, port } = this.#options;
    const server = tls
      ? createTlsServer({ cert: await readFile(tls.cert), key: await readFile(tls.key), minVersion: 'TLSv1.2' })
      : createServer();
    server.headersTimeout = REQUEST_MS;
    server.requestTimeout = REQUEST_MS;
    server.maxConnections = MAX_CONNECTIONS;
    server.on('request', (request, response) => this.#handlers.request(request, response));
    server.on('upgrade', (request, stream, head) => this.#handlers.upgrade(request, stream, head));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
    server.on('error', (error) => this.#host.log.error({ err: error }, `web: ${messageOf(error)}`));
    return server;
  }

  #url(server: Server): string {
    const address = server.address();
    const { host, tls } = this.#options;
    const port = typeof address === 'object' && address ? address.port : this.#options.port;
    return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}/`;
  }
}
