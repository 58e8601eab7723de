import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { PingMonitor, PingSocket } from '../../src/mesh/liveness/pings.ts';
import { newStats } from '../../src/mesh/stats.ts';
import { until } from '../support/wait.ts';

const silent = { debug: nil, info: nil, warn: nil, error: nil };
function nil(): void {
  // These tests do not check log lines.
}
const nothing = { onPong: nil, onPing: nil, onGiveUp: nil };

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

async function end() {
  const stats = newStats();
  const pings = new PingSocket(stats, silent);
  await pings.bind('127.0.0.1', 0);
  open.push(pings);
  return { pings, stats };
}

/** Two ends of a session; what arrived at each. */
async function lines() {
  const [a, b] = [await end(), await end()];
  const heard: string[] = [];
  const hooks = (name: string) => ({
    onPong: (serial: bigint) => heard.push(`${name} answered ${serial}`),
    onPing: (deaf: boolean) => deaf && heard.push(`${name} deaf`),
    onGiveUp: () => heard.push(`${name} given up`),
  });
  const one = a.pings.open('127.0.0.1', hooks('one'));
  const two = b.pings.open(undefined, hooks('two'));
  if (!one || !two) throw new Error('no datagrams on this machine');
  expect(one.acceptOffer(two.offer) && two.acceptOffer(one.offer)).toBe(true);
  return { a, b, one, two, heard };
}

describe('pings beside a session', () => {
  it('are answered, and tell the pinged end the address of the other', async () => {
    const { one, two, heard } = await lines();
    expect(two.usable).toBe(false);
    one.ping(false);
    await until('the answer', () => heard.includes('one answered 1'));
    expect(two.usable).toBe(true);
    two.ping(true);
    await until('the answer', () => heard.includes('two answered 1'));
    expect(heard).toContain('one deaf');
    one.giveUp();
    await until('the end', () => heard.includes('two given up'));
  });

  it('that are forged, repeated, cut or of no peer get no answer, and are counted', async () => {
    const { pings } = await end();
    const target = await end();
    const two = target.pings.open(undefined, nothing);
    const one = pings.open('127.0.0.1', nothing);
    const spy = createSocket('udp4');
    open.push(spy);
    spy.bind(0, '127.0.0.1');
    await once(spy, 'listening');
    const packets: Buffer[] = [];
    spy.on('message', (packet) => packets.push(packet));
    if (!one || !two) throw new Error('no datagrams on this machine');
    two.acceptOffer(one.offer);
    // The spy stands where `two` should be, and so learns one true packet.
    one.acceptOffer({ ...two.offer, port: spy.address().port });
    one.ping(false);
    const packet = await until('the packet', () => packets.pop());
    const bad = [
      packet.map((byte, at) => (at === packet.length - 1 ? byte ^ 1 : byte)),
      packet.map((byte, at) => (at === 9 ? byte ^ 1 : byte)),
      packet.subarray(0, 20),
      Buffer.alloc(0),
      Buffer.alloc(packet.length),
      Buffer.alloc(60_000, 1),
    ];
    for (const each of bad) spy.send(each, two.offer.port, '127.0.0.1');
    await until('the bad ones to be counted', () => target.stats.malformed === bad.length);
    expect(packets).toEqual([]);
    spy.send(packet, two.offer.port, '127.0.0.1');
    await until('the answer to the true one', () => packets.length === 1);
    spy.send(packet, two.offer.port, '127.0.0.1');
    await until('the repeated one to be counted', () => target.stats.malformed === bad.length + 1);
    expect(packets).toHaveLength(1);
  });
});

describe('a ping monitor', () => {
  async function reach() {
    const clock = new ManualClock();
    const { pings } = await end();
    const found = new PingMonitor(pings, clock, '127.0.0.1', { onPeerNotReceiving: nil, onPeerGaveUp: nil });
    const other = await end();
    const line = other.pings.open(undefined, nothing);
    expect(found.acceptOffer(line?.offer)).toBe(true);
    return { clock, found };
  }

  it('says nothing before the first answer: then only the connection counts', async () => {
    const { clock, found } = await reach();
    for (let n = 1; n < 10; n++) {
      found.tick(clock.now(), true, false);
      await clock.advance(150);
    }
    expect(found.confirmed).toBe(false);
    expect(found.lossy(clock.now())).toBe(false);
  });

  it('says that the peer lives while it answers, and that packets are lost when an answer is missing', async () => {
    const { clock, found } = await reach();
    found.tick(clock.now(), false, false);
    found.onPong(1n);
    expect([found.confirmed, found.alive(clock.now()), found.lossy(clock.now())]).toEqual([true, true, false]);
    await clock.advance(400);
    found.tick(clock.now(), true, false);
    await clock.advance(400);
    expect(found.lossy(clock.now())).toBe(true);
    expect(found.alive(clock.now())).toBe(true);
    await clock.advance(500);
    expect(found.alive(clock.now())).toBe(false);
    await clock.advance(20_000);
    expect(found.lossy(clock.now())).toBe(false);
  });

  it('ignores an answer without a ping', async () => {
    const { clock, found } = await reach();
    found.onPong(7n);
    expect(found.confirmed).toBe(false);
    expect(found.alive(clock.now())).toBe(false);
  });
});
