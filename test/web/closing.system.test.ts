import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Actor } from '../../src/bus/actor.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { newToken } from '../../src/web/auth/credentials.ts';
import { until } from '../support/wait.ts';
import { parsed } from './web-agent.ts';
import { startWeb } from './web-server.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const end of cleanups.splice(0)) end();
});

/** Opens a WebSocket; resolves with its id once WebSession has arrived. */
async function socketOf(url: string, headers: Record<string, string> = {}): Promise<{ socket: WebSocket; id: string }> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}api/socket`, ['dcs-io'], { headers });
  cleanups.push(() => socket.terminate());
  const id = await new Promise<string>((resolve) => {
    socket.on('message', (data) => {
      const { payload } = parsed(String(data));
      const [, found] = /"WebSession":\{"id":"(\w+)"/.exec(JSON.stringify(payload)) ?? [];
      if (found !== undefined) resolve(found);
    });
  });
  return { socket, id };
}

function command(id: string, serial: number, val: unknown): string {
  const payload = { IoMessage: { pin_name: 'pump', val } };
  return JSON.stringify({ sender: [id], timestamp: 1, msg_id: `${id}.${serial}`, payload });
}

describe('a WebSocket that the agent has closed', () => {
  it('ignores further commands, even while the client has not answered the close', async () => {
    const { token, hash } = newToken();
    const { web, host, url } = await startWeb([{ name: 'ali', role: 'operate', token: hash }]);
    cleanups.push(() => web.stop());
    const received: unknown[] = [];
    const pump = new Actor('pump');
    pump.onPin('pump', ({ val }) => {
      received.push(val);
    });
    host.bus.join(pump);
    const login = await fetch(`${url}api/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token }),
    });
    const cookie = login.headers.get('set-cookie')?.split(';')[0] ?? '';
    const csrf = String(parsed(await login.text())['csrf']);
    const { socket, id } = await socketOf(url, { cookie });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.send(command(id, 0, 'logged in'));
    await expect.poll(() => received).toEqual(['logged in']);
    // The client does not read the close frame and goes on sending.
    socket.pause();
    await fetch(`${url}api/session`, { method: 'DELETE', headers: { cookie, 'x-csrf-token': csrf } });
    socket.send(command(id, 1, 'logged out'));
    socket.resume();
    expect(await closed).toBe(4401);
    expect(received).toEqual(['logged in']);
  });
});

describe('a WebSocket above its rate limit', () => {
  it('is read more slowly and not disconnected, and nothing it sent is lost', async () => {
    const clock = new ManualClock();
    const { web, host, url } = await startWeb([], clock);
    cleanups.push(() => web.stop());
    const received: unknown[] = [];
    const pump = new Actor('pump');
    pump.onPin('pump', ({ val }) => {
      received.push(val);
    });
    host.bus.join(pump);
    const { socket, id } = await socketOf(url);
    let closed = false;
    socket.once('close', () => {
      closed = true;
    });
    const question = { sender: [id], timestamp: 1, payload: { UpdateIoMessage: {} } };
    for (let at = 0; at < 1000; at++) socket.send(JSON.stringify({ ...question, msg_id: `${id}.${at}` }));
    // Longer than one read, so that it waits in the socket while reading is paused.
    socket.send(command(id, 1000, 'x'.repeat(60_000)));
    socket.send(command(id, 1001, 'last'));
    await until(
      'the last command',
      async () => {
        await clock.advance(500);
        return closed || received.includes('last');
      },
      20_000,
    );
    expect(closed).toBe(false);
    expect(clock.now()).toBeGreaterThan(100_000);
  }, 30_000);
});
