import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../support/wait.ts';
import { parsed } from './web-agent.ts';
import { startWeb } from './web-server.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const end of cleanups.splice(0)) end();
});

describe('event streams', () => {
  it('end with their connection, pipelined ones too', async () => {
    const { web, url, port } = await startWeb();
    cleanups.push(() => web.stop());
    const streams = async () => {
      const { web: counters } = parsed(await (await fetch(`${url}api/status`)).text());
      return Object.entries(counters ?? {}).find(([name]) => name === 'streams')?.[1];
    };
    const socket = connect(port, '127.0.0.1');
    cleanups.push(() => socket.destroy());
    // Pipelined: the second response waits for the end of the first, which never comes.
    socket.write('GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(3));
    await until('the streams', async () => (await streams()) === 3);
    socket.destroy();
    await until('their end', async () => (await streams()) === 0);
    expect(await streams()).toBe(0);
  });
});
