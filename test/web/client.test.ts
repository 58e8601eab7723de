import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type SocketLike, WebClient } from '../../src/web/client/web-client.ts';

type Listener = (event: { data?: unknown; reason?: string }) => void;

/** A fake WebSocket that the test controls. */
class FakeSocket implements SocketLike {
  static readonly made: FakeSocket[] = [];
  readonly sent: string[] = [];
  readonly protocols: readonly string[];
  closed = false;
  readonly #listeners = new Map<string, Listener>();

  constructor(_url: string, protocols: string[]) {
    this.protocols = protocols;
    FakeSocket.made.push(this);
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.closed = true;
  }

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, listener);
  }

  say(payload: object): void {
    this.#listeners.get('message')?.({ data: JSON.stringify({ sender: ['a'], timestamp: 1, msg_id: 'a.1', payload }) });
  }

  break(reason = ''): void {
    this.#listeners.get('close')?.({ reason });
  }
}

const session = { WebSession: { id: 'me', user: 'ali', role: 'admin', node: 'tested', missed: 0 } };
const last = () => FakeSocket.made.at(-1);

describe('WebClient', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    FakeSocket.made.length = 0;
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('reconnects when a connection is silent, although no close event comes', async () => {
    const client = new WebClient('http://pi:8080', { WebSocket: FakeSocket });
    const received: string[] = [];
    client.on((subject) => received.push(subject));
    const [first] = FakeSocket.made;
    first?.say(session);
    for (let beat = 0; beat < 6; beat++) {
      await vi.advanceTimersByTimeAsync(5000);
      first?.say({ WebBeat: {} });
    }
    expect(client.session).toBeDefined();
    const asked = client.set('lamp', true, {}, 60_000);
    const refused = expect(asked).rejects.toMatchObject({ code: 'OFFLINE' });
    await vi.advanceTimersByTimeAsync(18_000);
    await refused;
    expect(first?.closed).toBe(true);
    expect(client.session).toBeUndefined();
    expect(received.at(-1)).toBe('WebClosed');
    // Late messages of the dead connection are ignored.
    first?.say(session);
    first?.break();
    expect(client.session).toBeUndefined();
    expect(FakeSocket.made).toHaveLength(2);
    last()?.say(session);
    expect(await client.ready()).toMatchObject({ user: 'ali' });
    client.close();
  });

  it('detects a silent connection in time also when the clock was set back', async () => {
    const client = new WebClient('http://pi:8080', { WebSocket: FakeSocket });
    const [first] = FakeSocket.made;
    first?.say(session);
    await vi.advanceTimersByTimeAsync(4000);
    first?.say({ WebBeat: {} });
    vi.setSystemTime(Date.now() - 3_600_000);
    await vi.advanceTimersByTimeAsync(14_000);
    expect(client.session).toBeDefined();
    await vi.advanceTimersByTimeAsync(4000);
    expect(client.session).toBeUndefined();
    expect(first?.closed).toBe(true);
    client.close();
  });

  it('marks pins bad that the agent does not know after a reconnect', async () => {
    const client = new WebClient('http://pi:8080', { WebSocket: FakeSocket });
    const received: unknown[] = [];
    client.on(
      (subject, { pin_name, val, quality }) => subject === 'IoMessage' && received.push([pin_name, val, quality]),
    );
    const report = (pin_name: string, val: unknown) => ({
      IoMessage: { pin_name, val, last_change: 1, quality: 'good', reply_to: 'me.1' },
    });
    last()?.say(report('lamp', true));
    last()?.say(report('pressure', 4.2));
    last()?.say(session);
    expect(client.pins.get('pressure')).toMatchObject({ val: 4.2, quality: 'good' });
    received.length = 0;
    for (let life = 0; life < 2; life++) {
      last()?.break();
      await vi.advanceTimersByTimeAsync(500);
      last()?.say(report('lamp', false));
      last()?.say(session);
    }
    // Its node died while the agent was down: no message reports that.
    expect(client.pins.get('pressure')).toMatchObject({ val: 4.2, quality: 'bad' });
    expect(client.pins.get('pressure')).not.toHaveProperty('reply_to');
    expect(client.pins.get('lamp')).toMatchObject({ val: false, quality: 'good' });
    expect(received).toEqual([
      ['lamp', false, 'good'],
      ['pressure', 4.2, 'bad'],
      ['lamp', false, 'good'],
    ]);
    last()?.say(report('pressure', 4.3));
    expect(client.pins.get('pressure')).toMatchObject({ val: 4.3, quality: 'good' });
    client.close();
  });

  it('reconnects with a backoff of up to 8 s, and never after close()', async () => {
    const client = new WebClient('http://pi:8080', { WebSocket: FakeSocket, token: 'secret' });
    expect(last()?.protocols).toEqual(['dcs-io', 'dcs-io.token.secret']);
    const waits: number[] = [];
    for (let time = 0; time < 7; time++) {
      const before = FakeSocket.made.length;
      last()?.break();
      let waited = 0;
      while (FakeSocket.made.length === before && waited < 20_000) {
        await vi.advanceTimersByTimeAsync(500);
        waited += 500;
      }
      waits.push(waited);
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 8000, 8000]);
    client.close();
    last()?.break();
    const made = FakeSocket.made.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeSocket.made).toHaveLength(made);
    expect(() => client.send({ A: {} })).toThrow('no connection');
  });
});
