import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import { DcsError, messageOf, systemCode } from '../../errors/errors.ts';
import type { Log } from '../../log/log.ts';
import { networkOf } from '../auth/sessions.ts';
import type { WebHost, WebOptions } from '../options.ts';

const RETRY_MS = 3000;
const MAX_CONNECTIONS = 256;
/** Timeout of a request's headers and body and of the TLS handshake. A response may take any time. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Interval of the checks for requests past their timeout. */
const TIMEOUT_CHECK_MS = 2000;

interface HttpHandlers {
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void;
}

/**
 * Keeps the HTTP or HTTPS server listening. An address in use or an unreadable certificate only stops the web page: the
 * listener logs it once and retries every 3 s.
 */
export class HttpListener {
  readonly connections = new ConnectionLimit(MAX_CONNECTIONS);
  readonly #options: WebOptions;
  readonly #host: WebHost;
  readonly #handlers: HttpHandlers;
  readonly #certificate: CertificateFiles | undefined;
  #server: HttpServer | undefined;
  #timer: Timer | undefined;
  #lastError = '';
  #stopped = false;

  constructor(options: WebOptions, host: WebHost, handlers: HttpHandlers) {
    this.#options = options;
    this.#host = host;
    this.#handlers = handlers;
    this.#certificate = options.tls && new CertificateFiles(options.tls, host.clock, host.log);
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
      this.#lastError = '';
      this.#host.log.info({ url: this.#url(server) }, `the web page is at ${this.#url(server)}`);
    } catch (error) {
      const { host, port } = this.#options;
      const why = systemCode(error) === 'EADDRINUSE' ? `another program has ${host}:${port}` : messageOf(error);
      if (why !== this.#lastError) this.#host.log.error({ err: error }, `the web page is not served: ${why}`);
      this.#lastError = why;
      if (!this.#stopped) this.#timer = this.#host.clock.after(RETRY_MS, () => void this.start());
    }
  }

  /** Closes the server and every connection. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#certificate?.stop();
    this.#server?.close();
    this.#server?.closeAllConnections();
  }

  async #listen(): Promise<HttpServer> {
    const { host, port } = this.#options;
    const server = await this.#createServer();
    server.headersTimeout = REQUEST_TIMEOUT_MS;
    server.requestTimeout = REQUEST_TIMEOUT_MS;
    this.connections.attach(server);
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
    // Only after a successful listen: each failed attempt would leave a watcher behind that renews a dead server.
    if (server instanceof TlsServer && !this.#stopped) {
      this.#certificate?.watch((fresh) => server.setSecureContext({ ...fresh, minVersion: 'TLSv1.2' }));
    }
    return server;
  }

  async #createServer(): Promise<HttpServer> {
    const serverOptions = { connectionsCheckingInterval: TIMEOUT_CHECK_MS };
    if (!this.#certificate) return createServer(serverOptions);
    const pair = await this.#certificate.load();
    return createTlsServer({ ...serverOptions, ...pair, minVersion: 'TLSv1.2', handshakeTimeout: REQUEST_TIMEOUT_MS });
  }

  #url(server: HttpServer): string {
    const address = server.address();
    const { host, tls } = this.#options;
    const port = typeof address === 'object' && address ? address.port : this.#options.port;
    return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}/`;
  }
}

/** Largest share of all connections that one network may hold. */
const MAX_SHARE_PER_NETWORK = 0.4;

/** Limits the connections of a server and of each network, so that one client cannot lock out all others. */
export class ConnectionLimit {
  /** Number of connections closed because of a limit. */
  refused = 0;
  readonly #max: number;
  readonly #byNetwork = new Map<string, number>();

  constructor(most: number) {
    this.#max = most;
  }

  attach(server: Server): void {
    server.maxConnections = this.#max;
    server.on('drop', () => this.refused++);
    server.on('connection', (socket: Socket) => this.#onConnection(socket));
  }

  #onConnection(socket: Socket): void {
    const network = networkOf(socket.remoteAddress ?? '');
    const open = (this.#byNetwork.get(network) ?? 0) + 1;
    // A local client may be a reverse proxy for all others.
    if (open > this.#max * MAX_SHARE_PER_NETWORK && !isLoopbackNetwork(network)) {
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

/** Matches 127.0.0.0/8 and the /64 of ::1. */
function isLoopbackNetwork(network: string): boolean {
  return network.startsWith('127.') || network === '0:0:0:0';
}

/** Interval of the checks for renewed files. inotify would miss a renewal that moves a symbolic link in the path. */
const POLL_MS: DurationMs = 2000;

/** Certificate chain and private key in PEM format. */
interface CertificatePair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Loads the certificate (PEM, with its chain) and the private key of the web server, and reloads them after a renewal. */
class CertificateFiles {
  readonly #files: { readonly cert: string; readonly key: string };
  readonly #clock: Clock;
  readonly #log: Log;
  #timer: Timer | undefined;
  /** Fingerprints of the files at the last load and at the last check. */
  #loadedFingerprint = '';
  #lastFingerprint = '';
  #stopped = false;

  constructor(files: { readonly cert: string; readonly key: string }, clock: Clock, log: Log) {
    this.#files = files;
    this.#clock = clock;
    this.#log = log;
  }

  /** Reads both files. Rejects with BAD_CONFIG, naming the file and the reason. */
  async load(): Promise<CertificatePair> {
    const { cert: certFile, key: keyFile } = this.#files;
    this.#loadedFingerprint = await this.#fingerprint();
    const [cert, key] = [await readCertificateFile(certFile), await readCertificateFile(keyFile)];
    const certificate = parsePem(certFile, 'a certificate in PEM form', () => new X509Certificate(cert));
    const secret = parsePem(keyFile, 'a private key in PEM form, without a passphrase', () => createPrivateKey(key));
    checkPair(certificate, secret, certFile, keyFile);
    const { validTo, subject } = certificate;
    if (Date.parse(validTo) < this.#clock.unix() * 1000) {
      this.#log.warn(
        { file: certFile, validTo },
        `web: ${certFile} has expired on ${validTo}: browsers will warn of it`,
      );
    } else this.#log.info({ subject, validTo }, `web: the certificate is valid until ${validTo}`);
    return { cert, key };
  }

  /** Calls `onRenewal` with renewed files. Unusable files are logged once, and the old certificate stays in use. */
  watch(onRenewal: (pair: CertificatePair) => void): void {
    this.#timer = this.#clock.after(POLL_MS, () => void this.#poll(onRenewal));
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #poll(use: (pair: CertificatePair) => void): Promise<void> {
    const before = this.#lastFingerprint;
    this.#lastFingerprint = await this.#fingerprint();
    // The two files are not replaced in one step: load them when neither has changed since the last check.
    if (this.#lastFingerprint !== this.#loadedFingerprint && this.#lastFingerprint === before) {
      try {
        const pair = await this.load();
        if (!this.#stopped) use(pair);
      } catch (error) {
        this.#log.error({ err: error }, `web: the certificate there was stays in use: ${messageOf(error)}`);
      }
    }
    if (!this.#stopped) this.watch(use);
  }

  /** Returns a text that differs when a file was changed, replaced or removed. Never rejects. */
  async #fingerprint(): Promise<string> {
    const looks = await Promise.all(
      [this.#files.cert, this.#files.key].map(async (file) => {
        try {
          const { ino, size, mtimeMs } = await stat(file);
          return `${ino} ${size} ${mtimeMs}`;
        } catch (error) {
          return String(systemCode(error));
        }
      }),
    );
    return looks.join(' / ');
  }
}

async function readCertificateFile(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new DcsError('BAD_CONFIG', `${file} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function parsePem<T>(file: string, expected: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new DcsError('BAD_CONFIG', `${file} holds no usable key material: expected ${expected}`, {
      expected,
      cause: error,
    });
  }
}

function checkPair(certificate: X509Certificate, key: KeyObject, certFile: string, keyFile: string): void {
  if (certificate.checkPrivateKey(key)) return;
  throw new DcsError('BAD_CONFIG', `${keyFile} is not the key of the certificate in ${certFile}`);
}
