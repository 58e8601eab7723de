import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import { type Route, route } from '../http/route.ts';
import type { NodeSummary } from '../live/bus-state.ts';
import type { MeshStatus, PeerStatus, WebHost } from '../options.ts';
import { metricsText } from './metrics.ts';
import {
  errorSchema,
  headersSchema,
  type NodeStatus,
  type PinState,
  readySchema,
  type Status,
  statusSchema,
} from './schemas.ts';

const errorResponses = {
  401: { description: 'not logged in', schema: errorSchema },
  403: { description: 'the origin of the page is not allowed', schema: errorSchema },
} as const;

/** Routes for monitoring: status, health, metrics, and what describes the agent. */
export function statusRoutes(
  host: WebHost,
  status: () => Status,
  pins: () => readonly PinState[],
  document: () => object,
): Route[] {
  return [
    route({
      method: 'GET',
      path: '/api/status',
      summary: 'ports, nodes, counters',
      needs: 'view',
      responses: { 200: { description: 'status of the agent', schema: statusSchema }, ...errorResponses },
      handle: () => ({ status: 200, json: status() }),
    }),
    route({
      method: 'GET',
      path: '/api/headers',
      summary: "the board's connectors with the pins on them",
      needs: 'view',
      responses: {
        200: { description: 'rows of positions, as on the board', schema: headersSchema },
        ...errorResponses,
      },
      handle: () => ({ status: 200, json: host.headers() }),
    }),
    route({
      method: 'GET',
      path: '/api/openapi.json',
      summary: 'this document',
      needs: 'anyone',
      responses: { 200: { description: 'OpenAPI 3.1' } },
      handle: () => ({ status: 200, json: document() }),
    }),
    route({
      method: 'GET',
      path: '/healthz',
      summary: 'whether the process is alive',
      needs: 'anyone',
      responses: { 200: { description: 'alive', type: 'text/plain' } },
      handle: () => ({ status: 200, text: 'ok\n', type: 'text/plain; charset=utf-8' }),
    }),
    route({
      method: 'GET',
      path: '/readyz',
      summary:
        'whether the agent is ready: it has started and no port is down (a port that this machine lacks does not count)',
      needs: 'anyone',
      responses: {
        200: { description: 'ready', schema: readySchema },
        503: { description: 'not started, or a port is down', schema: readySchema },
      },
      handle: () => {
        const waiting = host
          .ports()
          .flatMap(({ name, state }) => (state === 'open' || state === 'skipped' ? [] : [name]));
        const ready = host.running() && waiting.length === 0;
        return { status: ready ? 200 : 503, json: { ready, waiting } };
      },
    }),
    route({
      method: 'GET',
      path: '/metrics',
      summary: 'metrics for Prometheus',
      needs: 'view',
      responses: { 200: { description: 'Prometheus text format 0.0.4', type: 'text/plain' }, ...errorResponses },
      handle: async () => ({
        status: 200,
        text: await metricsText(status(), pins()),
        type: 'text/plain; version=0.0.4; charset=utf-8',
      }),
    }),
  ];
}

/** Every process on the bus as this node sees it, from node messages and from the peers of the mesh. */
export function nodeStatuses(
  own: string,
  summaries: readonly NodeSummary[],
  mesh: MeshStatus | undefined,
): NodeStatus[] {
  const peers = new Map(mesh?.peers.map((peer) => [peer.id, peer]));
  const known = new Set(summaries.map(({ id }) => id));
  const v1Processes = (mesh?.v1Processes ?? []).filter(({ id }) => !known.has(id));
  return [...summaries.map((node) => nodeStatus(node, own, peers.get(node.id))), ...v1Processes.map(v1Status)];
}

function nodeStatus(
  { id, name, pins, silentS, leftS }: NodeSummary,
  own: string,
  peer: PeerStatus | undefined,
): NodeStatus {
  const common = { id, name, pins, missed: peer?.missed ?? 0, dropped: peer?.dropped ?? 0 };
  const state = id === own ? 'here' : leftS !== undefined ? 'lost' : peer?.open ? 'linked' : 'relayed';
  return {
    ...common,
    state,
    addresses: [...(peer?.addresses ?? [])],
    silent: state === 'here' ? 0 : silentS,
    ...(peer?.open && { since: peer.forMs / 1000, encrypted: peer.encrypted }),
    ...(state === 'lost' && leftS !== undefined && { since: leftS }),
    ...(peer?.roundTripMs !== undefined && { round_trip_ms: peer.roundTripMs }),
  };
}

/** A process of aktos-dcs v1 has no name and sends no node messages. */
function v1Status({ id, silentMs }: MeshStatus['v1Processes'][number]): NodeStatus {
  return { id, name: id, state: 'v1', pins: 0, addresses: [], silent: silentMs / 1000, missed: 0, dropped: 0 };
}

/** Sampling interval of the histogram: it does not measure shorter delays. */
const RESOLUTION_MS: DurationMs = 20;
const WINDOW_MS: DurationMs = 10_000;

interface DelayPercentiles {
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

/** Event-loop delay: how late timers fire. It covers the last 10 to 20 s, so that a peak is visible and then disappears. */
export class EventLoopDelay {
  readonly #clock: Clock;
  readonly #histogram: IntervalHistogram;
  #previousWindow: DelayPercentiles = { p50_ms: 0, p99_ms: 0, max_ms: 0 };
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  }

  start(): void {
    this.#histogram.enable();
    this.#scheduleReset();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#histogram.disable();
  }

  /** The maximum of the current window and of the one before. */
  get percentiles(): DelayPercentiles {
    const now = this.#read();
    return {
      p50_ms: Math.max(now.p50_ms, this.#previousWindow.p50_ms),
      p99_ms: Math.max(now.p99_ms, this.#previousWindow.p99_ms),
      max_ms: Math.max(now.max_ms, this.#previousWindow.max_ms),
    };
  }

  #scheduleReset(): void {
    this.#timer = this.#clock.after(WINDOW_MS, () => {
      this.#previousWindow = this.#read();
      this.#histogram.reset();
      this.#scheduleReset();
    });
  }

  #read(): DelayPercentiles {
    const histogram = this.#histogram;
    if (histogram.count === 0) return { p50_ms: 0, p99_ms: 0, max_ms: 0 };
    // The histogram holds the time between two samples: the part above the resolution is the delay.
    const late = (ns: number) => Math.round(Math.max(0, ns / 1e6 - RESOLUTION_MS) * 1000) / 1000;
    return {
      p50_ms: late(histogram.percentile(50)),
      p99_ms: late(histogram.percentile(99)),
      max_ms: late(histogram.max),
    };
  }
}
