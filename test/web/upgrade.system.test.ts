import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { startWeb } from './web-server.ts';

const over: (() => void)[] = [];
afterEach(() => {
  for (const end of over.splice(0)) end();
});

describe('an upgrade that is refused', () => {
  it.each(['/api/socket', '/elsewhere'])(
    'at %s ends its connection, whatever the other end does',
    async (path) => {
      const users = [{ name: 'ali', role: 'view', token: `sha256:${'0'.repeat(64)}` }] as const;
      const { web, port } = await startWeb(users);
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      over.push(
        () => socket.destroy(),
        () => web.stop(),
      );
      let answer = '';
      socket.on('data', (data) => {
        answer += data;
      });
      // One that was only answered, not let go of, would go on taking what is written to it.
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
