import { connect } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { Dealer, Publisher } from 'zeromq';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { loneMesh } from './support/lone-mesh.ts';

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.stop();
});

const INPUTS = 100_000;

/** Things a broken or hostile program might send, and messages that are almost right. */
const text = fc.oneof(
  fc.string({ maxLength: 200 }),
  fc.json({ maxDepth: 6 }),
  fc.integer({ min: 1, max: 10_000 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth)),
  fc
    .integer({ min: 1, max: 10_000 })
    .map((depth) => `{"sender":["a"],"msg_id":"a.1","payload":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`),
  fc
    .record(
      {
        sender: fc.oneof(fc.array(fc.string({ maxLength: 80 }), { maxLength: 70 }), fc.jsonValue()),
        msg_id: fc.oneof(fc.constantFrom('a.1', 'a.2', 'x.999999999999999', '.', 'a.b.c'), fc.string()),
        timestamp: fc.jsonValue(),
        payload: fc.oneof(
          fc.dictionary(
            fc.constantFrom('IoMessage', 'ProxyActorMessage', 'NodeMessage', '__proto__', 'constructor'),
            fc.jsonValue(),
          ),
          fc.record({
            ProxyActorMessage: fc.record(
              {
                new_contact_list: fc.array(
                  fc.record({
                    'ip-list': fc.array(fc.constantFrom('127.0.0.1', '0.0.0.0', 'x', '999.1.1.1')),
                    ports: fc.array(fc.integer()),
                  }),
                ),
                contact_list: fc.jsonValue(),
                reply_to: fc.jsonValue(),
                node: fc.jsonValue(),
              },
              { requiredKeys: [] },
            ),
          }),
          fc.jsonValue(),
        ),
      },
      { requiredKeys: [] },
    )
    .map((message) => JSON.stringify(message)),
  fc
    .record(
      {
        hello: fc.jsonValue(),
        s: fc.oneof(fc.integer(), fc.double()),
        t: fc.double(),
        m: fc.array(fc.jsonValue()),
        want: fc.jsonValue(),
        near: fc.jsonValue(),
        bye: fc.jsonValue(),
        nodes: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    .map((frame) => JSON.stringify(frame)),
);

describe('hostile input', () => {
  it(`never crashes, stalls or grows a node: ${INPUTS} inputs`, async () => {
    const bus = new Bus();
    const { mesh, rx } = await loneMesh(bus);
    open.push(mesh);
    await mesh.start();
    const heard: unknown[] = [];
    const actor = new Actor('listener');
    actor.on('Fine', (data) => {
      heard.push(data);
    });
    bus.join(actor);
    const pub = new Publisher({ linger: 0, sendHighWaterMark: 0 });
    pub.connect(`tcp://127.0.0.1:${rx}`);
    const dealer = new Dealer({ linger: 0, sendHighWaterMark: 0 });
    dealer.connect(`tcp://127.0.0.1:${mesh.address.port}`);
    const fine = (n: number) =>
      pub.send(JSON.stringify({ sender: ['good'], msg_id: `good.${n}`, timestamp: 1, payload: { Fine: n } }));
    for (let n = 0; heard.length === 0 && n < 100; n++) {
      await fine(n);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const samples = fc.sample(text, { numRuns: 5000, seed: 7 });
    await blast(5000);
    const before = process.memoryUsage().rss;
    await blast(INPUTS - 5000);
    async function blast(count: number): Promise<void> {
      for (let n = 0; n < count; n++) {
        const sample = samples[(n * 7919) % samples.length] ?? '';
        await (n % 2 ? pub.send(sample) : dealer.send(sample));
        if (n % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      }
    }
    heard.length = 0;
    await expect
      .poll(
        async () => {
          await fine(1_000_000 + Math.floor(performance.now()));
          return heard.length;
        },
        { timeout: 30_000 },
      )
      .toBeGreaterThan(0);
    expect(mesh.stats.malformed).toBeGreaterThan(INPUTS / 4);
    expect(process.memoryUsage().rss - before).toBeLessThan(150e6);
    pub.close();
    dealer.close();
  }, 120_000);

  it('a flood of silent connections, raw garbage and an oversized frame do not stop it', async () => {
    const bus = new Bus();
    const { mesh, rx, tx } = await loneMesh(bus);
    open.push(mesh);
    await mesh.start();
    const sockets = Array.from({ length: 300 }, (_, n) => {
      const socket = connect([rx, tx, mesh.address.port][n % 3] ?? rx, '127.0.0.1');
      socket.on('error', () => undefined);
      if (n % 2) socket.write(Buffer.alloc(2000, n));
      return socket;
    });
    const big = new Publisher({ linger: 0 });
    big.connect(`tcp://127.0.0.1:${rx}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await big.send('x'.repeat(2 * 1024 * 1024));
    const heard: unknown[] = [];
    const actor = new Actor('listener');
    actor.on('Fine', (data) => {
      heard.push(data);
    });
    bus.join(actor);
    const pub = new Publisher({ linger: 0 });
    pub.connect(`tcp://127.0.0.1:${rx}`);
    let n = 0;
    await expect
      .poll(
        async () => {
          await pub.send(
            JSON.stringify({ sender: ['good'], msg_id: `good.${n++}`, timestamp: 1, payload: { Fine: n } }),
          );
          return heard.length;
        },
        { timeout: 10_000 },
      )
      .toBeGreaterThan(0);
    for (const socket of sockets) socket.destroy();
    pub.close();
    big.close();
  }, 30_000);
});
