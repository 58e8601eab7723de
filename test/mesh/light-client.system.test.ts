import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { LightClient } from '../../src/mesh/light-client.ts';
import { Mesh } from '../../src/mesh/mesh.ts';
import { loadZmq } from '../../src/mesh/transport/socket-factory.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';
import { quietLog } from './support/log.ts';
import { endPeers, Peer } from './support/peer.ts';

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  await endPeers();
  for (const each of open.splice(0)) await each.stop();
});

async function agent(): Promise<{ bus: Bus; mesh: Mesh; rx: number; tx: number }> {
  const [rx, tx] = [await freePort(), await freePort()];
  const bus = new Bus();
  const options = { listen: '127.0.0.1', rx, tx, brokers: [], proxyBrokers: [], insecure: false, log: quietLog };
  const mesh = new Mesh(bus, options);
  open.push(mesh);
  await mesh.start();
  return { bus, mesh, rx, tx };
}

/** A pin as an agent has it: answers each command with one report or error. */
function lamp(bus: Bus): void {
  const actor = new Actor('lamp');
  actor.onPin('lamp', ({ val }, { msg_id }) => {
    if (typeof val === 'boolean') {
      actor.send({ IoMessage: { pin_name: 'lamp', val, last_change: 1, quality: 'good', reply_to: msg_id } });
    } else {
      actor.send({ IoErrorMessage: { pin_name: 'lamp', code: 'BAD_VALUE', message: 'not a bool', reply_to: msg_id } });
    }
  });
  bus.join(actor);
}

describe('a leaf', () => {
  it('asks through the broker at once when it has started, and gets the one answer', async () => {
    const { bus, rx, tx } = await agent();
    lamp(bus);
    for (let run = 0; run < 10; run++) {
      const local = new Bus();
      const leaf = new LightClient(local, { host: '127.0.0.1', rx, tx }, quietLog);
      await leaf.start(2000);
      const asker = new Actor('cli');
      local.join(asker);
      const answer = await asker.request({ IoMessage: { pin_name: 'lamp', val: true } }, { timeoutMs: 1000 });
      expect(answer.payload['IoMessage']).toMatchObject({ val: true });
      await expect(asker.request({ IoMessage: { pin_name: 'lamp', val: 'banana' } })).rejects.toMatchObject({
        code: 'BAD_VALUE',
      });
      await leaf.stop();
    }
  });

  it('is heard again after its agent was restarted, and asks for nothing meanwhile', async () => {
    const { mesh, rx, tx } = await agent();
    const clock = new ManualClock();
    const local = new Bus({ clock });
    const leaf = new LightClient(local, { host: '127.0.0.1', rx, tx }, quietLog);
    open.push(leaf);
    let ready = false;
    const started = leaf.start(2000).then(() => {
      ready = true;
    });
    await until('the leaf', async () => {
      if (!ready) await clock.advance(20);
      return ready;
    });
    await started;
    expect(clock.pending).toBe(0);
    await mesh.stop();
    const bus = new Bus();
    const options = { listen: '127.0.0.1', rx, tx, brokers: [], proxyBrokers: [], insecure: false, log: quietLog };
    const again = new Mesh(bus, options);
    open.push(again);
    await again.start();
    const heard: unknown[] = [];
    const listener = new Actor('listener');
    listener.on('FromLeaf', (data) => {
      heard.push(data);
    });
    bus.join(listener);
    const actor = new Actor('cli');
    local.join(actor);
    await until('the leaf again', () => {
      actor.send({ FromLeaf: {} });
      return heard.length > 0;
    });
    expect(clock.pending).toBe(0);
  });

  it('says where no agent answers', async () => {
    const [rx, tx] = [await freePort(), await freePort()];
    const leaf = new LightClient(new Bus(), { host: '127.0.0.1', rx, tx }, quietLog);
    await expect(leaf.start(300)).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining(`no agent answers at 127.0.0.1:${rx}:${tx}`),
    });
  });

  it('in Python, without an introduction, has two-way traffic with everybody of the machine', async () => {
    const { bus, rx, tx } = await agent();
    const actor = new Actor('listener');
    actor.on('FromLeaf', () => {
      actor.send({ ToLeaf: {} });
    });
    bus.join(actor);
    const other = await Peer.node({ rx, tx }).ready();
    const leaf = await new Peer('/usr/bin/python3', ['test/mesh/minimal-leaf.py', `${rx}`, `${tx}`]).ready();
    // Its two sockets are connected at different moments: the first answers may be before it can hear any.
    const knocking = setInterval(() => leaf.send('FromLeaf', {}), 50);
    try {
      await leaf.hears('ToLeaf');
    } finally {
      clearInterval(knocking);
    }
    await other.hears('FromLeaf');
    other.send('FromAfar', {});
    await leaf.hears('FromAfar');
  });

  it('of the documentation reads a report and sets a pin, and says why it was refused', async () => {
    const { bus, rx, tx } = await agent();
    lamp(bus);
    const run = (value: string) =>
      new Peer(
        '/usr/bin/python3',
        ['examples/python/client.py', `127.0.0.1:${rx}:${tx}`, 'lamp', value],
        undefined,
        true,
      );
    const right = run('true');
    expect(await right.exited).toBe(0);
    expect(right.text).toContain('lamp = True (good)');
    const wrong = run('"banana"');
    expect(await wrong.exited).toBe(1);
    expect(wrong.errors.join('')).toContain('refused: not a bool');
  });
});

describe('a mesh', () => {
  it('refuses to listen on the network unless that is said', () => {
    const options = { listen: '0.0.0.0', rx: 1, tx: 2, brokers: [], proxyBrokers: [], insecure: false, log: quietLog };
    expect(() => new Mesh(new Bus(), options)).toThrow(/everybody/);
  });

  it('says that an address is none', async () => {
    const options = { rx: await freePort(), tx: await freePort(), brokers: [], proxyBrokers: [], log: quietLog };
    const mesh = new Mesh(new Bus(), { ...options, listen: 'eth-none', insecure: true });
    await expect(mesh.start()).rejects.toMatchObject({ code: 'BAD_CONFIG', found: 'eth-none' });
    await mesh.stop();
  });

  it('says which system works where ZeroMQ has no binary', async () => {
    const load = () => Promise.reject(new Error('No native build was found'));
    await expect(loadZmq(load)).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
      message: expect.stringContaining('64-bit Raspberry Pi OS'),
    });
  });

  it('stops within 1 s, any number of times, also in the middle of its start', async () => {
    const { mesh, rx, tx } = await agent();
    const begun = performance.now();
    await Promise.all([mesh.stop(), mesh.stop()]);
    const options = { listen: '127.0.0.1', rx, tx, brokers: [], proxyBrokers: [], insecure: false, log: quietLog };
    const other = new Mesh(new Bus(), options);
    const started = other.start().catch((error: unknown) => error);
    await other.stop();
    await started;
    expect(performance.now() - begun).toBeLessThan(2000);
  });

  it('that is stopped in the middle of its start does nothing more', async () => {
    // Both broker ports are held by what never answers, so that the start waits.
    const holders = [createServer(), createServer()];
    const ports: number[] = [];
    for (const holder of holders) {
      await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
      const address = holder.address();
      ports.push(typeof address === 'object' && address ? address.port : 0);
    }
    const [rx = 0, tx = 0] = ports;
    // As it begins, as it binds, and as it waits for the broker.
    for (const timers of [0, 1, 2]) {
      const clock = new ManualClock();
      const options = { listen: '127.0.0.1', rx, tx, brokers: [], proxyBrokers: [], insecure: false, log: quietLog };
      const mesh = new Mesh(new Bus({ clock }), options);
      const started = mesh.start().catch((error: unknown) => error);
      await until('its timers', () => clock.pending >= timers);
      let stopped = false;
      void mesh.stop().then(() => {
        stopped = true;
      });
      await until('the stop', async () => {
        if (!stopped) await clock.advance(50);
        return stopped;
      });
      expect(await started).toMatchObject({ code: 'STOPPED' });
      await clock.advance(5000);
      expect(clock.pending).toBe(0);
    }
    for (const holder of holders) holder.close();
  });

  it('drops and counts what is not a message, and goes on', async () => {
    const { mesh, bus, rx } = await agent();
    const heard: unknown[] = [];
    const actor = new Actor('listener');
    actor.on('Fine', (data) => {
      heard.push(data);
    });
    bus.join(actor);
    const { Publisher } = await import('zeromq');
    const pub = new Publisher({ linger: 0 });
    pub.connect(`tcp://127.0.0.1:${rx}`);
    const good = (serial: number) =>
      JSON.stringify({
        sender: ['forger'],
        timestamp: 'yesterday',
        msg_id: `forger.${serial}`,
        payload: { Fine: serial },
      });
    for (let attempt = 0; heard.length === 0 && attempt < 40; attempt++) {
      await pub.send(good(attempt));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    heard.length = 0;
    const bad = [
      '',
      'x',
      '[]',
      '{}',
      '{"sender":[],"msg_id":"a.1","payload":{}}',
      '['.repeat(100_000),
      '{"sender":["a"],"msg_id":"a.1","payload":[1]}',
    ];
    for (const text of bad) await pub.send(text);
    await pub.send(good(999_999_999_999_999));
    await pub.send(good(5000));
    await pub.send(good(5000));
    await expect.poll(() => mesh.stats.duplicates).toBe(1);
    expect(heard).toEqual([999_999_999_999_999, 5000]);
    expect(mesh.stats.malformed).toBe(bad.length);
    pub.close();
  });
});
