import { type Route, route } from '../http/route.ts';
import type { WebHost } from '../options.ts';
import { metricsText } from './metrics.ts';
import { errorSchema, headersSchema, type PinState, readySchema, type Status, statusSchema } from './schemas.ts';

const refusals = {
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
      answers: { 200: { description: 'how the agent fares', schema: statusSchema }, ...refusals },
      handle: () => ({ status: 200, json: status() }),
    }),
    route({
      method: 'GET',
      path: '/api/headers',
      summary: "the board's connectors with the pins on them",
      needs: 'view',
      answers: { 200: { description: 'row by row as they lie on the board', schema: headersSchema }, ...refusals },
      handle: () => ({ status: 200, json: host.headers() }),
    }),
    route({
      method: 'GET',
      path: '/api/openapi.json',
      summary: 'this document',
      needs: 'anyone',
      answers: { 200: { description: 'OpenAPI 3.1' } },
      handle: () => ({ status: 200, json: document() }),
    }),
    route({
      method: 'GET',
      path: '/healthz',
      summary: 'whether the process lives',
      needs: 'anyone',
      answers: { 200: { description: 'it does', type: 'text/plain' } },
      handle: () => ({ status: 200, text: 'ok\n', type: 'text/plain; charset=utf-8' }),
    }),
    route({
      method: 'GET',
      path: '/readyz',
      summary: 'whether it does its work: it has started, and no port is down (one this machine lacks does not count)',
      needs: 'anyone',
      answers: {
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
      answers: { 200: { description: 'text format 0.0.4', type: 'text/plain' }, ...refusals },
      handle: () => ({
        status: 200,
        text: metricsText(status(), pins()),
        type: 'text/plain; version=0.0.4; charset=utf-8',
      }),
    }),
  ];
}
