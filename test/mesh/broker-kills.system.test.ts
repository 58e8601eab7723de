import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { Lab } from './support/lab.ts';
import { endPeers, Peer, type Settings, talkBoth } from './support/peer.ts';

const lab = new Lab();
afterEach(async () => {
  await endPeers();
  lab.close();
});

const ports = { rx: 5012, tx: 5013 };
const count = (number: number) => Array.from({ length: number }, (_, n) => n);
const numbers = (peer: Peer, subject: string) => peer.got(subject).map(({ payload }) => payload[subject]?.['n']);
type Make = (settings: Settings, namespace?: string) => Peer;

/** The peers that report to be the address broker now. */
async function brokers(peers: readonly Peer[]): Promise<Peer[]> {
  const found = await Promise.all(
    peers.map(async (peer) => {
      const asked = peer.lines.length;
      peer.tell({ stats: true });
      const { broker } = await peer.line((line) => 'stats' in line && peer.lines.indexOf(line) >= asked);
      return broker === true ? [peer] : [];
    }),
  );
  return found.flat();
}

describe('a race for the broker', () => {
  it('of five that start at once ends with one broker, and so does the next race when that one is killed', async () => {
    const machine = lab.machine('a');
    const peers = count(5).map(() => Peer.node(ports, machine));
    await Promise.all(peers.map((peer) => peer.ready(30_000)));
    const [first, ...more] = await brokers(peers);
    expect(more).toEqual([]);
    if (!first) throw new Error('nobody is the broker');
    first.kill();
    await first.exited;
    const left = peers.filter((peer) => peer !== first);
    await expect.poll(async () => (await brokers(left)).length, { timeout: 10_000 }).toBe(1);
    const late = await Peer.node(ports, machine).ready();
    for (const peer of left) await talkBoth(late, peer);
    expect(await brokers([...left, late])).toHaveLength(1);
  }, 60_000);
});

describe.each<[string, Make]>([
  ['ours', Peer.node],
  ['v1', Peer.v1],
])('a broker (%s) that is killed and returns', (_name, kind) => {
  it('costs established peers no message at 500 a second, nodes and v1 processes alike', async () => {
    const machine = lab.machine('a');
    lab.network(1, { [machine]: '10.1.1.1' });
    const broker = await kind(ports, machine).ready();
    const peers = [
      await Peer.v1(ports, machine).ready(),
      await Peer.node(ports, machine).ready(),
      await Peer.v1(ports, machine).ready(),
      await Peer.node(ports, machine).ready(),
    ];
    const [v1, ours] = peers;
    if (!v1 || !ours) throw new Error('none');
    for (const [at, one] of peers.entries())
      for (const other of peers.slice(at + 1)) await talkBoth(one, other, 20_000);
    // Established means that no link is being made any more: a new, shorter way lets a message overtake those under way on
    // the old one, and v1 drops what comes late.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    v1.send('FromV1', {}, { count: 2500, rate: 500 });
    ours.send('FromOurs', {}, { count: 2500, rate: 500 });
    await v1.line(() => numbers(peers[2] ?? v1, 'FromV1').length > 500);
    broker.kill();
    await broker.exited;
    await v1.line(() => numbers(peers[2] ?? v1, 'FromV1').length > 1500, 20_000);
    const again = await kind(ports, machine).ready();
    const survivors = await Promise.all(
      peers.flatMap((peer) => [
        ...(peer === v1 ? [] : [peer.line(({ got }) => got?.payload['FromV1']?.['n'] === 2499, 30_000)]),
        ...(peer === ours ? [] : [peer.line(({ got }) => got?.payload['FromOurs']?.['n'] === 2499, 30_000)]),
      ]),
    );
    expect(survivors).toHaveLength(6);
    // None lost and none twice.
    for (const [at, peer] of peers.entries()) {
      if (peer !== v1) expect(peer.arrived('FromV1'), `peer ${at}`).toEqual(count(2500));
      if (peer !== ours) expect(peer.arrived('FromOurs'), `peer ${at}`).toEqual(count(2500));
    }
    await talkBoth(again, v1, 20_000);
  }, 90_000);
});

describe('5,000 reconnects', () => {
  it('do not slow a healthy link down', async () => {
    const { port, knocks, close } = await slammedDoor();
    // Each of these brokers takes every connection and closes it at once; libzmq connects again in 100 to 200 ms.
    const dead = count(60).map((n) => `127.0.1.${n + 1}:${port}:${port}`);
    const free = { rx: await freePort(), tx: await freePort() };
    const one = await Peer.node(free).ready();
    const two = await Peer.node({ ...free, brokers: dead }).ready();
    await talkBoth(one, two);
    const begun = performance.now();
    let round = 0;
    let slowest = 0;
    while (knocks() < 5000) {
      const subject = `Healthy${round++}`;
      const started = performance.now();
      one.send(subject, {}, { count: 500, rate: 500 });
      await two.line(({ got }) => got?.payload[subject]?.['n'] === 499);
      expect(numbers(two, subject)).toEqual(count(500));
      slowest = Math.max(slowest, performance.now() - started);
      if (performance.now() - begun > 60_000) throw new Error(`only ${knocks()} reconnects in 60 s`);
    }
    // 500 messages at 500 a second; a bus that stops for the reconnects would need many times that.
    expect(slowest).toBeLessThan(2500);
    await talkBoth(two, one);
    close();
  }, 90_000);
});

/** Takes every connection and closes it. */
async function slammedDoor(): Promise<{ port: number; knocks: () => number; close: () => void }> {
  let knocks = 0;
  const server = createServer((socket) => {
    knocks++;
    socket.on('error', () => undefined).destroy();
  });
  const port = await new Promise<number>((resolve) =>
    server.listen(0, '0.0.0.0', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    }),
  );
  return { port, knocks: () => knocks, close: () => server.close() };
}
