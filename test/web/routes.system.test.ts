import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newToken } from '../../src/web/auth/credentials.ts';
import type { WebClient } from '../../src/web/client/web-client.ts';
import { until } from '../support/wait.ts';
import { parsed, WebAgent } from './web-agent.ts';

const roles = ['view', 'operate', 'admin'] as const;
const tokens = { view: newToken(), operate: newToken(), admin: newToken() };
type Client = 'unauthenticated' | (typeof roles)[number];
const everyClient: readonly Client[] = ['unauthenticated', ...roles];

let web: WebAgent;
beforeAll(async () => {
  const users = roles.map((role) => `    ${role}: { role: ${role}, token: "${tokens[role].hash}" }`).join('\n');
  web = await WebAgent.start(`web:\n  listen: 127.0.0.1:0\n  users:\n${users}`);
});
afterAll(() => web.stop());

/** Status of each route for an unauthenticated client, view, operate and admin. */
const table: Readonly<
  Record<string, readonly [unauthenticated: number, view: number, operate: number, admin: number]>
> = {
  'GET /api/pins': [401, 200, 200, 200],
  'GET /api/pins/{name}': [401, 200, 200, 200],
  'PUT /api/pins/{name}': [401, 403, 200, 200],
  'GET /api/events': [401, 200, 200, 200],
  'GET /api/history': [401, 200, 200, 200],
  'GET /api/session': [200, 200, 200, 200],
  'POST /api/session': [200, 200, 200, 200],
  'DELETE /api/session': [401, 204, 204, 204],
  'GET /api/status': [401, 200, 200, 200],
  'GET /api/headers': [401, 200, 200, 200],
  'GET /api/openapi.json': [200, 200, 200, 200],
  'GET /healthz': [200, 200, 200, 200],
  'GET /readyz': [200, 200, 200, 200],
  'GET /metrics': [401, 200, 200, 200],
};

async function ask(route: string, client: Client): Promise<number> {
  const [method = '', path = ''] = route.split(' ');
  const url = new URL(path.replace('{name}', 'pump') + (path === '/api/history' ? '?pin=pump' : ''), web.url);
  const bodies: Record<string, unknown> = { PUT: { val: true }, POST: { token: tokens.view.token } };
  const body = bodies[method];
  const response = await fetch(url, {
    method,
    headers: {
      ...(client !== 'unauthenticated' && { authorization: `Bearer ${tokens[client].token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  // An event stream has no end.
  await response.body?.cancel();
  return response.status;
}

describe('permissions', () => {
  it('over HTTP: every route, for every role', async () => {
    const { json } = await web.http('GET', '/api/openapi.json');
    const there = Object.entries(parsed(JSON.stringify(json['paths']))).flatMap(([path, methods]) =>
      Object.keys(Object(methods)).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(there.sort()).toEqual(Object.keys(table).sort());
    const found: Record<string, number[]> = {};
    for (const route of there) {
      found[route] = [];
      for (const client of everyClient) found[route].push(await ask(route, client));
    }
    expect(found).toEqual(table);
  });

  it('HEAD needs the same role as GET', async () => {
    for (const [route, [unauthenticated]] of Object.entries(table)) {
      if (!route.startsWith('GET ') || route.includes('events')) continue;
      expect(await ask(route.replace('GET', 'HEAD'), 'unauthenticated'), route).toBe(unauthenticated);
    }
  });

  it('over the WebSocket: every subject, for every role; a refused message is answered and not delivered', async () => {
    const clients: Record<string, WebClient> = {};
    for (const role of roles) {
      clients[role] = web.client({ token: tokens[role].token });
      await clients[role].ready();
    }
    const received: string[] = [];
    clients['admin']?.on((_subject, data) => typeof data['tag'] === 'string' && received.push(data['tag']));
    const messages: readonly [
      what: string,
      payload: Record<string, object>,
      view: boolean,
      operate: boolean,
      admin: boolean,
    ][] = [
      ['a question', { UpdateIoMessage: { pin_name: 'pump' } }, true, true, true],
      ['a command', { IoMessage: { pin_name: 'pump', val: true } }, false, true, true],
      ['an override', { IoMessage: { pin_name: 'pump', val: false, override: 1 } }, false, true, true],
      ['its end', { IoMessage: { pin_name: 'pump', override: 0 } }, false, true, true],
      ['a forged report', { IoMessage: { pin_name: 'pump-seen', val: true, last_change: 1 } }, false, false, true],
      ['bytes for a serial port', { SerialPortMessage: { port: 'x', data: 'x' } }, false, false, true],
      [
        'a node that is none',
        { NodeMessage: { event: 'leave', node: 'x', name: 'x', boot: 'x', pins: [] } },
        false,
        false,
        true,
      ],
      ['a subject of its own', { Anything: {} }, false, false, true],
      [
        'a command with something beside it',
        { IoMessage: { pin_name: 'pump', val: true }, Other: {} },
        false,
        false,
        true,
      ],
      ['what only the agent says', { WebSession: { id: 'x', role: 'admin' } }, false, false, false],
    ];
    for (const [what, payload, ...may] of messages) {
      for (const [at, role] of roles.entries()) {
        const tag = `${what} of ${role}`;
        const tagged = Object.fromEntries(
          Object.entries(payload).map(([subject, data]) => [subject, { ...data, tag }]),
        );
        // Some have no answer: without NO_PERMISSION the message was accepted.
        const answer = clients[role]?.request(tagged, 400).then(
          () => 'done',
          (error: unknown) => String(Reflect.get(Object(error), 'code')),
        );
        expect((await answer) !== 'NO_PERMISSION', tag).toBe(may[at]);
        if (role === 'admin') continue;
        if (may[at]) await until(`${tag} to arrive`, () => received.includes(tag));
        else expect(received, tag).not.toContain(tag);
      }
    }
    for (const client of Object.values(clients)) client.close();
  }, 30_000);
});
