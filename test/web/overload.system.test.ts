import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Actor } from '../../src/bus/actor.ts';
import { until } from '../support/wait.ts';
import { startWeb } from './web-server.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const end of cleanups.splice(0)) end();
});

/** A web server and an actor that sends messages on its bus. */
async function setUp() {
  const { web, host, url } = await startWeb();
  cleanups.push(() => web.stop());
  const user = new Actor('user');
  host.bus.join(user);
  const report = (pin_name: string, val: unknown, more: object = {}) =>
    user.send({ IoMessage: { pin_name, val, last_change: 1, quality: 'good', ...more } });
  const counters = async (): Promise<Record<string, number>> => {
    const status: { web: Record<string, number> } = JSON.parse(await (await fetch(`${url}api/status`)).text());
    return status.web;
  };
  return { host, url, user, report, counters };
}

describe('an event stream', () => {
  it('sends a snapshot of any size, and no injected event', async () => {
    const { host, url, report } = await setUp();
    const note = 'x'.repeat(200);
    for (let pin = 0; pin < 6000; pin++) report(`pin-${pin}`, pin, { note });
    const id = 'evil\nevent: report\ndata: {"pin_name":"forged"}\n\n';
    const odd = {
      sender: [id],
      timestamp: 1,
      msg_id: `${id}.1`,
      payload: { IoMessage: { pin_name: 'odd', val: 1, last_change: 1 } },
    };
    host.bus.addTransport(() => undefined).inject(odd);
    const end = new AbortController();
    const response = await fetch(`${url}api/events`, { signal: end.signal });
    let text = '';
    const reading = (async () => {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk);
    })().catch(() => undefined);
    await until('the end of the snapshot', () => text.includes('"odd"'), 20_000);
    expect(text.match(/^event: report$/gm)).toHaveLength(6001);
    expect(text).not.toContain('forged');
    end.abort();
    await reading;
  }, 40_000);

  it('disconnects and counts a client that does not read', async () => {
    const { url, user, counters } = await setUp();
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until('the stream', async () => (await counters())['streams'] === 1);
    socket.pause();
    const note = 'x'.repeat(20_000);
    await until(
      'the disconnection',
      async () => {
        for (let burst = 0; burst < 50; burst++)
          user.send({ IoMessage: { pin_name: 'a', val: burst, last_change: 1, note } });
        const { streams_dropped: dropped, streams } = await counters();
        return dropped === 1 && streams === 0;
      },
      20_000,
    );
    socket.destroy();
  }, 40_000);
});

describe('overload', () => {
  it('a client that does not read misses messages, which are counted, and gets a new snapshot; others miss nothing', async () => {
    const { url, user, report, counters } = await setUp();
    const dial = () => {
      const socket = new WebSocket(`${url.replace('http', 'ws')}api/socket`);
      const sessions: unknown[] = [];
      const seen: { sessions: unknown[]; floods: number; last?: unknown } = { sessions, floods: 0 };
      socket.on('message', (data) => {
        const { payload } = JSON.parse(String(data));
        if (payload.WebSession) seen.sessions.push(payload.WebSession.missed);
        if (payload.Flood) seen.floods++;
        if (payload.IoMessage) seen.last = payload.IoMessage.val;
      });
      return { socket, seen };
    };
    const [slow, fast] = [dial(), dial()];
    await until('both', () => slow.seen.sessions.length + fast.seen.sessions.length === 2);
    slow.socket.pause();
    const text = 'x'.repeat(20_000);
    let sent = 0;
    const missed = async () => (await counters())['messages_dropped'] ?? 0;
    await until(
      'the slow client to miss messages',
      async () => {
        for (let burst = 0; burst < 20; burst++, sent++) user.send({ Flood: { text } });
        // Below the buffer limit, so that the fast client never misses a message.
        await until('the fast client', () => fast.seen.floods === sent);
        return (await missed()) > 0;
      },
      20_000,
    );
    report('level', 42);
    const dropped = await missed();
    slow.socket.resume();
    await until(
      'the new snapshot',
      () => {
        user.send({ Tick: {} });
        return slow.seen.sessions.length > 1;
      },
      20_000,
    );
    expect(slow.seen.last).toBe(42);
    expect(Number(slow.seen.sessions[1])).toBeGreaterThanOrEqual(dropped);
    expect(fast.seen.sessions).toEqual([0]);
    slow.socket.terminate();
    fast.socket.terminate();
  }, 60_000);
});
