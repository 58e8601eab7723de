import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock, DurationMs, Timer } from '../../clock/clock.ts';
import { type Route, route } from '../http/route.ts';
import type { HeardNode } from '../live/bus-state.ts';
import type { MeshStatus, WebHost } from '../options.ts';
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
  401: { description: 'log in first', schema: errorSchema },
  403: { description: 'the page it comes from may not', schema: errorSchema },
} as const;

/** How the agent fares, for people and for machines. */
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
      responses: { 200: { description: 'how the agent fares', schema: statusSchema }, ...errorResponses },
      handle: () => ({ status: 200, json: status() }),
    }),
    route({
      method: 'GET',
      path: '/api/headers',
      summary: "the board's connectors with the pins on them",
      needs: 'view',
      responses: {
        200: { description: 'row by row as they lie on the board', schema: headersSchema },
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
      summary: 'whether the process lives',
      needs: 'anyone',
      responses: { 200: { description: 'it does', type: 'text/plain' } },
      handle: () => ({ status: 200, text: 'ok\n', type: 'text/plain; charset=utf-8' }),
    }),
    route({
      method: 'GET',
      path: '/readyz',
      summary: 'whether it does its work: it has started, and no port is down (one this machine lacks does not count)',
      needs: 'anyone',
      responses: {
        200: { description: 'it does', schema: readySchema },
        503: { description: 'not yet, or not everything', schema: readySchema },
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
      summary: 'everything countable, for Prometheus',
      needs: 'view',
      responses: { 200: { description: 'text format 0.0.4', type: 'text/plain' }, ...errorResponses },
      handle: () => ({
        status: 200,
        text: metricsText(status(), pins()),
        type: 'text/plain; version=0.0.4; charset=utf-8',
      }),
    }),
  ];
}

/** Every process on the bus as this node sees it: from what they say of themselves, and from the links there are. */
export function nodeStatuses(own: string, heard: readonly HeardNode[], mesh: MeshStatus | undefined): NodeStatus[] {
  const links = new Map(mesh?.peers.map((link) => [link.id, link]));
  const known = new Set(heard.map(({ id }) => id));
  const nodes = heard.map(({ id, name, pins, heardS, leftS }): NodeStatus => {
    const link = links.get(id);
    const state = id === own ? 'here' : leftS !== undefined ? 'lost' : link?.open ? 'linked' : 'relayed';
    const since = state === 'lost' ? leftS : link?.open ? link.forMs / 1000 : undefined;
    return {
      id,
      name,
      state,
      pins,
      addresses: [...(link?.addresses ?? [])],
      silent: id === own ? 0 : heardS,
      ...(since !== undefined && { since }),
      ...(link?.open && { encrypted: link.encrypted }),
      ...(link?.roundTripMs !== undefined && { round_trip_ms: link.roundTripMs }),
      missed: link?.missed ?? 0,
      dropped: link?.dropped ?? 0,
    };
  });
  const strangers = (mesh?.v1Processes ?? []).flatMap(({ id, silentMs }): NodeStatus[] =>
    known.has(id)
      ? []
      : [{ id, name: id, state: 'v1', pins: 0, addresses: [], silent: silentMs / 1000, missed: 0, dropped: 0 }],
  );
  return [...nodes, ...strangers];
}

/** How often the histogram looks; it cannot see a delay shorter than this. */
const RESOLUTION_MS: DurationMs = 20;
const WINDOW_MS: DurationMs = 10_000;

export interface DelayPercentiles {
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

/** How late the event loop comes to its timers: the last 10 s, so that a bad moment is seen and then forgotten. */
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

  /** The worse of the last whole window and the one that runs. */
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
    // It measures the time between two looks; what is above the resolution is the delay.
    const late = (ns: number) => Math.round(Math.max(0, ns / 1e6 - RESOLUTION_MS) * 1000) / 1000;
    return {
      p50_ms: late(histogram.percentile(50)),
      p99_ms: late(histogram.percentile(99)),
      max_ms: late(histogram.max),
    };
  }
}
