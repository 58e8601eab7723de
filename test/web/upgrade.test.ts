import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Bus } from '../../src/bus/bus.ts';
import { systemClock } from '../../src/clock/clock.ts';
import type { WebHost } from '../../src/web/options.ts';
import { Web } from '../../src/web/web.ts';
import { memoryLog } from '../support/ports.ts';

const open: { web: Web; sockets: Socket[] }[] = [];
afterEach(() => {
  for (const { web, sockets } of open.splice(0)) {
    for (const socket of sockets) socket.destroy();
    web.stop();
  }
});

/** A web layer with one user, who is not known here. */
async function started() {
  const log = memoryLog();
  const host: WebHost = {
    bus: new Bus(),
    clock: systemClock,
    log,
    version: '1',
    self: () => ({ event: 'birth', node: 'me', name: 'here', boot: 'b', pins: [] }),
    running: () => true,
    ports: () => [],
    mesh: () => undefined,
    actors: () => [],
    headers: () => [],
  };
  const users = [{ name: 'ali', role: 'view' as const, token: `sha256:${'0'.repeat(64)}` }];
  const web = new Web({ host: '127.0.0.1', port: 0, users, origins: [], historyMs: 1000 }, host);
  await web.start();
  const sockets: Socket[] = [];
  open.push({ web, sockets });
  const { port } = new URL(/http:\S+/.exec(log.lines.map(({ message }) => message).join())?.[0] ?? '');
  return { port: Number(port), sockets };
}

describe('an upgrade that is refused', () => {
  it.each(['/api/socket', '/elsewhere'])(
    'at %s ends its connection, whatever the other end does',
    async (path) => {
      const { port, sockets } = await started();
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      sockets.push(socket);
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
