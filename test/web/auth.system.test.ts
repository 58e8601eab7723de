import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { hashPassword, newToken } from '../../src/web/auth/credentials.ts';
import { until } from '../support/wait.ts';
import { getTls, makeCertificate, WebAgent } from './web-agent.ts';

const PASSWORD = 'correct horse';
const [viewer, operator, admin] = [newToken(), newToken(), newToken()];
const folder = mkdtempSync(join(tmpdir(), 'dcs-io-web-'));
let web: WebAgent;

beforeAll(async () => {
  web = await WebAgent.start(`web:
  listen: 127.0.0.1:0
  origins: [https://panel.example]
  users:
    ali: { role: operate, password: ${await hashPassword(PASSWORD)} }
    screen: { role: view, token: ${viewer.hash} }
    robot: { role: operate, token: ${operator.hash} }
    boss: { role: admin, token: ${admin.hash} }`);
});
afterAll(async () => {
  await web.stop();
  rmSync(folder, { recursive: true, force: true });
});

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const on = { val: true };

async function login(): Promise<{ cookie: string; csrf: string }> {
  const { status, headers, json } = await web.http('POST', '/api/session', {
    json: { user: 'ali', password: PASSWORD },
  });
  expect(status).toBe(200);
  const set = headers.get('set-cookie') ?? '';
  expect(set).toMatch(/; HttpOnly; SameSite=Strict/);
  return { cookie: set.split(';')[0] ?? '', csrf: String(json['csrf']) };
}

/** Opens a WebSocket; returns `open` or the status of the rejection. */
function dial(headers: Record<string, string>, protocols: string[] = ['dcs-io']): Promise<string> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${web.url.replace('http', 'ws')}api/socket`, protocols, { headers });
    socket.once('open', () => {
      socket.terminate();
      resolve('open');
    });
    socket.once('error', (error) => resolve(/\d{3}/.exec(error.message)?.[0] ?? error.message));
  });
}

describe('an agent with users', () => {
  it.each([
    '/api/pins',
    '/api/pins/pump',
    '/api/status',
    '/api/history?pin=pump',
    '/api/events',
    '/api/headers',
    '/metrics',
  ])('tells an unauthenticated client nothing at %s', async (path) => {
    const { status, text } = await web.http('GET', path);
    expect(status).toBe(401);
    expect(text).not.toContain('pump');
  });

  it('tells an unauthenticated client only that it is alive and how to log in', async () => {
    expect(await web.http('GET', '/healthz')).toMatchObject({ status: 200 });
    expect(await web.http('GET', '/api/session')).toMatchObject({ json: { user: null, role: null, login: true } });
    expect(await web.http('PUT', '/api/pins/pump', { json: on })).toMatchObject({ status: 401 });
    expect(await dial({})).toBe('401');
  });

  it('view reads and commands nothing, operate commands, admin sends any subject', async () => {
    const put = (token: string) => web.http('PUT', '/api/pins/pump', { json: on, headers: bearer(token) });
    expect(await web.http('GET', '/api/pins/pump', { headers: bearer(viewer.token) })).toMatchObject({ status: 200 });
    expect(await put(viewer.token)).toMatchObject({ status: 403 });
    expect(await put(operator.token)).toMatchObject({ status: 200, json: { val: true } });

    const [sees, operates, all] = [viewer, operator, admin].map(({ token }) => web.client({ token }));
    await Promise.all([sees?.ready(), operates?.ready(), all?.ready()]);
    await expect(sees?.set('pump', false)).rejects.toMatchObject({ code: 'NO_PERMISSION' });
    await expect(operates?.set('pump', false)).resolves.toMatchObject({ val: false });
    const forged = { IoMessage: { pin_name: 'pump-seen', val: true, last_change: 1 } };
    await expect(operates?.request(forged)).rejects.toMatchObject({ code: 'NO_PERMISSION' });
    await expect(operates?.request({ SerialPortMessage: { port: 'sim', data: 'x' } })).rejects.toMatchObject({
      code: 'NO_PERMISSION',
    });
    await expect(all?.request({ SerialPortMessage: { port: 'sim', data: 'x' } })).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
    });
    for (const client of [sees, operates, all]) client?.close();
  });

  it('a browser logs in with name and password; a change also needs the CSRF token', async () => {
    const { cookie, csrf } = await login();
    expect(await web.http('GET', '/api/session', { headers: { cookie } })).toMatchObject({
      json: { user: 'ali', role: 'operate', csrf },
    });
    const put = (headers: Record<string, string>) => web.http('PUT', '/api/pins/pump', { json: on, headers });
    expect(await put({ cookie })).toMatchObject({ status: 403 });
    expect(await put({ cookie, 'x-csrf-token': 'wrong' })).toMatchObject({ status: 403 });
    expect(await put({ cookie, 'x-csrf-token': csrf })).toMatchObject({ status: 200 });
    expect(await put({ cookie, 'x-csrf-token': csrf, origin: 'http://evil.example' })).toMatchObject({ status: 403 });
    expect(await web.http('DELETE', '/api/session', { headers: { cookie, 'x-csrf-token': csrf } })).toMatchObject({
      status: 204,
    });
    expect(await put({ cookie, 'x-csrf-token': csrf })).toMatchObject({ status: 401 });
  });

  it('logging out closes the WebSockets of that login', async () => {
    const { cookie, csrf } = await login();
    const own = new URL(web.url).origin;
    const socket = new WebSocket(`${web.url.replace('http', 'ws')}api/socket`, ['dcs-io'], {
      headers: { cookie, origin: own },
    });
    await new Promise((resolve) => socket.once('open', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await web.http('DELETE', '/api/session', { headers: { cookie, 'x-csrf-token': csrf } });
    expect(await closed).toBe(4401);
  });

  it('a page of another site can neither read nor open a WebSocket with the cookie of a login', async () => {
    const { cookie } = await login();
    const own = new URL(web.url).origin;
    expect(await dial({ cookie, origin: own })).toBe('open');
    for (const origin of ['http://evil.example', 'null', `http://127.0.0.1:${web.port + 1}`]) {
      expect(await dial({ cookie, origin })).toBe('403');
      expect(await web.http('GET', '/api/pins', { headers: { cookie, origin } })).toMatchObject({ status: 403 });
    }
  });

  it('a page of a listed origin can use a token, and its CORS preflight succeeds', async () => {
    const origin = 'https://panel.example';
    const preflight = await web.http('OPTIONS', '/api/pins', { headers: { origin } });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe(origin);
    const { status, headers } = await web.http('GET', '/api/pins', { headers: { origin, ...bearer(viewer.token) } });
    expect([status, headers.get('access-control-allow-origin')]).toEqual([200, origin]);
    expect(await dial({ origin }, ['dcs-io', `dcs-io.token.${viewer.token}`])).toBe('open');
    expect(await dial({ origin })).toBe('401');
  });

  it('after five failed logins an address has to wait, even with the right password; a valid token still passes', async () => {
    const strict = await WebAgent.start(
      `web: { listen: "127.0.0.1:0", users: { ali: { role: view, password: ${await hashPassword(PASSWORD)}, token: ${viewer.hash} } } }`,
    );
    const attempt = (password: string) => strict.http('POST', '/api/session', { json: { user: 'ali', password } });
    for (let wrong = 0; wrong < 5; wrong++) expect((await attempt('guess')).status).toBe(401);
    const refused = await attempt(PASSWORD);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await strict.http('GET', '/api/pins', { headers: bearer('wrong') })).toMatchObject({ status: 429 });
    expect(await strict.http('GET', '/api/pins', { headers: bearer(viewer.token) })).toMatchObject({ status: 200 });
    expect(strict.agent.log).toContain('failed login as ali from 127.0.0.1');
    await strict.stop();
  });

  it('every response carries the security headers', async () => {
    const { headers } = await web.http('GET', '/api/session');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('cache-control')).toBe('no-store');
  });
});

describe('an agent without users', () => {
  it('answers only to names of this machine, so that DNS rebinding gets nothing', async () => {
    const open = await WebAgent.start();
    const get = (host: string) =>
      new Promise<number>((resolve) => {
        import('node:http').then(({ get: httpGet }) =>
          httpGet({ port: open.port, host: '127.0.0.1', path: '/api/pins', headers: { host } }, (response) => {
            response.resume();
            resolve(response.statusCode ?? 0);
          }),
        );
      });
    expect(await get(`localhost:${open.port}`)).toBe(200);
    expect(await get(`127.0.0.1:${open.port}`)).toBe(200);
    expect(await get(`evil.example:${open.port}`)).toBe(403);
    expect(await open.http('GET', '/api/pins', { headers: { origin: 'http://evil.example' } })).toMatchObject({
      status: 403,
    });
    await open.stop();
  });
});

describe('TLS', () => {
  it('serves HTTPS with the certificate of the configuration', async () => {
    const { cert, key } = makeCertificate(folder);
    const secure = await WebAgent.start(`web: { listen: "127.0.0.1:0", tls: { cert: ${cert}, key: ${key} } }`);
    expect(secure.url).toMatch(/^https:/);
    const { status, text } = await getTls(`${secure.url}api/session`, readFileSync(cert, 'utf8'));
    expect([status, text]).toEqual([200, expect.stringContaining('"node":"tested"')]);
    await secure.stop();
  });

  it('a renewed certificate is used without a restart; an unusable one is logged, and the old one stays', async () => {
    const place = mkdtempSync(join(tmpdir(), 'dcs-io-renewal-'));
    const { cert, key } = makeCertificate(place);
    const old = readFileSync(cert, 'utf8');
    const secure = await WebAgent.start(`web: { listen: "127.0.0.1:0", tls: { cert: ${cert}, key: ${key} } }`);
    const url = `${secure.url}healthz`;
    const { serial } = await getTls(url, old);
    const other = mkdtempSync(join(tmpdir(), 'dcs-io-renewal-'));
    const fresh = makeCertificate(other);
    const said = (text: string) => until(text, () => secure.agent.log.includes(text), 20_000);
    const serving = async (ca: string) => (await getTls(url, ca).catch(() => undefined))?.serial;
    // First only the certificate is replaced, then the key is invalid: the old pair stays in use.
    writeFileSync(cert, readFileSync(fresh.cert));
    await said('is not the key of the certificate');
    expect(await serving(old)).toBe(serial);
    rmSync(key);
    await said('cannot be read: ENOENT');
    writeFileSync(key, 'no key');
    await said('expected a private key in PEM form');
    expect(await serving(old)).toBe(serial);
    // ACME clients do it like this: the path is a symbolic link that is replaced.
    rmSync(key);
    symlinkSync(fresh.key, key);
    const renewed = await until('the new certificate', () => serving(readFileSync(fresh.cert, 'utf8')), 20_000);
    expect(renewed).not.toBe(serial);
    await secure.stop();
    for (const folder of [place, other]) rmSync(folder, { recursive: true, force: true });
  }, 90_000);

  it('an unreadable key is logged and stops the web page only', async () => {
    const agent = await WebAgent.start('web: { listen: "127.0.0.1:0", tls: { cert: ./no.pem, key: ./no.pem } }').catch(
      (error: unknown) => String(error),
    );
    expect(agent).toContain('the web page is not served');
    expect(agent).toContain('tested is running');
  });
});
