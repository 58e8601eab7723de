import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Bus } from '../../src/bus/bus.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { Mesh } from '../../src/mesh/mesh.ts';
import { AccessControl } from '../../src/mesh/security/access-control.ts';
import {
  allow,
  decodeZ85,
  encodeZ85,
  equalProofs,
  fits,
  keyProof,
  listAllowed,
  loadKeys,
  newKeys,
  revoke,
  showKey,
} from '../../src/mesh/security/keys.ts';
import { newStats } from '../../src/mesh/stats.ts';
import { openSocketFactory } from '../../src/mesh/transport/socket-factory.ts';
import { freePort } from '../support/free-port.ts';
import { inside, Lab } from './support/lab.ts';
import { quietLog } from './support/log.ts';
import { endPeers, Peer, talkBoth } from './support/peer.ts';

const lab = new Lab();
const folders: string[] = [];
afterEach(async () => {
  await endPeers();
  lab.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'dcs-io-keys-'));
  folders.push(made);
  return made;
}

describe('keys', () => {
  it('are made once with mode 0600, and refused when others can read them', async () => {
    const keys = folder();
    const { publicKey } = await newKeys(keys);
    expect(showKey(keys)).toBe(publicKey);
    expect(statSync(join(keys, 'node.key')).mode & 0o777).toBe(0o600);
    await expect(newKeys(keys)).rejects.toMatchObject({ code: 'BAD_CONFIG' });
    chmodSync(join(keys, 'node.key'), 0o644);
    expect(() => loadKeys(keys)).toThrow(/can be read by others/);
  });

  it('are allowed and revoked by name', async () => {
    const keys = folder();
    const { publicKey } = await newKeys(keys);
    allow(keys, 'pump-house', publicKey, { write: ['pump-*'] });
    expect(listAllowed(keys).grants).toEqual([
      { name: 'pump-house', key: publicKey, read: ['*'], write: ['pump-*'], relay: false },
    ]);
    expect(() => allow(keys, '../x', publicKey)).toThrow();
    expect(() => allow(keys, 'x', 'short')).toThrow();
    revoke(keys, 'pump-house');
    expect(listAllowed(keys).grants).toEqual([]);
    expect(() => revoke(keys, 'pump-house')).toThrow(/no key is allowed/);
  });

  it('stay allowed beside an entry that is no key', async () => {
    const keys = folder();
    const { publicKey } = await newKeys(keys);
    allow(keys, 'pump-house', publicKey);
    mkdirSync(join(keys, 'allowed', 'old'));
    writeFileSync(join(keys, 'allowed', 'notes'), 'who is who');
    const { grants, broken } = listAllowed(keys);
    expect(grants).toMatchObject([{ name: 'pump-house' }]);
    expect(broken).toEqual(['notes', 'old']);
    const warnings: string[] = [];
    const log = { ...quietLog, warn: (_detail: object, message: string) => warnings.push(message) };
    const clock = new ManualClock();
    const sockets = await openSocketFactory(newStats(), log);
    const access = new AccessControl(keys, loadKeys(keys), clock, sockets);
    expect(access.keys()).toEqual([publicKey]);
    expect(warnings).toHaveLength(2);
  });

  it('prove who holds them, for one challenge', async () => {
    const [a, b, c] = [folder(), folder(), folder()];
    for (const each of [a, b, c]) await newKeys(each);
    const [one, two, three] = [loadKeys(a), loadKeys(b), loadKeys(c)];
    expect(equalProofs(keyProof(one, two.publicKey, 'x'), keyProof(two, one.publicKey, 'x'))).toBe(true);
    expect(equalProofs(keyProof(one, two.publicKey, 'x'), keyProof(two, one.publicKey, 'y'))).toBe(false);
    expect(equalProofs(keyProof(three, two.publicKey, 'x'), keyProof(two, one.publicKey, 'x'))).toBe(false);
    expect(encodeZ85(decodeZ85(one.publicKey))).toBe(one.publicKey);
  });

  it('have patterns of pins in which only * is special', () => {
    expect(fits('pump-1', ['lamp', 'pump-*'])).toBe(true);
    expect(fits('a.b', ['a?b'])).toBe(false);
    expect(fits('axb', ['a.b'])).toBe(false);
    expect(fits('anything', [])).toBe(false);
  });
});

describe('access control', () => {
  it('admits no key, not even a listed one, when its authenticator has stopped', async () => {
    const keys = folder();
    const { publicKey } = await newKeys(keys);
    allow(keys, 'self', publicKey);
    const own = loadKeys(keys);
    const stats = newStats();
    const sockets = await openSocketFactory(stats, quietLog, own);
    const access = new AccessControl(keys, own, systemClock, sockets);
    await access.start();
    const router = sockets.router();
    const heard: string[] = [];
    void (async () => {
      for await (const [, frame] of router) heard.push(String(frame));
    })();
    await router.bind('tcp://127.0.0.1:*');
    const send = async (text: string) => {
      const dealer = sockets.dealer(publicKey);
      dealer.events.on('handshake', () => undefined);
      dealer.connect(router.lastEndpoint ?? '');
      for (let attempt = 0; attempt < 40 && !heard.includes(text); attempt++) {
        // Without a connection nothing may be queued.
        await dealer.send(text).catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      dealer.close();
    };
    await send('while the gate is kept');
    expect(heard).toContain('while the gate is kept');
    access.close();
    await send('while nobody keeps it');
    expect(heard).not.toContain('while nobody keeps it');
    router.close();
  });
});

describe('a caller with a listed key', () => {
  it('that says hello with a key it does not hold is counted and gets no session', async () => {
    const [own, caller, other] = [folder(), folder(), folder()];
    const [key, callerKey, otherKey] = await Promise.all(
      [own, caller, other].map(async (keys) => (await newKeys(keys)).publicKey),
    );
    for (const [name, listed = ''] of Object.entries({ caller: callerKey, other: otherKey })) allow(own, name, listed);
    const options = { listen: '127.0.0.1', rx: await freePort(), tx: await freePort(), brokers: [], proxyBrokers: [] };
    const mesh = new Mesh(new Bus(), { ...options, insecure: false, security: { keys: own }, log: quietLog });
    await mesh.start();
    const sockets = await openSocketFactory(newStats(), quietLog, loadKeys(caller));
    const dealer = sockets.dealer(key);
    dealer.events.on('handshake', () => undefined);
    dealer.receiveTimeout = 20_000;
    dealer.sendTimeout = 20_000;
    dealer.connect(`tcp://127.0.0.1:${mesh.address.port}`);
    const hello = (claimed: string | undefined) => {
      const info = { id: 'LiarX', name: 'liar', boot: 'b', machine: 'elsewhere', addresses: [], port: 1, key: claimed };
      const want = { all: true, subjects: [], pins: [] };
      return JSON.stringify({ hello: { ...info, server: { rx: 1, tx: 2 } }, t: 0, want, near: [] });
    };
    const { publicKey: unlisted } = await newKeys(folder());
    await dealer.send(hello(unlisted));
    await expect.poll(() => mesh.stats.forged, { timeout: 20_000 }).toBe(1);
    // A listed key of another node, and the node's own key: the caller cannot prove either.
    for (const [at, claimed] of [otherKey, key].entries()) {
      await dealer.send(hello(claimed));
      const [challenge] = await dealer.receive();
      expect(JSON.parse(String(challenge))).toEqual({ challenge: expect.any(String) });
      await dealer.send(JSON.stringify({ proof: 'f'.repeat(64) }));
      await expect.poll(() => mesh.stats.forged, { timeout: 20_000 }).toBe(2 + at);
    }
    expect(mesh.links).toEqual([]);
    dealer.close();
    await mesh.stop();
  }, 60_000);
});

describe('a node whose connection has broken', () => {
  it('is not replaced by the owner of another key, and gets a session again itself', async () => {
    const [own, first, second] = [folder(), folder(), folder()];
    const [key = '', ...callers] = await Promise.all(
      [own, first, second].map(async (keys) => (await newKeys(keys)).publicKey),
    );
    for (const [at, listed] of callers.entries()) allow(own, `caller-${at}`, listed);
    const options = { listen: '127.0.0.1', rx: await freePort(), tx: await freePort(), brokers: [], proxyBrokers: [] };
    const mesh = new Mesh(new Bus(), { ...options, insecure: false, security: { keys: own }, log: quietLog });
    await mesh.start();
    const call = async (keys: string) => {
      const pair = loadKeys(keys);
      const sockets = await openSocketFactory(newStats(), quietLog, pair);
      const dealer = sockets.dealer(key);
      dealer.events.on('handshake', () => undefined);
      dealer.receiveTimeout = 2000;
      dealer.sendTimeout = 20_000;
      dealer.connect(`tcp://127.0.0.1:${mesh.address.port}`);
      const info = { id: 'NodeX', name: 'x', boot: 'b', machine: 'far', addresses: [], port: 1, key: pair.publicKey };
      const want = { all: true, subjects: [], pins: [] };
      await dealer.send(JSON.stringify({ hello: { ...info, server: { rx: 1, tx: 2 } }, t: 0, want, near: [] }));
      const { challenge } = JSON.parse(String((await dealer.receive())[0]));
      await dealer.send(JSON.stringify({ proof: keyProof(pair, key, `${challenge} NodeX`) }));
      const answer = await dealer.receive().then(
        ([frame]) => JSON.parse(String(frame)),
        () => undefined,
      );
      dealer.close();
      return answer;
    };
    expect(await call(first)).toMatchObject({ welcome: { id: mesh.id } });
    await expect.poll(() => mesh.links.map(({ open }) => open), { timeout: 20_000 }).toEqual([false]);
    expect(await call(second)).toBeUndefined();
    expect(mesh.stats.forged).toBe(1);
    expect(await call(first)).toMatchObject({ welcome: { id: mesh.id } });
    await mesh.stop();
  }, 60_000);
});

describe('two machines with keys', () => {
  const secure = { rx: 5012, tx: 5013, listen: '0.0.0.0' };
  const broker = { brokers: ['10.1.1.1:5012:5013'] };

  async function machines() {
    const [a, b] = [lab.machine('a'), lab.machine('b')];
    lab.network(1, { [a]: '10.1.1.1', [b]: '10.1.1.2' });
    const [ka, kb] = [folder(), folder()];
    const [pa, pb] = [(await newKeys(ka)).publicKey, (await newKeys(kb)).publicKey];
    return { a, b, ka, kb, pa, pb };
  }

  it('talk when each allows the other; a revoked key loses its session within 1 s, and reconnects when it is allowed again', async () => {
    const { a, b, ka, kb, pa, pb } = await machines();
    allow(ka, 'b', pb);
    allow(kb, 'a', pa);
    const one = await Peer.node({ ...secure, keys: ka }, a).ready();
    const two = await Peer.node({ ...secure, ...broker, keys: kb }, b).ready();
    await talkBoth(one, two);
    const begun = performance.now();
    revoke(ka, 'b');
    const { reason } = await one.line((line) => line['down'] === two.id, 3000);
    expect(reason).toBe('revoked');
    expect(performance.now() - begun).toBeLessThan(1500);
    two.send('AfterRevocation', {});
    one.send('AfterRevocation', {});
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect([...one.got('AfterRevocation'), ...two.got('AfterRevocation')]).toEqual([]);
    allow(ka, 'b', pb);
    await talkBoth(one, two, 5000);
  }, 40_000);

  it('exchange nothing with an unlisted key, without a key, and with v1', async () => {
    const { a, b, ka, kb, pa } = await machines();
    allow(kb, 'a', pa);
    const one = await Peer.node({ ...secure, keys: ka }, a).ready();
    const unlisted = await Peer.node({ ...secure, ...broker, keys: kb }, b).ready();
    const open = { ...secure, ...broker, insecure: true, rx: 6012, tx: 6013 };
    const plain = await Peer.node(open, b).ready();
    const old = await Peer.v1(open, b).ready();
    for (let n = 0; n < 10; n++) {
      for (const peer of [unlisted, plain, old]) peer.send('FromOutside', { n });
      one.send('FromInside', { n });
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(one.got('FromOutside')).toEqual([]);
    for (const peer of [unlisted, plain, old]) expect(peer.got('FromInside')).toEqual([]);
  }, 40_000);

  it('command and read the pins that their keys were granted, and are told which were not', async () => {
    const { a, b, ka, kb, pa, pb } = await machines();
    allow(ka, 'b', pb, { write: ['lamp*'], read: ['lamp*'] });
    allow(kb, 'a', pa);
    const lamp = await Peer.node({ ...secure, keys: ka, pin: 'lamp' }, a).ready();
    const two = await Peer.node({ ...secure, ...broker, keys: kb }, b).ready();
    await lamp.line((line) => line['up'] === two.id, 5000);
    await two.line((line) => line['up'] === lamp.id, 5000);
    two.tell({ ask: { pin_name: 'lamp', val: 1 } });
    await two.line((line) => line['answer'] === 1, 4000);
    two.tell({ ask: { pin_name: 'pump', val: 2 } });
    const { refused } = await two.line((line) => line['val'] === 2, 4000);
    expect(refused).toBe('NO_PERMISSION');
    await vi.waitFor(() => expect(lamp.errors.join('')).toContain('warn a message was refused: b may not write pump'));
    lamp.tell({ stats: true });
    const { stats } = await lamp.line((line) => 'stats' in line);
    expect(stats).toMatchObject({ forged: 1 });
    lamp.send('IoMessage', { pin_name: 'secret', val: 1, last_change: 1 });
    lamp.send('IoMessage', { pin_name: 'lamp-2', val: 1, last_change: 1 });
    await two.line(({ got }) => got?.payload['IoMessage']?.['pin_name'] === 'lamp-2');
    expect(two.got('IoMessage').filter(({ payload }) => payload['IoMessage']?.['pin_name'] === 'secret')).toEqual([]);
  }, 40_000);

  it('connect over each network of the broker, also over one that it gets later', async () => {
    const { a, b, ka, kb, pa, pb } = await machines();
    const c = lab.machine('c');
    inside(a, 'ip', 'addr', 'add', '10.1.3.1/24', 'dev', 'e1');
    const kc = folder();
    const pc = (await newKeys(kc)).publicKey;
    allow(ka, 'b', pb);
    allow(ka, 'c', pc);
    for (const keys of [kb, kc]) allow(keys, 'a', pa);
    const one = await Peer.node({ ...secure, keys: ka }, a).ready();
    const two = await Peer.node({ ...secure, ...broker, keys: kb }, b).ready();
    lab.network(2, { [a]: '10.1.2.1', [c]: '10.1.2.2' });
    const three = await Peer.node({ ...secure, brokers: ['10.1.2.1:5012:5013'], keys: kc }, c).ready();
    await talkBoth(one, two, 20_000);
    await talkBoth(one, three, 20_000);
  }, 60_000);

  it('serve v1 on loopback all the same', async () => {
    const { a, ka } = await machines();
    const one = await Peer.node({ ...secure, keys: ka }, a).ready();
    const old = await Peer.v1({ rx: 5012, tx: 5013 }, a).ready();
    await talkBoth(one, old);
  }, 40_000);
});
