import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect, Socket as RawSocket, Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { hashPassword, newToken } from '../../src/web/auth/credentials.ts';
import { ConnectionLimit } from '../../src/web/http/listener.ts';
import { until } from '../support/wait.ts';
import { getTls, makeCertificate, WebAgent } from './web-agent.ts';

const PASSWORD = 'correct horse';
const viewer = newToken();
let web: WebAgent;
let open: WebAgent;
const sockets: Socket[] = [];
/** Connections with an unfinished request; the server has to close them. */
const lazy: { what: string; closed: boolean }[] = [];

beforeAll(async () => {
  const password = await hashPassword(PASSWORD);
  web = await WebAgent.start(`web:
  listen: 127.0.0.1:0
  users:
    ali: { role: operate, password: "${password}", token: "${viewer.hash}" }
    boss: { role: admin, password: "${password}" }`);
  open = await WebAgent.start();
  const head = 'PUT /api/pins/pump HTTP/1.1\r\nHost: localhost\r\n';
  for (const [what, text] of [
    ['nothing', ''],
    ['half a line', 'GET /healthz HT'],
    ['headers without end', `${head}X-One: 1\r\n`],
    ['a body that does not come', `${head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{`],
  ] as const) {
    const entry = { what, closed: false };
    dial(open)
      .once('close', () => {
        entry.closed = true;
      })
      .write(text);
    lazy.push(entry);
  }
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await web.stop();
  await open.stop();
});

function dial({ port }: WebAgent): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {
    // The test checks that the server closes it.
  });
  socket.resume();
  sockets.push(socket);
  return socket;
}

/** Sends a raw request: fetch would normalise the path. */
function raw(to: WebAgent, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = dial(to);
    let answer = '';
    socket.on('data', (data) => {
      answer += String(data);
      if (/\r\n\r\n/.test(answer)) setTimeout(() => socket.destroy(), 50);
    });
    socket.once('close', () => resolve(answer));
    socket.write(text);
  });
}

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
const bearer = { authorization: `Bearer ${viewer.token}` };

describe('attacks', () => {
  it.each([
    '/../../../../etc/passwd',
    '/%2e%2e/%2e%2e/%2e%2e/etc/passwd',
    '/assets/../../package.json',
    '/assets/..%2f..%2f..%2fpackage.json',
    '/assets/..\\..\\package.json',
    '//etc/passwd',
    '/index.html%00.js',
    '/assets',
    '/./src/web/web-server.ts',
    'http://evil.example/etc/passwd',
  ])('path traversal reads no file of the machine: %s', async (path) => {
    const answer = await raw(open, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    expect([400, 404]).toContain(statusOf(answer));
    expect(answer).not.toMatch(/root:|"dependencies"|import \{/);
  });

  it('a too long body is refused by its declared length, before it arrives', async () => {
    const head = 'PUT /api/pins/pump HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
    expect(statusOf(await raw(open, `${head}Content-Length: 10000000000\r\n\r\n{`))).toBe(413);
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    expect(statusOf(await raw(open, `${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(20)}`))).toBe(413);
    expect(await open.http('GET', '/healthz')).toMatchObject({ status: 200 });
  });

  it('a body that is not a command is refused, and cannot pollute prototypes', async () => {
    for (const json of [
      { val: true, __proto__: { role: 'admin' }, x: 1 },
      { val: { a: 1 } },
      { val: null },
      'text',
      1,
      null,
    ]) {
      expect(await open.http('PUT', '/api/pins/pump', { json }), JSON.stringify(json)).toMatchObject({ status: 400 });
    }
    const polluting = await raw(
      open,
      'PUT /api/pins/pump HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 33\r\nConnection: close\r\n\r\n{"val":true,"__proto__":{"a":1}} ',
    );
    expect(statusOf(polluting)).toBe(400);
  });

  it('a page of another site gets nothing from an agent without users: by DNS rebinding, form, script or WebSocket', async () => {
    const evil = { host: 'evil.example' };
    const status = (headers: Record<string, string>, method = 'GET', path = '/api/pins') =>
      new Promise<number>((resolve) => {
        const request = httpRequest({ host: '127.0.0.1', port: open.port, path, method, headers }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        });
        request.end(method === 'GET' ? undefined : '{"val":true}');
      });
    // DNS rebinding: the browser believes that the agent is part of the site.
    expect(await status({ ...evil, origin: 'http://evil.example' })).toBe(403);
    expect(await status(evil, 'GET', '/')).toBe(403);
    // A form or script without CORS preflight can send simple content types only, and always sends its origin.
    expect(await status({ origin: 'http://evil.example', 'content-type': 'text/plain' }, 'PUT', '/api/pins/pump')).toBe(
      403,
    );
    expect(await status({ 'content-type': 'text/plain' }, 'PUT', '/api/pins/pump')).toBe(400);
    expect(await status({ origin: 'null' })).toBe(403);
    for (const headers of [evil, { origin: 'http://evil.example' }, { origin: 'null' }]) {
      const socket = new WebSocket(`${open.url.replace('http', 'ws')}api/socket`, { headers });
      const error = await new Promise<Error>((resolve) => socket.once('error', resolve));
      expect(error.message).toContain('403');
    }
    expect((await open.http('GET', '/api/pins/pump')).json['val']).toBe(false);
  });

  it('a page of another site can neither log a browser in nor use its cookie', async () => {
    const login = { user: 'ali', password: PASSWORD };
    const evil = { origin: 'http://evil.example' };
    expect(await web.http('POST', '/api/session', { json: login, headers: evil })).toMatchObject({ status: 403 });
    const { headers } = await web.http('POST', '/api/session', { json: login });
    const cookie = headers.get('set-cookie')?.split(';')[0] ?? '';
    for (const [method, path] of [
      ['PUT', '/api/pins/pump'],
      ['DELETE', '/api/session'],
    ] as const) {
      const json = method === 'PUT' ? { val: true } : undefined;
      expect(await web.http(method, path, { json, headers: { cookie } })).toMatchObject({ status: 403 });
    }
    const changed = `${cookie.slice(0, -1)}${cookie.endsWith('A') ? 'B' : 'A'}`;
    expect(await web.http('GET', '/api/pins', { headers: { cookie: changed } })).toMatchObject({ status: 401 });
  });

  it('a successful login does not reset the rate limit for other names', async () => {
    const strict = await WebAgent.start(`web:
  listen: 127.0.0.1:0
  users:
    eve: { role: view, password: "${await hashPassword(PASSWORD)}" }
    boss: { role: admin, password: "${await hashPassword('secret')}" }`);
    const attempt = async (user: string, password: string) =>
      (await strict.http('POST', '/api/session', { json: { user, password } })).status;
    const statuses: number[] = [];
    for (let round = 0; round < 4; round++) {
      statuses.push(await attempt('boss', `guess ${round}a`), await attempt('boss', `guess ${round}b`));
      await attempt('eve', PASSWORD);
    }
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
    await strict.stop();
  }, 20_000);

  it('a logout ends the event streams of the session', async () => {
    const { headers, json } = await web.http('POST', '/api/session', { json: { user: 'ali', password: PASSWORD } });
    const cookie = headers.get('set-cookie')?.split(';')[0] ?? '';
    const stream = await fetch(new URL('/api/events', web.url), { headers: { cookie } });
    let ended = false;
    const reading = (async () => {
      for await (const _chunk of stream.body ?? []);
      ended = true;
    })();
    await web.http('DELETE', '/api/session', { headers: { cookie, 'x-csrf-token': String(json['csrf']) } });
    await until('the end of the stream', () => ended);
    await reading;
  });

  it('connections are limited and counted; open ones continue, and new ones are accepted once there is room', async () => {
    const client = web.client({ token: viewer.token });
    await client.ready();
    const many = Array.from({ length: 300 }, () => dial(web));
    const closed = () => many.filter(({ destroyed }) => destroyed).length;
    await until('the limit', () => closed() >= 40, 20_000);
    await expect(client.set('pump', true)).resolves.toMatchObject({ val: true });
    for (const socket of many) socket.destroy();
    const { text } = await until(
      'room',
      async () => {
        const answer = await web.http('GET', '/metrics', { headers: bearer }).catch(() => undefined);
        return answer?.status === 200 ? answer : undefined;
      },
      20_000,
    );
    expect(Number(/what="connections_refused"\} (\d+)/.exec(text)?.[1])).toBeGreaterThanOrEqual(40);
    client.close();
  }, 60_000);

  it('one network can hold 40 % of the connections; a local reverse proxy can hold all', () => {
    const limit = new ConnectionLimit(100);
    const server = new Server();
    limit.attach(server);
    const from = (remoteAddress: string) => {
      const socket = Object.defineProperty(new RawSocket(), 'remoteAddress', { value: remoteAddress });
      server.emit('connection', socket);
      return socket;
    };
    const first = Array.from({ length: 50 }, () => from('2001:db8::1'));
    expect(first.filter(({ destroyed }) => destroyed)).toHaveLength(10);
    expect(from('2001:db8::2').destroyed).toBe(true);
    expect(from('2001:db8:1::1').destroyed).toBe(false);
    expect(Array.from({ length: 90 }, () => from('::ffff:127.0.0.1')).some(({ destroyed }) => destroyed)).toBe(false);
    expect(limit.refused).toBe(11);
    first[0]?.emit('close');
    expect(from('2001:db8::1').destroyed).toBe(false);
  });

  it('a client that does not finish its request is disconnected', async () => {
    await until('the end of all', () => lazy.every(({ closed }) => closed), 40_000);
    expect(await open.http('GET', '/healthz')).toMatchObject({ status: 200 });
  }, 60_000);
});

describe('the protection of the page', () => {
  it('allows scripts and styles of its own files only, none inline, and no frame around it', async () => {
    const { headers, text } = await open.http('GET', '/');
    const policy = headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    expect(text).not.toMatch(/<script>|<script [^>]*>[^<]|<style|\son\w+=|\sstyle=|href="http/);
    expect(headers.get('x-frame-options')).toBe('DENY');
  });

  it('sets a cookie that is HttpOnly and SameSite=Strict, with TLS also Secure and __Host-', async () => {
    const { headers } = await web.http('POST', '/api/session', { json: { user: 'ali', password: PASSWORD } });
    expect(headers.get('set-cookie')).toMatch(/^dcs-io-0=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
    const folder = mkdtempSync(join(tmpdir(), 'dcs-io-web-tls-'));
    const { cert, key } = makeCertificate(folder);
    const secure = await WebAgent.start(
      `web: { listen: "127.0.0.1:0", tls: { cert: ${cert}, key: ${key} }, users: { ali: { role: view, token: "${viewer.hash}" } } }`,
    );
    const { cookie } = await getTls(`${secure.url}api/session`, readFileSync(cert, 'utf8'), { token: viewer.token });
    expect(cookie).toMatch(/^__Host-dcs-io-0=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/);
    await secure.stop();
    rmSync(folder, { recursive: true, force: true });
  });
});
