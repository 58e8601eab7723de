import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import type { Timer } from '../../clock/clock.ts';
import { messageOf, systemCode } from '../../errors/errors.ts';
import type { WebHost, WebOptions } from '../options.ts';
import { ConnectionLimit } from './connection-limit.ts';
import { TlsFiles } from './tls-files.ts';

const AGAIN_MS = 3000;
const MAX_CONNECTIONS = 256;
/** A request must be there within this, and so must a TLS handshake; answers may last as long as they like. */
const REQUEST_MS = 10_000;
/** How often the server looks for requests that are late. */
const CHECK_MS = 2000;

export interface Handlers {
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void;
}

/**
 * Keeps the server listening. An address that is taken or a certificate that cannot be read harms the page alone: it is
 * said once, and tried again every 3 s.
 */
export class Listener {
  readonly limit = new ConnectionLimit(MAX_CONNECTIONS);
  readonly #options: WebOptions;
  readonly #host: WebHost;
  readonly #handlers: Handlers;
  readonly #files: TlsFiles | undefined;
  #server: Server | undefined;
  #timer: Timer | undefined;
  #trouble = '';
  #stopped = false;

  constructor(options: WebOptions, host: WebHost, handlers: Handlers) {
    this.#options = options;
    this.#host = host;
    this.#handlers = handlers;
    this.#files = options.tls && new TlsFiles(options.tls, host.clock, host.log);
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
    this.#files?.stop();
    this.#server?.close();
    this.#server?.closeAllConnections();
  }

  async #listen(): Promise<Server> {
    const { host, port } = this.#options;
    const server = await this.#make();
    server.headersTimeout = REQUEST_MS;
    server.requestTimeout = REQUEST_MS;
    this.limit.guard(server);
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
    // Not before it listens: each failed attempt would leave a watch behind, which takes the renewal for a dead server.
    if (server instanceof TlsServer && !this.#stopped) {
      this.#files?.watch((fresh) => server.setSecureContext({ ...fresh, minVersion: 'TLSv1.2' }));
    }
    return server;
  }

  async #make(): Promise<Server> {
    const looks = { connectionsCheckingInterval: CHECK_MS };
    if (!this.#files) return createServer(looks);
    const pair = await this.#files.load();
    return createTlsServer({ ...looks, ...pair, minVersion: 'TLSv1.2', handshakeTimeout: REQUEST_MS });
  }

  #url(server: Server): string {
    const address = server.address();
    const { host, tls } = this.#options;
    const port = typeof address === 'object' && address ? address.port : this.#options.port;
    return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}/`;
  }
}
