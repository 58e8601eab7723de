import type { Router } from 'zeromq';
import { messageOf } from '../../errors/errors.ts';
import { isRecord } from '../../message/envelope.ts';
import { tcp } from '../transport/addresses.ts';
import { isReadable, type SocketFactory } from '../transport/socket-factory.ts';

/** Our end of the connection of a session: our dealer socket, or one route of our router socket. */
export interface Connection {
  /** True when we dialled the peer, false when it dialled us. */
  readonly outgoing: boolean;
  /** Verified public key of the peer, when the mesh is encrypted. */
  readonly key: string | undefined;
  /** Hands a frame to the transport. Rejects with EAGAIN when its queue is full, with EHOSTUNREACH when the peer is gone. */
  send(text: string): Promise<void>;
  /** `linger`: frames sent before may still leave. */
  close(linger: boolean): void;
}

/** The session that uses a connection. */
export interface ConnectionUser {
  /** Handles a frame of the peer. */
  receive(frame: unknown): void;
  /** The connection has broken. */
  onDisconnect(): void;
}

export interface CallerHandshake {
  /** Handles a frame of a node without a session. Returns the session that this frame opens. */
  onCallerFrame(frame: Record<string, unknown>, connection: AcceptedConnection): ConnectionUser | undefined;
}

/** A connection that another node dialled. */
export class AcceptedConnection implements Connection {
  readonly outgoing = false;
  key: string | undefined;
  /**
   * Every frame of the caller must carry this token. ZeroMQ may give the routing id of a closed connection to another
   * caller; the token cannot be guessed.
   */
  token: string | undefined;
  readonly #router: Router;
  readonly #route: Buffer;
  readonly #onClose: (connection: AcceptedConnection) => void;

  constructor(router: Router, route: Buffer, onClose: (connection: AcceptedConnection) => void) {
    this.#router = router;
    this.#route = route;
    this.#onClose = onClose;
  }

  /** ZeroMQ's name of the connection. */
  get routingId(): string {
    return this.#route.toString('latin1');
  }

  send(text: string): Promise<void> {
    return this.#router.send([this.#route, text]);
  }

  close(): void {
    this.#onClose(this);
  }
}

/** Listens for connections of other dcs-io nodes, and gives each frame to its session or to the handshake. */
export class Acceptor {
  readonly #sockets: SocketFactory;
  readonly #handshake: CallerHandshake;
  readonly #router: Router;
  readonly #sessions = new Map<string, { readonly session: ConnectionUser; readonly token: string | undefined }>();
  /** Further hosts, and whether the bind succeeded. */
  readonly #moreHosts = new Map<string, boolean>();
  /** The bind under way: until it ends ZeroMQ refuses to read and write (EBUSY). */
  #binding: Promise<void> | undefined;
  #reading = false;
  #closed = false;

  constructor(sockets: SocketFactory, handshake: CallerHandshake) {
    this.#sockets = sockets;
    this.#handshake = handshake;
    this.#router = sockets.router();
  }

  /** Binds to any free port; returns it. */
  async bind(host: string): Promise<number> {
    if (!this.#reading) void this.#readFrames();
    this.#reading = true;
    await this.#router.bind(tcp(host, '*'));
    const address = this.#router.lastEndpoint ?? '';
    return Number(address.slice(address.lastIndexOf(':') + 1));
  }

  /**
   * Binds a port of further hosts, those that are not bound yet. A bind that fails is logged once and tried again at the next
   * call. Never rejects.
   */
  async bindMore(hosts: readonly string[], port: number): Promise<void> {
    if (this.#binding) return;
    this.#binding = this.#bindEach(hosts, port);
    await this.#binding;
    this.#binding = undefined;
  }

  async #bindEach(hosts: readonly string[], port: number): Promise<void> {
    for (const host of hosts) {
      if (this.#closed || this.#moreHosts.get(host) === true) continue;
      try {
        // One after the other: ZeroMQ refuses two binds of a socket at once.
        await this.#router.bind(tcp(host, port));
        this.#moreHosts.set(host, true);
      } catch (error) {
        if (!this.#moreHosts.has(host))
          this.#sockets.log.warn(
            { err: error, host, port },
            `cannot listen for other machines at ${host}:${port}: ${messageOf(error)}`,
          );
        this.#moreHosts.set(host, false);
      }
    }
  }

  close(linger: number): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#router.linger = linger;
    this.#router.close();
  }

  async #readFrames(): Promise<void> {
    const { stats, log } = this.#sockets;
    try {
      for await (const [route, frame, ...more] of this.#router) {
        if (this.#binding) await this.#binding;
        if (route === undefined || frame === undefined || more.length > 0) stats.malformed++;
        else if (isReadable(frame, stats)) this.#handleFrame(route, frame);
      }
    } catch (error) {
      if (this.#closed) return;
      if (this.#binding) {
        await this.#binding;
        return this.#readFrames();
      }
      stats.socketErrors++;
      log.error({ err: error }, `the socket for other nodes failed: ${messageOf(error)}`);
    }
  }

  /** An exception while handling a frame harms its sender alone. */
  #handleFrame(route: Buffer, frame: Buffer): void {
    try {
      this.#dispatch(route, frame);
    } catch (error) {
      this.#sockets.stats.malformed++;
      this.#sockets.log.error({ err: error }, `handling a frame of another node failed: ${messageOf(error)}`);
    }
  }

  #dispatch(route: Buffer, frame: Buffer): void {
    const found = parseFrame(frame);
    if (!isRecord(found)) {
      this.#sockets.stats.malformed++;
      return;
    }
    const known = this.#sessions.get(route.toString('latin1'));
    if (known && (known.token === undefined || found['k'] === known.token)) {
      known.session.receive(found);
      return;
    }
    const connection = new AcceptedConnection(this.#router, route, ({ routingId }) => this.#sessions.delete(routingId));
    const session = this.#handshake.onCallerFrame(found, connection);
    if (session) this.#sessions.set(connection.routingId, { session, token: connection.token });
  }
}

/** The JSON of a frame; `undefined` when it is none. */
export function parseFrame(frame: Buffer): unknown {
  try {
    return JSON.parse(frame.toString());
  } catch {
    return undefined;
  }
}
