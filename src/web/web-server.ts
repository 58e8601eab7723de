import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { MonotonicMs } from '../clock/clock.ts';
import { pinRoutes } from './api/pin-routes.ts';
import type { Status } from './api/schemas.ts';
import { sessionRoutes } from './api/session-routes.ts';
import { EventLoopDelay, nodeStatuses, statusRoutes } from './api/status.ts';
import { Authenticator, type Identity } from './auth/authenticator.ts';
import { HttpListener } from './http/listener.ts';
import { openApi, type Route } from './http/route.ts';
import { HttpRouter } from './http/router.ts';
import { BusBridge } from './live/bus-bridge.ts';
import { BusState } from './live/bus-state.ts';
import { EventStreams } from './live/event-streams.ts';
import { rejectUpgrade, WebSocketConnections } from './live/websockets.ts';
import type { WebHost, WebOptions } from './options.ts';

/** Path of the WebSocket. */
const SOCKET_PATH = '/api/socket';

/** The web page, the HTTP API and the WebSocket of an agent. */
export class WebServer {
  /** The HTTP API; the OpenAPI document and docs/reference are generated from it. */
  readonly routes: readonly Route[];
  readonly #host: WebHost;
  readonly #bridge: BusBridge;
  readonly #auth: Authenticator;
  readonly #sockets: WebSocketConnections;
  readonly #streams: EventStreams;
  readonly #router: HttpRouter;
  readonly #listener: HttpListener;
  readonly #loopDelay: EventLoopDelay;
  readonly #startedAt: MonotonicMs;

  constructor(options: WebOptions, host: WebHost) {
    this.#host = host;
    this.#bridge = new BusBridge(host, new BusState(host.clock, options.historyMs));
    this.#auth = new Authenticator(options, host);
    this.#sockets = new WebSocketConnections(this.#bridge, this.#auth, host, () => this.#closeExpired());
    this.#streams = new EventStreams(this.#bridge, host.clock);
    this.#loopDelay = new EventLoopDelay(host.clock);
    this.#startedAt = host.clock.now();
    this.routes = [
      ...pinRoutes(this.#bridge, host, this.#streams),
      ...sessionRoutes(this.#auth, options, host, () => this.#closeExpired()),
      ...statusRoutes(
        host,
        () => this.#status(),
        () => this.#bridge.state.pins(),
        () => document,
      ),
    ];
    const document = openApi(this.routes, host.version);
    this.#router = new HttpRouter(this.routes, this.#auth, options, host.log);
    this.#listener = new HttpListener(options, host, {
      request: (request, response) => void this.#router.handle(request, response),
      upgrade: (request, stream, head) => this.#upgrade(request, stream, head),
    });
  }

  /** Joins the bus and listens. Resolves after the first attempt to listen; the listener retries an address in use. */
  async start(): Promise<void> {
    this.#loopDelay.start();
    this.#bridge.start();
    await this.#listener.start();
  }

  /** Closes every connection and leaves the bus, synchronously. Idempotent. */
  stop(): void {
    this.#listener.stop();
    this.#streams.stop();
    this.#sockets.stop();
    this.#bridge.stop();
    this.#loopDelay.stop();
  }

  /** Closes WebSockets and event streams whose login has ended. */
  #closeExpired(): void {
    const isExpired = ({ session }: Identity) => session !== undefined && !this.#auth.sessions.isAlive(session);
    this.#sockets.closeExpired(isExpired);
    this.#streams.closeExpired(isExpired);
  }

  #upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    stream.on('error', (error) => this.#host.log.debug({ err: error }, 'web: connection error'));
    if (request.url?.split('?', 1)[0] === SOCKET_PATH) this.#sockets.upgrade(request, stream, head);
    else rejectUpgrade(stream, 'HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
  }

  #status(): Status {
    const host = this.#host;
    const mesh = host.mesh();
    const { node: own, name } = host.self();
    return {
      node: name,
      version: host.version,
      time: host.clock.unix(),
      uptime: (host.clock.now() - this.#startedAt) / 1000,
      ports: host.ports().map((port) => ({ ...port, counters: { ...port.counters }, metrics: { ...port.metrics } })),
      nodes: nodeStatuses(own, this.#bridge.state.nodes(), mesh),
      broker: mesh?.broker ?? false,
      bus: { ...host.bus.stats },
      mesh: { ...mesh?.counters },
      actors: host.actors().map((actor) => ({ ...actor })),
      event_loop: this.#loopDelay.percentiles,
      memory: process.memoryUsage.rss(),
      web: {
        sockets: this.#sockets.size,
        streams: this.#streams.size,
        logins_refused: this.#auth.failedLogins,
        sockets_opened: this.#sockets.counters.opened,
        connections_refused: this.#listener.connections.refused,
        streams_dropped: this.#streams.dropped,
        sockets_refused: this.#sockets.counters.refused,
        messages_dropped: this.#sockets.counters.dropped,
        messages_malformed: this.#sockets.counters.malformed,
        ...Object.fromEntries([...this.#router.statusCounts].map(([group, count]) => [`answered_${group}`, count])),
      },
    };
  }
}
