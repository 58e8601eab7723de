import { beforeEach, describe, expect, it } from 'vitest';
import { ReplacedSessions } from '../../src/mesh/peer/replaced-sessions.ts';
import { SessionBench } from './support/session.ts';

let bench: SessionBench;
let replaced: ReplacedSessions;

beforeEach(() => {
  bench = new SessionBench();
  replaced = new ReplacedSessions(bench.clock);
});

describe('a session that another connection replaces', () => {
  it('still takes what is under way for 1 s, sends nothing more, and then ends', async () => {
    const [old, next] = [bench.open('Peer1'), bench.open('Peer1')];
    old.session.post('"before"', false);
    replaced.add(old.session, next.session);
    old.session.post('"after"', true);
    old.session.receive({ s: 0, t: 1, m: ['under way'] });
    expect(bench.messages).toEqual(['under way']);
    await bench.clock.advance(999);
    expect(bench.eventsOf('ended')).toEqual([]);
    await bench.clock.advance(1);
    expect(bench.eventsOf('ended')).toEqual([{ type: 'ended', reason: 'replaced' }]);
    expect(old.connection.frames).toMatchObject([{ s: 0, m: ['before'] }]);
    expect(next.connection.frames).toContainEqual({ former: 1 });
  });

  it('is reconciled after 1 s: what the peer had sent on it and never came is a gap', async () => {
    const [old, next] = [bench.open('Peer1'), bench.open('Peer1')];
    replaced.add(old.session, next.session);
    replaced.reconcile(next.session, 3);
    old.session.receive({ s: 0, t: 1, m: ['one'] });
    await bench.clock.advance(1000);
    expect(bench.eventsOf('gap')).toEqual([{ type: 'gap', missed: 2 }]);
    expect(next.connection.frames).toContainEqual({ sync: true });
  });

  it('leaves no gap when everything came in time, and counts once only', async () => {
    const [old, next] = [bench.open('Peer1'), bench.open('Peer1')];
    replaced.add(old.session, next.session);
    replaced.reconcile(next.session, 1);
    replaced.reconcile(next.session, 9);
    old.session.receive({ s: 0, t: 1, m: ['one'] });
    await bench.clock.advance(2000);
    expect(bench.eventsOf('gap')).toEqual([]);
  });

  it('hands on to its successor that everything of the peer comes there', async () => {
    const [old, next] = [bench.open('Peer1'), bench.open('Peer1')];
    old.session.receive({ s: 0, t: 1 });
    await bench.clock.advance(100);
    replaced.add(old.session, next.session);
    expect(next.session.settled).toBe(true);
  });

  it('ends with the mesh, and leaves no timer', async () => {
    const [old, next] = [bench.open('Peer1'), bench.open('Peer1')];
    replaced.add(old.session, next.session);
    replaced.stop();
    expect(bench.eventsOf('ended')).toEqual([{ type: 'ended', reason: 'stopped' }]);
    next.session.end('stopped');
    await bench.clock.advance(0);
    expect(bench.clock.pending).toBe(0);
  });
});
