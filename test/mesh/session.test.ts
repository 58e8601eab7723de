import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { Session, type SessionHost } from '../../src/mesh/peer/session.ts';
import { Subscription } from '../../src/mesh/routing/subscription.ts';
import { newStats } from '../../src/mesh/stats.ts';

function bench() {
  const clock = new ManualClock();
  const [messages, gaps, formers]: [unknown[], number[], number[]] = [[], [], []];
  const nothing = () => undefined;
  const host: SessionHost = {
    clock,
    stats: newStats(),
    message: (_session, found) => void messages.push(found),
    gap: (_session, missed) => void gaps.push(missed),
    sentBefore: (_session, sent) => void formers.push(sent),
    ...{ changed: nothing, nodes: nothing, birth: nothing, sync: nothing, dropped: nothing },
    ...{ stalled: nothing, settled: nothing, ended: nothing },
  };
  const wire = { outgoing: true, key: undefined, send: () => Promise.resolve(), close: nothing };
  const server = { rx: 1, tx: 2 };
  const peer = { id: 'Peer1', name: 'peer', boot: 'b', machine: 'm', addresses: [], port: 1, server };
  const session = new Session(
    host,
    wire,
    { peer, subscription: Subscription.everything, directlyReachable: new Set() },
    false,
    undefined,
  );
  return { session, host, messages, gaps, formers };
}

describe('the numbers of a session', () => {
  it('that no count can be are malformed, and those that follow go on', () => {
    const { session, host, messages, gaps, formers } = bench();
    session.receive({ s: 0, t: 1, m: ['first'] });
    const none: unknown[] = [1e308, 1.5, -1, 2 ** 60];
    for (const s of none) session.receive({ s, t: 2, m: ['odd'] });
    for (const former of none) session.receive({ former });
    session.receive({ s: 1, t: 3, m: ['second'] });
    expect(messages).toEqual(['first', 'second']);
    expect(gaps).toEqual([]);
    expect(formers).toEqual([]);
    expect(host.stats.malformed).toBe(8);
    session.receive({ s: 4, t: 4, m: ['third'] });
    expect(gaps).toEqual([2]);
    session.end('stopped');
  });
});
