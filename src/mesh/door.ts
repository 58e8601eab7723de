import type { Router } from 'zeromq';
import { messageOf } from '../errors/errors.ts';
import { isRecord } from '../message/envelope.ts';
import { tcp } from './endpoint.ts';
import type { Session } from './session.ts';
import type { Wire } from './wire.ts';
import { isReadable, type Kit } from './zmq.ts';

export interface DoorHooks {
  /** A frame of somebody who has no session yet. */
  knock(frame: Record<string, unknown>, wire: DoorWire): void;
}

/** A connection another node made to our door. */
export class DoorWire implements Wire {
  readonly dialled = false;
  key: string | undefined;
  /**
   * What every frame of the caller must carry. The transport's name of a connection can be taken by another caller once
   * the first is gone; this cannot be guessed.
   */
  token: string | undefined;
  readonly #router: Router;
  readonly #id: Buffer;
  readonly #closed: (wire: DoorWire) => void;

  constructor(router: Router, id: Buffer, closed: (wire: DoorWire) => void) {
    this.#router = router;
    this.#id = id;
    this.#closed = closed;
  }

  /** The transport's name of the connection. */
  get name(): string {
    return this.#id.toString('latin1');
  }

  send(text: string): Promise<void> {
    return this.#router.send([this.#id, text]);
  }

  close(): void {
    this.#closed(this);
  }
}

/** The socket where other dcs-io nodes call us; one connection each. */
export class Door {
  readonly #kit: Kit;
  readonly #hooks: DoorHooks;
  readonly #router: Router;
  readonly #sessions = new Map<string, { readonly session: Session; readonly token: string | undefined }>();
  /** Further addresses, and whether each could be had. */
  readonly #bound = new Map<string, boolean>();
  #binding = false;
  #closed = false;

  constructor(kit: Kit, hooks: DoorHooks) {
    this.#kit = kit;
    this.#hooks = hooks;
    this.#router = kit.router();
  }

  /** Binds to any free port; returns it. */
  async bind(host: string): Promise<number> {
    if (!this.#listening) void this.#listen();
    this.#listening = true;
    await this.#router.bind(tcp(host, '*'));
    const address = this.#router.lastEndpoint ?? '';
    return Number(address.slice(address.lastIndexOf(':') + 1));
  }
  #listening = false;

  /**
   * Binds to a port of more addresses, those that are not bound yet; one that cannot be had is told of once and tried again
   * the next time. Never rejects.
   */
  async bindAlso(hosts: readonly string[], port: number): Promise<void> {
    if (this.#binding) return;
    this.#binding = true;
    for (const host of hosts) {
      if (this.#closed || this.#bound.get(host) === true) continue;
      try {
        // One after the other: ZeroMQ refuses two binds of a socket at once.
        await this.#router.bind(tcp(host, port));
        this.#bound.set(host, true);
      } catch (error) {
        if (!this.#bound.has(host))
          this.#kit.log.warn({ err: error, host, port }, `other machines cannot find this one: ${messageOf(error)}`);
        this.#bound.set(host, false);
      }
    }
    this.#binding = false;
  }

  /** From now on the frames of this connection are the session's. */
  admit(wire: DoorWire, session: Session): void {
    this.#sessions.set(wire.name, { session, token: wire.token });
  }

  close(linger: number): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#router.linger = linger;
    this.#router.close();
  }

  async #listen(): Promise<void> {
    try {
      for await (const [id, frame, ...more] of this.#router) {
        if (id === undefined || frame === undefined || more.length > 0) this.#kit.stats.malformed++;
        else if (isReadable(frame, this.#kit.stats)) this.#take(id, frame);
      }
    } catch (error) {
      if (this.#closed) return;
      this.#kit.stats.socketErrors++;
      this.#kit.log.error({ err: error }, `the door is broken: ${messageOf(error)}`);
    }
  }

  /** A frame that trips us up harms its sender alone. */
  #take(id: Buffer, frame: Buffer): void {
    try {
      this.#receive(id, frame);
    } catch (error) {
      this.#kit.stats.malformed++;
      this.#kit.log.error({ err: error }, `a frame of another node was not understood: ${messageOf(error)}`);
    }
  }

  #receive(id: Buffer, frame: Buffer): void {
    const found = parseFrame(frame);
    if (!isRecord(found)) {
      this.#kit.stats.malformed++;
      return;
    }
    const known = this.#sessions.get(id.toString('latin1'));
    if (known && (known.token === undefined || found['k'] === known.token)) known.session.receive(found);
    else this.#hooks.knock(found, new DoorWire(this.#router, id, (wire) => this.#sessions.delete(wire.name)));
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
