import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { startWeb } from './web-server.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const end of cleanups.splice(0)) end();
});

describe('a rejected upgrade', () => {
  it.each(['/api/socket', '/elsewhere'])(
    'at %s closes the connection, whatever the client does',
    async (path) => {
      const users = [{ name: 'ali', role: 'view', token: `sha256:${'0'.repeat(64)}` }] as const;
      const { web, port } = await startWeb(users);
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      cleanups.push(
        () => socket.destroy(),
        () => web.stop(),
      );
      let answer = '';
      socket.on('data', (data) => {
        answer += data;
      });
      // A connection that was answered but not destroyed would still accept writes.
      const broken = new Promise<void>((resolve) => socket.once('error', () => resolve()));
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
      );
      await expect.poll(() => answer, { timeout: 5000 }).toMatch(/^HTTP\/1\.1 (401|404)/);
      const writing = setInterval(() => socket.write('x'), 20);
      try {
        await broken;
      } finally {
        clearInterval(writing);
      }
    },
    5000,
  );
});
