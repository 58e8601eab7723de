import { beforeEach, describe, expect, it } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { Directory } from '../../src/mesh/peer/directory.ts';
import type { Session } from '../../src/mesh/peer/session.ts';
import { SubscriptionSync, V1Processes } from '../../src/mesh/peer/subscription-sync.ts';
import { nodeInfo, type RecordedConnection, SessionBench } from './support/session.ts';

let bench: SessionBench;
let directory: Directory;
let v1: V1Processes;
let sync: SubscriptionSync;

beforeEach(() => {
  bench = new SessionBench();
  directory = new Directory(bench.clock);
  v1 = new V1Processes(bench.clock);
  sync = new SubscriptionSync(directory, bench.router, v1);
});

function peer(id: string): { session: Session; connection: RecordedConnection } {
  const opened = bench.open(id);
  const node = directory.ensure(nodeInfo(id));
  if (node) node.session = opened.session;
  return opened;
}

/** The last subscription that a peer was told. */
const told = ({ frames }: RecordedConnection) => frames.findLast((frame) => 'want' in frame);
const nothing = { all: false, subjects: [], pins: [] };
const everything = { all: true, subjects: [], pins: [] };

async function settle(): Promise<void> {
  sync.refresh(false);
  await bench.clock.advance(100);
}

describe('a peer is told', () => {
  it('what the local actors listen to, at the end of the turn in which that changes', async () => {
    const { connection } = peer('Peer1');
    await bench.clock.advance(30);
    const actor = new Actor('hall');
    bench.bus.join(actor);
    actor.onPin('pump', () => undefined);
    actor.on('Alarm', () => undefined);
    await new Promise(setImmediate);
    expect(told(connection)).toEqual({ want: { all: false, subjects: ['Alarm'], pins: ['pump'] }, near: [] });
  });

  it('nothing again when nothing has changed', async () => {
    const { connection } = peer('Peer1');
    await settle();
    await settle();
    expect(connection.frames.filter((frame) => 'want' in frame)).toEqual([{ want: nothing, near: [] }]);
  });

  it('to send everything while a v1 process listens', async () => {
    const { connection } = peer('Peer1');
    v1.listening = true;
    await settle();
    expect(told(connection)).toMatchObject({ want: everything });
    expect(sync.current()).toMatchObject({ want: everything });
  });

  it('to send what another peer wants that does not reach it directly, and no longer once that one does', async () => {
    const [one, two] = [peer('Peer1'), peer('Peer2')];
    one.session.receive({ want: nothing, near: ['Peer2'] });
    two.session.receive({ want: { all: false, subjects: [], pins: ['lamp'] } });
    await settle();
    expect(told(one.connection)).toMatchObject({ want: { pins: ['lamp'] } });
    expect(told(two.connection)).toMatchObject({ want: nothing });
    two.session.receive({ near: ['Peer1'] });
    await settle();
    expect(told(one.connection)).toMatchObject({ want: nothing });
  });

  it('whose messages come without its help: settled peers and v1 processes heard within 10 s', async () => {
    const [one, two] = [peer('Peer1'), peer('Peer2')];
    expect(v1.hear('Old23')).toBe(true);
    expect(v1.hear('Old23')).toBe(false);
    await settle();
    expect(told(one.connection)).toMatchObject({ near: ['Old23'] });
    two.session.receive({ s: 0, t: 1 });
    await bench.clock.advance(100);
    await settle();
    expect(told(one.connection)).toMatchObject({ near: ['Old23', 'Peer2'] });
    await bench.clock.advance(10_000);
    expect(v1.sweep()).toBe(true);
    await settle();
    expect(told(one.connection)).toMatchObject({ near: ['Peer2'] });
    expect(v1.known()).toMatchObject([{ id: 'Old23' }]);
  });

  it('nothing more after the stop', async () => {
    const { connection } = peer('Peer1');
    sync.stop();
    await settle();
    expect(told(connection)).toBeUndefined();
  });
});
