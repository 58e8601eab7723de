import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Dealer, Publisher } from 'zeromq';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Mesh } from '../../src/mesh/mesh.ts';
import { newStats } from '../../src/mesh/stats.ts';
import { openSocketFactory } from '../../src/mesh/transport/socket-factory.ts';
import { CONTACT_EXPIRY_MS, Dialer } from '../../src/mesh/v1/dialer.ts';
import { SocketPair } from '../../src/mesh/v1/socket-pair.ts';
import { freePort } from '../support/free-port.ts';
import { quietLog } from './support/log.ts';
import { loneMesh } from './support/lone-mesh.ts';
import { ignoringPair } from './support/pair-listener.ts';
import { endPeers, Peer, talkBoth } from './support/peer.ts';

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  await endPeers();
  for (const each of open.splice(0)) await each.stop();
});

/** A peer that speaks the session protocol, and may lie in it. */
async function liar(mesh: Mesh): Promise<{ dealer: Dealer; welcome: Record<string, unknown> }> {
  const dealer = new Dealer({ linger: 0 });
  dealer.connect(`tcp://127.0.0.1:${mesh.address.port}`);
  const info = { id: 'LiarX', name: 'liar', boot: 'b', machine: 'elsewhere', addresses: [], port: 1 };
  const want = { all: true, subjects: [], pins: [] };
  await dealer.send(JSON.stringify({ hello: { ...info, server: { rx: 1, tx: 2 } }, t: 0, want, near: [] }));
  const [frame] = await dealer.receive();
  return { dealer, welcome: JSON.parse(String(frame)) };
}

describe('a peer that lies', () => {
  it('about the sender of a message is not believed: the message is dropped, counted and logged', async () => {
    const warnings: string[] = [];
    const log = { ...quietLog, warn: (_detail: object, message: string) => warnings.push(message) };
    const bus = new Bus();
    const { mesh } = await loneMesh(bus, log);
    open.push(mesh);
    await mesh.start();
    const heard: unknown[] = [];
    const actor = new Actor('listener');
    actor.on('Said', (data) => {
      heard.push(data);
    });
    bus.join(actor);
    const { dealer, welcome } = await liar(mesh);
    expect(welcome['welcome']).toMatchObject({ id: mesh.id });
    expect(JSON.stringify(welcome)).not.toMatch(/127\.|localhost/);
    const say = (sender: string[], msg_id: string) => ({ sender, msg_id, timestamp: 1, payload: { Said: msg_id } });
    const messages = [
      say(['Actor', 'LiarX'], 'Actor.0'),
      // With another node as its sender, with another actor's id, and with no process as its sender.
      say(['Actor', 'Other'], 'Actor.1'),
      say(['Actor', 'LiarX'], 'Victim.2'),
      say(['Actor'], 'Actor.3'),
      say(['Actor', 'LiarX'], 'Actor.4'),
    ];
    await dealer.send(JSON.stringify({ s: 0, t: 1, m: messages }));
    await expect.poll(() => heard, { timeout: 5000 }).toEqual(['Actor.0', 'Actor.4']);
    expect(mesh.stats.forged).toBe(3);
    expect(warnings).toEqual([
      'a message was refused: its last sender is not the peer of this session',
      'a message was refused: its msg_id is not of its creator',
      'a message was refused: its last sender is not the peer of this session',
    ]);
    dealer.close();
  });

  it('about length, with a frame of more than 1 MiB, has it dropped and counted, and the connection stays', async () => {
    const bus = new Bus();
    const { mesh, rx } = await loneMesh(bus);
    open.push(mesh);
    await mesh.start();
    const heard: unknown[] = [];
    const actor = new Actor('listener');
    actor.on('Said', (data) => void heard.push(data));
    bus.join(actor);
    const { dealer } = await liar(mesh);
    const say = (said: string) => ({
      sender: ['A', 'LiarX'],
      msg_id: `A.${heard.length}`,
      timestamp: 1,
      payload: { Said: said },
    });
    await dealer.send(JSON.stringify({ s: 0, t: 1, m: [say('x'.repeat(1024 * 1024))] }));
    await dealer.send(JSON.stringify({ s: 0, t: 1, m: [say('short')] }));
    await expect.poll(() => heard, { timeout: 20_000 }).toEqual(['short']);
    const publisher = new Publisher({ linger: 0 });
    publisher.connect(`tcp://127.0.0.1:${rx}`);
    await expect
      .poll(
        async () => {
          await publisher.send('x'.repeat(1024 * 1024 + 1));
          return mesh.stats.oversized;
        },
        { timeout: 20_000 },
      )
      .toBeGreaterThan(1);
    expect(mesh.stats).toMatchObject({ malformed: 0, forged: 0 });
    publisher.close();
    dealer.close();
  }, 60_000);

  it.each([
    ['ours', Peer.node],
    ['v1', Peer.v1],
  ])('about a huge serial does not silence the actor it names: %s', async (_name, kind) => {
    const ports = { rx: await freePort(), tx: await freePort() };
    const sink = await Peer.node(ports).ready();
    const victim = await kind(ports).ready();
    await talkBoth(victim, sink);
    const { actor } = await victim.line((line) => 'actor' in line);
    const forger = new Publisher({ linger: 0 });
    forger.connect(`tcp://127.0.0.1:${ports.rx}`);
    const forged = JSON.stringify({
      sender: [actor, victim.id],
      timestamp: 1,
      msg_id: `${String(actor)}.999999999999999`,
      payload: { Forged: {} },
    });
    for (let attempt = 0; attempt < 100 && sink.got('Forged').length === 0; attempt++) {
      await forger.send(forged);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(sink.got('Forged')).toHaveLength(1);
    victim.send('Afterwards', {}, { count: 50 });
    await sink.line(({ got }) => got?.payload['Afterwards']?.['n'] === 49);
    expect(sink.got('Afterwards')).toHaveLength(50);
    forger.close();
  });
});

describe('a contact that stays dead', () => {
  it('is forgotten: it is dialled no more and not passed on', async () => {
    const stats = newStats();
    const sockets = await openSocketFactory(stats, quietLog);
    const clock = new ManualClock();
    const pair = new SocketPair(sockets, 'client', ignoringPair);
    const dialer = new Dialer(pair, clock, sockets);
    const ports = { rx: await freePort(), tx: await freePort() };
    dialer.dial({ addresses: ['127.0.0.1'], ports }, []);
    expect(dialer.verified()).toEqual([]);
    await clock.advance(CONTACT_EXPIRY_MS - 1);
    dialer.sweep();
    expect(stats.expiredContacts).toBe(0);
    let dials = 0;
    const servers = await Promise.all(
      [ports.rx, ports.tx].map(
        (port) =>
          new Promise<ReturnType<typeof createServer>>((resolve) => {
            const server = createServer((socket) => {
              dials++;
              socket.destroy();
            }).listen(port, '127.0.0.1', () => resolve(server));
          }),
      ),
    );
    await expect.poll(() => dials, { timeout: 10_000 }).toBeGreaterThan(2);
    await clock.advance(2);
    dialer.sweep();
    expect(stats.expiredContacts).toBe(1);
    // A connection under way at that moment may still arrive.
    await new Promise((resolve) => setTimeout(resolve, 300));
    dials = 0;
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(dials).toBe(0);
    for (const server of servers) server.close();
    pair.close(0);
  }, 30_000);
});
