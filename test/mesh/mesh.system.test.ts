import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { Mesh, type MeshOptions } from '../../src/mesh/mesh.ts';
import { loadZmq } from '../../src/mesh/transport/socket-factory.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.stop();
});

async function agent(options: MeshOptions = {}): Promise<{ bus: Bus; mesh: Mesh; rx: number; tx: number }> {
  const [rx, tx] = [await freePort(), await freePort()];
  const bus = new Bus();
  const mesh = new Mesh(bus, { rx, tx, ...options });
  open.push(mesh);
  await mesh.start();
  return { bus, mesh, rx, tx };
}

describe('a mesh', () => {
  it('refuses to listen on the network without keys or insecure: true', () => {
    expect(() => new Mesh(new Bus(), { listen: '0.0.0.0' })).toThrow(/everybody/);
  });

  it('names an invalid address', async () => {
    const [rx, tx] = [await freePort(), await freePort()];
    const mesh = new Mesh(new Bus(), { rx, tx, listen: 'eth-none', insecure: true });
    await expect(mesh.start()).rejects.toMatchObject({ code: 'BAD_CONFIG', found: 'eth-none' });
    await mesh.stop();
  });

  it('names a supported system where ZeroMQ has no binary', async () => {
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
    const other = new Mesh(new Bus(), { rx, tx });
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
      const mesh = new Mesh(new Bus({ clock }), { rx, tx });
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
