import type { Router } from 'zeromq';
import { messageOf } from '../../errors/errors.ts';
import { isRecord } from '../../message/envelope.ts';
import { tcp } from '../transport/addresses.ts';
import { isReadable, type SocketFactory } from '../transport/socket-factory.ts';
import type { Session } from './session.ts';

/** One connection of a session, from our end: our dealer at the peer's door, or the peer's dealer at ours. */
export interface Connection {
  /** We called the peer; otherwise it called us. */
  readonly outgoing: boolean;
  /** Public key of the peer, proven, when the mesh is encrypted. */
  readonly key: string | undefined;
  /** Hands a frame to the transport. Rejects when it cannot be taken now (EAGAIN) or the peer is gone (EHOSTUNREACH). */
  send(text: string): Promise<void>;
  /** `linger`: what was sent may still leave. */
  close(linger: boolean): void;
}

export interface AcceptorHooks {
  /** A frame of somebody who has no session yet. */
  onHandshakeFrame(frame: Record<string, unknown>, wire: AcceptedConnection): void;
}

/** A connection another node made to our door. */
export class AcceptedConnection implements Connection {
  readonly outgoing = false;
  key: string | undefined;
  /**
   * What every frame of the caller must carry. The transport's name of a connection can be taken by another caller once
   * the first is gone; this cannot be guessed.
   */
  token: string | undefined;
  readonly #router: Router;
  readonly #route: Buffer;
  readonly #closed: (wire: AcceptedConnection) => void;

  constructor(router: Router, id: Buffer, closed: (wire: AcceptedConnection) => void) {
    this.#router = router;
    this.#route = id;
    this.#closed = closed;
  }

  /** The transport's name of the connection. */
  get routingId(): string {
    return this.#route.toString('latin1');
  }

  send(text: string): Promise<void> {
    return this.#router.send([this.#route, text]);
  }

  close(): void {
    this.#closed(this);
  }
}

/** The socket where other dcs-io nodes call us; one connection each. */
export class Acceptor {
  readonly #sockets: SocketFactory;
  readonly #hooks: AcceptorHooks;
  readonly #router: Router;
  readonly #sessions = new Map<string, { readonly session: Session; readonly token: string | undefined }>();
  /** Further addresses, and whether each could be had. */
  readonly #moreHosts = new Map<string, boolean>();
  #bindingMore = false;
  #closed = false;

  constructor(sockets: SocketFactory, hooks: AcceptorHooks) {
    this.#sockets = sockets;
    this.#hooks = hooks;
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
  #reading = false;

  /**
   * Binds to a port of more addresses, those that are not bound yet; one that cannot be had is told of once and tried again
   * the next time. Never rejects.
   */
  async bindMore(hosts: readonly string[], port: number): Promise<void> {
    if (this.#bindingMore) return;
    this.#bindingMore = true;
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
            `other machines cannot find this one: ${messageOf(error)}`,
          );
        this.#moreHosts.set(host, false);
      }
    }
    this.#bindingMore = false;
  }

  /** From now on the frames of this connection are the session's. */
  attachSession(wire: AcceptedConnection, session: Session): void {
    this.#sessions.set(wire.routingId, { session, token: wire.token });
  }

  close(linger: number): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#router.linger = linger;
    this.#router.close();
  }

  async #readFrames(): Promise<void> {
    try {
      for await (const [id, frame, ...more] of this.#router) {
        if (id === undefined || frame === undefined || more.length > 0) this.#sockets.stats.malformed++;
        else if (isReadable(frame, this.#sockets.stats)) this.#handleFrame(id, frame);
      }
    } catch (error) {
      if (this.#closed) return;
      this.#sockets.stats.socketErrors++;
      this.#sockets.log.error({ err: error }, `the door is broken: ${messageOf(error)}`);
    }
  }

  /** A frame that trips us up harms its sender alone. */
  #handleFrame(id: Buffer, frame: Buffer): void {
    try {
      this.#dispatch(id, frame);
    } catch (error) {
      this.#sockets.stats.malformed++;
      this.#sockets.log.error({ err: error }, `a frame of another node was not understood: ${messageOf(error)}`);
    }
  }

  #dispatch(id: Buffer, frame: Buffer): void {
    const found = parseFrame(frame);
    if (!isRecord(found)) {
      this.#sockets.stats.malformed++;
      return;
    }
    const known = this.#sessions.get(id.toString('latin1'));
    if (known && (known.token === undefined || found['k'] === known.token)) known.session.receive(found);
    else
      this.#hooks.onHandshakeFrame(
        found,
        new AcceptedConnection(this.#router, id, (wire) => this.#sessions.delete(wire.routingId)),
      );
  }
}

/** The JSON of a frame; undefined when it is none. */
export function parseFrame(frame: Buffer): unknown {
  try {
    return JSON.parse(frame.toString());
  } catch {
    return undefined;
  }
}
