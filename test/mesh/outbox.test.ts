import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Connection } from '../../src/mesh/peer/acceptor.ts';
import { Outbox } from '../../src/mesh/peer/outbox.ts';

/** A connection that refuses every frame until `takes` is set. */
class Stuck implements Connection {
  readonly outgoing = true;
  readonly key = undefined;
  readonly sent: string[] = [];
  takes = false;

  send(text: string): Promise<void> {
    if (!this.takes) return Promise.reject(Object.assign(new Error('full'), { code: 'EAGAIN' }));
    this.sent.push(text);
    return Promise.resolve();
  }

  close(): void {}
}

describe('the queue for a peer that does not read', () => {
  it('does not grow by heartbeats; when the peer reads again it gets what waited, and then a heartbeat', async () => {
    const clock = new ManualClock();
    const connection = new Stuck();
    const outbox = new Outbox(clock, connection, 0, { onDropped: () => undefined, onDisconnect: () => undefined });
    await clock.advance(1);
    outbox.post('{"a":1}', true);
    for (let tick = 0; tick < 1000; tick++) {
      outbox.heartbeat();
      await clock.advance(3);
    }
    connection.takes = true;
    await clock.advance(10);
    expect(connection.sent).toHaveLength(1);
    expect(connection.sent[0]).toContain('"m":[{"a":1}]');
    outbox.heartbeat();
    await clock.advance(10);
    expect(connection.sent.at(-1)).toMatch(/^\{"s":1,"t":/);
    outbox.close();
  });
});

it('urgent messages of one piece of work leave in one frame, behind those that wait', async () => {
  const clock = new ManualClock();
  const connection = new Stuck();
  connection.takes = true;
  const outbox = new Outbox(clock, connection, 0, { onDropped: () => undefined, onDisconnect: () => undefined });
  await clock.advance(1);
  outbox.post('{"first":1}', false);
  outbox.post('{"waiting":2}', false);
  outbox.post('{"answer":3}', true);
  await Promise.resolve();
  outbox.post('{"answer":4}', true);
  await new Promise(process.nextTick);
  expect(connection.sent.map((text) => JSON.parse(text).m)).toEqual([
    [{ first: 1 }],
    [{ waiting: 2 }, { answer: 3 }, { answer: 4 }],
  ]);
  outbox.close();
});

it('a batch that its last message fills leaves without another message, and heartbeats follow it', async () => {
  const clock = new ManualClock();
  const connection = new Stuck();
  connection.takes = true;
  const outbox = new Outbox(clock, connection, 0, { onDropped: () => undefined, onDisconnect: () => undefined });
  await clock.advance(1);
  outbox.post('{"first":1}', false);
  await new Promise((resolve) => setImmediate(resolve));
  outbox.post(JSON.stringify({ fill: 'x'.repeat(16_384) }), false);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  outbox.heartbeat();
  await clock.advance(1);
  expect(connection.sent.map((text) => JSON.parse(text).s)).toEqual([0, 1, 2]);
  outbox.close();
});
