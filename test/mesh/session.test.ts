import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Session } from '../../src/mesh/peer/session.ts';
import { type RecordedConnection, SessionBench } from './support/session.ts';

let bench: SessionBench;
let session: Session;
let connection: RecordedConnection;

beforeEach(() => {
  bench = new SessionBench();
  ({ session, connection } = bench.open('Peer1'));
});
afterEach(() => session.end('stopped'));

/** Ticks as the mesh does, every 150 ms. */
async function run(ms: number, eachTick: () => void = () => undefined): Promise<void> {
  for (let at = 0; at < ms; at += 150) {
    await bench.clock.advance(150);
    eachTick();
    session.tick(bench.clock.now(), false);
  }
}

describe('the serial numbers of a session', () => {
  it('that no count can be are malformed, and the numbering goes on', () => {
    session.receive({ s: 0, t: 1, m: ['first'] });
    const invalid: unknown[] = [1e308, 1.5, -1, 2 ** 60];
    for (const s of invalid) session.receive({ s, t: 2, m: ['odd'] });
    for (const former of invalid) session.receive({ former });
    session.receive({ s: 1, t: 3, m: ['second'] });
    expect(bench.messages).toEqual(['first', 'second']);
    expect(bench.events).toEqual([]);
    expect(bench.stats.malformed).toBe(8);
    session.receive({ s: 4, t: 4, m: ['third'] });
    expect(bench.eventsOf('gap')).toEqual([{ type: 'gap', missed: 2 }]);
  });

  it('show a loss, and the peer is asked for its last reports', async () => {
    session.receive({ s: 2, t: 1, m: ['third'] });
    expect(bench.events).toEqual([{ type: 'gap', missed: 2 }]);
    expect(session.received).toBe(3);
    await bench.clock.advance(30);
    expect(connection.frames).toContainEqual({ sync: true });
  });
});

describe('a session', () => {
  it('holds messages back for 30 ms after it has opened, and sends urgent ones at once after that', async () => {
    session.post('"a"', true);
    await bench.clock.advance(29);
    expect(connection.frames).toEqual([]);
    await bench.clock.advance(1);
    expect(connection.frames).toMatchObject([{ s: 0, m: ['a'] }]);
    session.post('"b"', true);
    await bench.clock.advance(0);
    expect(connection.frames[1]).toMatchObject({ s: 1, m: ['b'] });
    expect(session.sent).toBe(2);
  });

  it('is settled 100 ms after the first frame of the peer; a repeated hello is none', async () => {
    session.receive({ hello: {} });
    await bench.clock.advance(1000);
    expect(session.settled).toBe(false);
    session.receive({ s: 0, t: 1 });
    await bench.clock.advance(99);
    expect(session.settled).toBe(false);
    await bench.clock.advance(1);
    expect(bench.events).toEqual([{ type: 'settled' }]);
  });

  it('sends a heartbeat with the next serial number at least every 0.75 s when it has nothing else to send', async () => {
    await run(3000, () => session.receive({ s: 0, t: bench.clock.now() }));
    const heartbeats = connection.frames.filter((frame) => frame['m'] === undefined && frame['s'] === 0);
    expect(heartbeats.length).toBeGreaterThanOrEqual(4);
  });

  it('ends as silent between 1.8 s and 2 s after the last frame, and forgets what waits', async () => {
    session.receive({ s: 0, t: 1 });
    await run(1800);
    expect(bench.eventsOf('ended')).toEqual([]);
    await run(150);
    expect(bench.eventsOf('ended')).toEqual([{ type: 'ended', reason: 'silent' }]);
    const frames = connection.frames.length;
    session.post('"late"', true);
    await bench.clock.advance(1000);
    expect(connection.frames).toHaveLength(frames);
    expect(connection.closed).toBe(true);
  });

  it('does not take the peer for lost when this process itself did not run', async () => {
    session.receive({ s: 0, t: 1 });
    await bench.clock.advance(10_000);
    session.tick(bench.clock.now(), true);
    expect(bench.eventsOf('ended')).toEqual([]);
    await run(1950);
    expect(bench.eventsOf('ended')).toEqual([{ type: 'ended', reason: 'silent' }]);
  });

  it('reads what arrived before a disconnect, the goodbye too', async () => {
    session.onDisconnect();
    await bench.clock.advance(40);
    session.receive({ s: 0, t: 1, m: ['last'] });
    await bench.clock.advance(40);
    session.receive({ bye: 'leave' });
    expect(bench.messages).toEqual(['last']);
    expect(bench.eventsOf('ended')).toEqual([{ type: 'ended', reason: 'leave' }]);
  });

  it('ends as disconnected 50 ms after the last frame of a broken connection', async () => {
    session.onDisconnect();
    await bench.clock.advance(49);
    expect(bench.events).toEqual([]);
    await bench.clock.advance(1);
    expect(bench.events).toEqual([{ type: 'ended', reason: 'disconnected' }]);
  });

  it('tells of a new subscription of the peer with the old one, and of no more than that', () => {
    const before = session.subscription;
    session.receive({ want: { all: false, subjects: ['Alarm'], pins: ['pump'] }, near: ['Other'] });
    expect(bench.events).toEqual([{ type: 'subscription', before }]);
    expect(session.subscription.all).toBe(false);
    expect(session.reachesDirectly('Other')).toBe(true);
    expect(session.reachesDirectly('Third')).toBe(false);
    session.receive({ near: 5, want: { all: 'yes' } });
    expect(bench.stats.malformed).toBe(1);
  });

  it('leaves with its last messages and a bye', async () => {
    session.post('"safe state"', false);
    const left = session.leave();
    await bench.clock.advance(0);
    await left;
    expect(connection.frames).toMatchObject([{ s: 0, m: ['safe state'] }, { bye: 'leave' }]);
    expect(bench.events).toEqual([{ type: 'ended', reason: 'stopped' }]);
  });
});
