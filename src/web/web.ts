import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { MonotonicMs } from '../clock/clock.ts';
import { openApi } from './api/openapi.ts';
import { pinRoutes } from './api/pin-routes.ts';
import type { Status } from './api/schemas.ts';
import { sessionRoutes } from './api/session-routes.ts';
import { statusRoutes } from './api/status-routes.ts';
import { Gatekeeper, type Visitor } from './auth/gatekeeper.ts';
import { Dispatch } from './http/dispatch.ts';
import { Listener } from './http/listener.ts';
import type { Route } from './http/route.ts';
import { EventStreams } from './live/event-streams.ts';
import { Hub } from './live/hub.ts';
import { LoopDelay } from './live/loop-delay.ts';
import { nodeStatus } from './live/node-status.ts';
import { PinBook } from './live/pin-book.ts';
import { refuseUpgrade, Sockets } from './live/sockets.ts';
import type { WebHost, WebOptions } from './options.ts';

/** Path of the WebSocket. */
const SOCKET_PATH = '/api/socket';

/** The web page, the HTTP API and the WebSocket of an agent. */
export class Web {
  /** What it answers over HTTP; the OpenAPI document and the reference are made from these. */
  readonly routes: readonly Route[];
  readonly #host: WebHost;
  readonly #hub: Hub;
  readonly #keeper: Gatekeeper;
  readonly #sockets: Sockets;
  readonly #streams = new EventStreams();
  readonly #dispatch: Dispatch;
  readonly #listener: Listener;
  readonly #loop: LoopDelay;
  readonly #began: MonotonicMs;

  constructor(options: WebOptions, host: WebHost) {
    this.#host = host;
    this.#hub = new Hub(host, new PinBook(host.clock, options.historyMs));
    this.#keeper = new Gatekeeper(options, host);
    this.#sockets = new Sockets(this.#hub, this.#keeper, host, () => this.#sweep());
    this.#loop = new LoopDelay(host.clock);
    this.#began = host.clock.now();
    this.routes = [
      ...pinRoutes(this.#hub, host, this.#streams),
      ...sessionRoutes(this.#keeper, options, host, () => this.#sweep()),
      ...statusRoutes(
        host,
        () => this.#status(),
        () => this.#hub.book.pins(),
        () => document,
      ),
    ];
    const document = openApi(this.routes, host.version);
    this.#dispatch = new Dispatch(this.routes, this.#keeper, options, host.log);
    this.#listener = new Listener(options, host, {
      request: (request, response) => void this.#dispatch.answer(request, response),
      upgrade: (request, stream, head) => this.#upgrade(request, stream, head),
    });
  }

  /** Joins the bus and listens. Resolves after the first attempt; an address that is taken is tried again. */
  async start(): Promise<void> {
    this.#loop.start();
    this.#hub.start();
    await this.#listener.start();
  }

  /** Closes every connection and leaves the bus. Idempotent; takes no time. */
  stop(): void {
    this.#listener.stop();
    this.#streams.stop();
    this.#sockets.stop();
    this.#hub.stop();
    this.#loop.stop();
  }

  /** Ends what a login that is over has opened. */
  #sweep(): void {
    const over = ({ session }: Visitor) => session !== undefined && !this.#keeper.sessions.isAlive(session);
    this.#sockets.sweep(over);
    this.#streams.sweep(over);
  }

  #upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    stream.on('error', (error) => this.#host.log.debug({ err: error }, 'web: a connection broke'));
    if (request.url?.split('?', 1)[0] === SOCKET_PATH) this.#sockets.take(request, stream, head);
    else refuseUpgrade(stream, 'HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
  }

  #status(): Status {
    const host = this.#host;
    const mesh = host.mesh();
    const { node: own, name } = host.self();
    return {
      node: name,
      version: host.version,
      time: host.clock.unix(),
      uptime: (host.clock.now() - this.#began) / 1000,
      ports: host.ports().map((port) => ({ ...port, counters: { ...port.counters }, metrics: { ...port.metrics } })),
      nodes: nodeStatus(own, this.#hub.book.nodes(), mesh),
      broker: mesh?.broker ?? false,
      bus: { ...host.bus.stats },
      mesh: { ...mesh?.counters },
      actors: host.actors().map((actor) => ({ ...actor })),
      event_loop: this.#loop.delay,
      memory: process.memoryUsage.rss(),
      web: {
        sockets: this.#sockets.size,
        streams: this.#streams.size,
        logins_refused: this.#keeper.failures,
        sockets_opened: this.#sockets.counters.opened,
        connections_refused: this.#listener.limit.refused,
        streams_dropped: this.#streams.dropped,
        sockets_refused: this.#sockets.counters.refused,
        messages_dropped: this.#sockets.counters.dropped,
        messages_malformed: this.#sockets.counters.malformed,
        ...Object.fromEntries([...this.#dispatch.answered].map(([group, count]) => [`answered_${group}`, count])),
      },
    };
  }
}
