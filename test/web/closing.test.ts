import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Actor } from '../../src/bus/actor.ts';
import { newToken } from '../../src/web/auth/secrets.ts';
import { startWeb } from './in-process.ts';
import { parsed } from './support.ts';

const over: (() => void)[] = [];
afterEach(() => {
  for (const end of over.splice(0)) end();
});

/** A WebSocket that has been told under which id it sends. */
async function socketOf(url: string, headers: Record<string, string> = {}): Promise<{ socket: WebSocket; id: string }> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}api/socket`, ['dcs-io'], { headers });
  over.push(() => socket.terminate());
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
  it('commands nothing more, however long the other end takes to close it too', async () => {
    const { token, hash } = newToken();
    const { web, host, url } = await startWeb([{ name: 'ali', role: 'operate', token: hash }]);
    over.push(() => web.stop());
    const heard: unknown[] = [];
    const pump = new Actor('pump');
    pump.onPin('pump', ({ val }) => {
      heard.push(val);
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
    await expect.poll(() => heard).toEqual(['logged in']);
    // It does not read that it has been closed, and goes on.
    socket.pause();
    await fetch(`${url}api/session`, { method: 'DELETE', headers: { cookie, 'x-csrf-token': csrf } });
    socket.send(command(id, 1, 'logged out'));
    socket.resume();
    expect(await closed).toBe(4401);
    expect(heard).toEqual(['logged in']);
  });
});
