import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { DurationMs, Timer } from '../../clock/clock.ts';
import { type Gatekeeper, Refusal, type Visitor } from '../auth/gatekeeper.ts';
import type { WebHost } from '../options.ts';
import { BrowserSocket } from './browser-socket.ts';
import type { Hub } from './hub.ts';

const SUBPROTOCOL = 'dcs-io';
/** A message that is longer than this is no command of anybody. */
const MAX_MESSAGE = 64 * 1024;
const MAX_SOCKETS = 100;
/** Who does not answer a ping until the next one is gone. */
const PING_MS: DurationMs = 5000;

/**
 * Answers an upgrade that is refused, and closes. Nobody else watches such a connection any more: left to the other end, it
 * would take up its place among all of them for ever.
 */
export function refuseUpgrade(stream: Duplex, answer: string): void {
  stream.end(answer, () => stream.destroy());
}

/** The WebSockets of browsers and programs; each speaks the bus's envelopes. */
export class Sockets {
  readonly counters = { opened: 0, refused: 0, dropped: 0, malformed: 0 };
  readonly #hub: Hub;
  readonly #keeper: Gatekeeper;
  readonly #host: WebHost;
  readonly #server: WebSocketServer;
  readonly #sockets = new Set<BrowserSocket>();
  readonly #beaten: () => void;
  #timer: Timer | undefined;

  /** `beaten` is called every few seconds. */
  constructor(hub: Hub, keeper: Gatekeeper, host: WebHost, beaten: () => void) {
    this.#beaten = beaten;
    this.#hub = hub;
    this.#keeper = keeper;
    this.#host = host;
    this.#server = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_MESSAGE,
      // Small messages on a local network: compressing them costs more than it saves.
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    this.#beat();
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** An upgrade of a connection at the socket's path. Never throws: what is refused is answered and closed. */
  take(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    try {
      this.#keeper.checkOrigin(request);
      const visitor = this.#keeper.visitor(request);
      if (!visitor) throw new Refusal(401, 'log in first, or give a token');
      if (this.#sockets.size >= MAX_SOCKETS) throw new Refusal(503, `there are ${MAX_SOCKETS} WebSockets already`, 10);
      this.#server.handleUpgrade(request, stream, head, (socket) => this.#open(visitor, socket));
    } catch (error) {
      this.counters.refused++;
      const { status, message } = error instanceof Refusal ? error : { status: 500, message: 'something went wrong' };
      if (!(error instanceof Refusal)) this.#host.log.error({ err: error }, 'web: a WebSocket could not be opened');
      const body = `${message}\n`;
      refuseUpgrade(
        stream,
        `HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    }
  }

  /** Closes the sockets of those whose login has ended. */
  sweep(over: (visitor: Visitor) => boolean): void {
    for (const socket of this.#sockets) if (over(socket.visitor)) socket.close(4401, 'the login has ended');
  }

  stop(): void {
    this.#timer?.cancel();
    for (const socket of this.#sockets) socket.close(1001, 'the agent is stopping');
    this.#server.close();
  }

  #open(visitor: Visitor, socket: WebSocket): void {
    this.counters.opened++;
    const one = new BrowserSocket(socket, visitor, this.#hub, this.#host, this.counters, () => this.#used(visitor));
    this.#sockets.add(one);
    socket.once('close', () => this.#sockets.delete(one));
    one.begin();
  }

  /** Who commands over a socket uses the login, too. */
  #used({ session }: Visitor): void {
    if (session) this.#keeper.sessions.touch(session);
  }

  #beat(): void {
    this.#timer = this.#host.clock.after(PING_MS, () => {
      this.#beaten();
      for (const socket of this.#sockets) socket.beat();
      this.#beat();
    });
  }
}
