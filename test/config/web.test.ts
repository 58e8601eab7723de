import { expect, test } from 'vitest';
import { errorsOf, load } from './fakes.ts';

const HASH = `scrypt:14:8:5:${'A'.repeat(22)}:${'B'.repeat(43)}`;

test('web: alone serves the page on loopback; without the section there is no page', () => {
  const bare = load('web:\n');
  expect(bare.ok && bare.config.web).toEqual({
    host: '127.0.0.1',
    port: 8080,
    users: [],
    origins: [],
    historyMs: 600_000,
  });
  const none = load('node: x\n');
  expect(none.ok && none.config.web).toBeUndefined();
});

test('listening on the network without users is an error that names the remedy', () => {
  for (const listen of ['0.0.0.0:8080', '192.168.1.5:80', '"[::]:8080"', 'pi.local:8080']) {
    const [error] = errorsOf(`web: { listen: ${listen} }`);
    expect(error).toMatchObject({ key: 'web.listen', message: expect.stringContaining('without users') });
    expect(error?.expected).toContain('dcs-io web password');
  }
});

test('with users it may listen on the network; without TLS there is a warning', () => {
  const users = `users: { ali: { role: operate, password: "${HASH}" } }`;
  const open = load(`web: { listen: 0.0.0.0:8080, ${users} }`);
  expect(open.ok && open.config.warnings).toMatchObject([
    { key: 'web.listen', message: expect.stringContaining('unencrypted') },
  ]);
  const closed = load(`web: { listen: "[::1]:8443", ${users}, tls: { cert: c.pem, key: /k.pem } }`);
  expect(closed.ok && closed.config.warnings).toEqual([]);
  expect(closed.ok && closed.config.web).toMatchObject({
    host: '::1',
    port: 8443,
    tls: { cert: '/etc/c.pem', key: '/k.pem' },
    users: [{ name: 'ali', role: 'operate', password: HASH }],
  });
});

test.each([
  ['web: { listen: 8080 }', 'web.listen'],
  ['web: { listen: "127.0.0.1" }', 'web.listen'],
  ['web: { listen: "127.0.0.1:99999" }', 'web.listen'],
  ['web: { listen: "[nonsense]:80" }', 'web.listen'],
  ['web: { users: { ali: { role: operate } } }', 'web.users.ali'],
  ['web: { users: { ali: { role: operate, password: secret } } }', 'web.users.ali.password'],
  ['web: { users: { ali: { role: boss, password: "x" } } }', 'web.users.ali.role'],
  ['web: { origins: [panel.example] }', 'web.origins[0]'],
  ['web: { tls: { cert: c.pem } }', 'web.tls'],
  ['web: { history: 5 }', 'web.history'],
])('%s is wrong at %s', (text, key) => {
  expect(errorsOf(text).map((error) => error.key)).toContain(key);
});

test('no password, token or key stands in a problem, wherever it was put by mistake', () => {
  const users = [
    'a: { role: view, password: SECRET }',
    'a: { role: view, password: [SECRET] }',
    'a: SECRET',
    'a: [SECRET]',
  ];
  const sections = users.map((user) => `users: { ${user} }`);
  sections.push('users: { a: { role: view, token: { SECRET: x } } }', 'users: SECRET', 'users: [{ password: SECRET }]');
  sections.push('tls: { cert: x, key: "-----BEGIN PRIVATE KEY----- SECRET" }', 'tls: [x, SECRET]');
  for (const section of sections) {
    const errors = errorsOf(`web: { ${section} }`);
    expect(errors.length, section).toBeGreaterThan(0);
    expect(JSON.stringify(errors), section).not.toContain('SECRET');
  }
});
