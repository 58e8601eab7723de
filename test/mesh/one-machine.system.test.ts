import { afterEach, describe, expect, it } from 'vitest';
import { Lab } from './support/lab.ts';
import { endPeers, Peer, talkBoth } from './support/peer.ts';

const lab = new Lab();
afterEach(async () => {
  await endPeers();
  lab.close();
});

const ports = { rx: 5012, tx: 5013 };

describe('processes of one machine, without any configuration', () => {
  it.each([
    ['ours, ours', Peer.node, Peer.node],
    ['v1, then ours', Peer.v1, Peer.node],
    ['ours, then v1', Peer.node, Peer.v1],
  ])('find each other on a machine that has only loopback: %s', async (_name, first, second) => {
    const machine = lab.machine('a');
    const one = await first(ports, machine).ready();
    const two = await second(ports, machine).ready();
    await talkBoth(one, two);
    expect([one.isBroker, two.isBroker]).toEqual([true, false]);
  });

  it('deliver a message once, in a mesh of three of each', async () => {
    const machine = lab.machine('a');
    lab.network(1, { [machine]: '10.1.1.1' });
    const peers: Peer[] = [];
    for (const kind of [Peer.node, Peer.v1, Peer.node, Peer.v1, Peer.node, Peer.v1])
      peers.push(await kind(ports, machine).ready());
    for (const one of peers) for (const other of peers) if (one !== other) await talkBoth(one, other);
    // In order too, once no link is being made any more: on a new, shorter way a message may overtake those on the old one.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    for (const [at, one] of peers.entries()) one.send(`Once${at}`, {}, { count: 100, rate: 500 });
    await Promise.all(
      peers.flatMap((one) =>
        peers.flatMap((other, at) =>
          other === one ? [] : [one.line(({ got }) => got?.payload[`Once${at}`]?.['n'] === 99)],
        ),
      ),
    );
    for (const [at, one] of peers.entries()) {
      for (const other of peers.keys()) {
        const numbers = one.got(`Once${other}`).map(({ payload }) => payload[`Once${other}`]?.['n']);
        expect(numbers).toEqual(at === other ? [] : Array.from({ length: 100 }, (_, n) => n));
      }
    }
  }, 60_000);

  it('deliver the first message sent after start', async () => {
    const machine = lab.machine('a');
    const one = await Peer.node(ports, machine).ready();
    const two = Peer.node(ports, machine);
    two.send('First', {});
    await two.ready();
    two.send('Second', {});
    // Promised within 300 ms; a shared machine may add as much again.
    await one.hears('Second', 800);
  });

  it.each([
    ['ours', Peer.node],
    ['v1', Peer.v1],
  ])(
    'have a new broker within 2 s when the broker is killed, and a new process still joins: %s',
    async (_name, kind) => {
      const machine = lab.machine('a');
      const one = await kind(ports, machine).ready();
      const two = await Peer.node(ports, machine).ready();
      const three = await Peer.node(ports, machine).ready();
      await talkBoth(two, three);
      one.kill();
      await one.exited;
      await talkBoth(two, three, 2000);
      const four = await Peer.v1(ports, machine).ready();
      await talkBoth(four, two);
      await talkBoth(four, three);
      const five = await Peer.node(ports, machine).ready();
      await talkBoth(five, four);
    },
  );

  it('bind both broker ports or none: a process that holds one of them blocks the others only while it lives', async () => {
    const machine = lab.machine('a');
    const squatter = new Peer(
      process.execPath,
      ['-e', 'require("net").createServer().listen(5013, "127.0.0.1", () => console.log("{}"))'],
      machine,
    );
    await squatter.line(() => true);
    const one = await Peer.node(ports, machine).ready();
    expect(one.isBroker).toBe(false);
    const probe = new Peer(
      process.execPath,
      ['-e', 'require("net").createServer().listen(5012, "127.0.0.1", () => console.log(\'{"free":1}\'))'],
      machine,
    );
    await probe.line((line) => 'free' in line);
    await squatter.end();
    await probe.end();
    const two = await Peer.node(ports, machine).ready();
    await talkBoth(one, two);
  });
});
