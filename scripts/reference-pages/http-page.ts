import { Bus } from '../../src/bus/bus.ts';
import { version } from '../../src/cli/version.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { inputSchema } from '../../src/config/json-schema.ts';
import type { Route } from '../../src/web/http/route.ts';
import type { WebHost } from '../../src/web/options.ts';
import { WebServer } from '../../src/web/web-server.ts';
import { code, prose, sentence, table } from './markdown.ts';
import { keyHead, keyRows } from './schema-rows.ts';

const log = { debug() {}, info() {}, warn() {}, error() {} };

/** The host of a server that is never started: only its routes are read. */
const host: WebHost = {
  bus: new Bus(),
  clock: systemClock,
  log,
  version: version(),
  self: () => ({ event: 'birth', node: '', name: '', boot: '', pins: [] }),
  running: () => false,
  ports: () => [],
  mesh: () => undefined,
  actors: () => [],
  headers: () => [],
};

/** All paths of the HTTP API, read from the routes of the server. */
export function httpPage(): string[] {
  const options = { host: '127.0.0.1', port: 0, users: [], origins: [], historyMs: 0 };
  const { routes } = new WebServer(options, host);
  return [
    '`GET /api/openapi.json` of a running agent returns the same as an OpenAPI document. For login and refusals see [web page and HTTP API](../web.md), for their codes [errors](errors.md).',
    table(
      ['path', 'description', 'role'],
      routes.map(({ method, path, summary, needs }) => [
        code(`${method} ${path}`),
        prose(summary),
        needs === 'anyone' ? '' : needs,
      ]),
    ),
    ...routes.flatMap(routeSection),
  ];
}

function routeSection({ method, path, summary, query, body, responses }: Route): string[] {
  const asked = query ? keyRows(inputSchema(query)) : [];
  const sent = body ? keyRows(inputSchema(body)) : [];
  const json = Object.entries(responses).filter(([status, { schema }]) => schema && Number(status) < 300);
  return [
    `## ${method} ${path}`,
    sentence(summary),
    ...(asked.length > 0 ? ['Query:', table(keyHead, asked)] : []),
    ...(sent.length > 0 ? ['Body:', table(keyHead, sent)] : []),
    table(
      ['status', 'meaning'],
      Object.entries(responses).map(([status, { description }]) => [status, prose(description)]),
    ),
    ...json.flatMap(([, { schema }]) => (schema ? answer(keyRows(inputSchema(schema))) : [])),
  ];
}

function answer(rows: readonly (readonly string[])[]): string[] {
  // An answer has no defaults. The OpenAPI document says which keys are optional.
  return rows.length === 0
    ? []
    : [
        'The answer has:',
        table(
          ['key', 'type', 'description'],
          rows.map(([key = '', type = '', , description = '']) => [key, type, description]),
        ),
      ];
}
