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

/** An agent that is never started: only what it would answer is looked at. */
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

/** Every path of the HTTP API, from the routes that answer. */
export function httpPage(): string[] {
  const options = { host: '127.0.0.1', port: 0, users: [], origins: [], historyMs: 0 };
  const { routes } = new WebServer(options, host);
  return [
    'The same as an OpenAPI document: `GET /api/openapi.json` of a running agent. How to log in and what a refusal looks like: [web page and HTTP API](../web.md); its codes: [errors](errors.md).',
    table(
      ['path', 'what it does', 'needs the role'],
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
      ['answer', 'means'],
      Object.entries(responses).map(([status, { description }]) => [status, prose(description)]),
    ),
    ...json.flatMap(([, { schema }]) => (schema ? answer(keyRows(inputSchema(schema))) : [])),
  ];
}

function answer(rows: readonly (readonly string[])[]): string[] {
  // Which of them may be missing is in the OpenAPI document; a default means nothing in an answer.
  return rows.length === 0
    ? []
    : [
        'The answer has:',
        table(
          ['key', 'is', 'what it is'],
          rows.map(([key = '', is = '', , means = '']) => [key, is, means]),
        ),
      ];
}
