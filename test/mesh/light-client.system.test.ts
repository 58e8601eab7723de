import { afterEach, describe, expect, it } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { connect } from '../../src/mesh/light-client.ts';
import { Mesh, type MeshOptions } from '../../src/mesh/mesh.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';
import { endPeers, Peer } from './support/peer.ts';

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  await endPeers();
  for (const each of open.splice(0)) await each.stop();
});

async function agent(options: MeshOptions = {}): Promise<{ bus: Bus; mesh: Mesh; rx: number; tx: number; at: string }> {
  const [rx, tx] = [await freePort(), await freePort()];
  const bus = new Bus();
  const mesh = new Mesh(bus, { rx, tx, ...options });
  open.push(mesh);
  await mesh.start();
  return { bus, mesh, rx, tx, at: `127.0.0.1:${rx}:${tx}` };
}

/** A pin as an agent has it: answers each command and question with one report or error. */
function lamp(bus: Bus): void {
  const actor = new Actor('lamp');
  let state = false;
  const report = (reply_to: string) =>
    actor.send({ IoMessage: { pin_name: 'lamp', val: state, last_change: 1, quality: 'good', reply_to } });
  actor.onPin('lamp', ({ val }, { msg_id }) => {
    if (typeof val === 'boolean') {
      state = val;
      report(msg_id);
    } else {
      actor.send({ IoErrorMessage: { pin_name: 'lamp', code: 'BAD_VALUE', message: 'not a bool', reply_to: msg_id } });
    }
  });
  actor.on('UpdateIoMessage', (_data, { msg_id }) => void report(msg_id));
  bus.join(actor);
}

describe('a light client', () => {
  it('reaches the pins of an agent at once, and gets the one answer', async () => {
    const { bus, at } = await agent();
    lamp(bus);
    for (let run = 0; run < 10; run++) {
      await using client = await connect({ bus: at });
      expect(await client.set('lamp', true)).toMatchObject({ val: true });
      await expect(client.set('lamp', 'banana')).rejects.toMatchObject({ code: 'BAD_VALUE', message: 'not a bool' });
      expect(await client.get('lamp')).toMatchObject({ pin_name: 'lamp', val: true });
    }
  });

  it('hears reports and other messages, sends messages, and rejects with TIMEOUT where no pin answers', async () => {
    const { bus, at } = await agent();
    lamp(bus);
    const greeter = new Actor('greeter');
    greeter.on('Question', (data, { msg_id }) => void greeter.send({ Answer: { to: data, reply_to: msg_id } }));
    bus.join(greeter);
    await using client = await connect({ bus: at, timeoutMs: 2000, name: 'script' });
    const heard: unknown[] = [];
    client.on('IoMessage', (data) => void heard.push(data));
    client.onReport('lamp', ({ val }) => void heard.push(val));
    await client.set('lamp', true, { ttl: 1, hold: 5, timeoutMs: 1000 });
    expect(heard).toMatchObject([{ pin_name: 'lamp', val: true }, true]);
    const answer = await client.request({ Question: { n: 1 } });
    expect(answer.payload['Answer']).toMatchObject({ to: { n: 1 } });
    await expect(client.set('no-such-pin', 1, { timeoutMs: 100 })).rejects.toMatchObject({ code: 'TIMEOUT' });
  });

  it('takes the address of the bus from DCS_IO_BUS', async () => {
    const { at, mesh } = await agent();
    const before = process.env['DCS_IO_BUS'];
    process.env['DCS_IO_BUS'] = at;
    try {
      await using client = await connect();
      expect(client.id).not.toBe(mesh.id);
    } finally {
      if (before === undefined) delete process.env['DCS_IO_BUS'];
      else process.env['DCS_IO_BUS'] = before;
    }
  });

  it('reaches its agent again after that was restarted, without a timer of its own', async () => {
    const { mesh, rx, tx, at } = await agent();
    const clock = new ManualClock();
    let ready = false;
    const connecting = connect({ bus: at, clock }).then((client) => {
      ready = true;
      return client;
    });
    await until('the client', async () => {
      if (!ready) await clock.advance(20);
      return ready;
    });
    const client = await connecting;
    open.push({ stop: () => client.close() });
    expect(clock.pending).toBe(0);
    await mesh.stop();
    const bus = new Bus();
    const again = new Mesh(bus, { rx, tx });
    open.push(again);
    await again.start();
    const heard: unknown[] = [];
    const listener = new Actor('listener');
    listener.on('FromClient', (data) => {
      heard.push(data);
    });
    bus.join(listener);
    await until('the client again', () => {
      client.send({ FromClient: {} });
      return heard.length > 0;
    });
    expect(clock.pending).toBe(0);
  });

  it('says where no agent answers', async () => {
    const at = `127.0.0.1:${await freePort()}:${await freePort()}`;
    await expect(connect({ bus: at, timeoutMs: 300 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining(`no agent answers at ${at}`),
    });
  });

  it('in Python, without an introduction, exchanges messages with every process of the machine', async () => {
    const { bus, rx, tx } = await agent();
    const actor = new Actor('listener');
    actor.on('FromClient', () => {
      actor.send({ ToClient: {} });
    });
    bus.join(actor);
    const other = await Peer.node({ rx, tx }).ready();
    const client = await new Peer('/usr/bin/python3', ['test/mesh/minimal-client.py', `${rx}`, `${tx}`]).ready();
    // Its two sockets connect at different moments, so the first answers may come before its subscription.
    const sending = setInterval(() => client.send('FromClient', {}), 50);
    try {
      await client.hears('ToClient');
    } finally {
      clearInterval(sending);
    }
    await other.hears('FromClient');
    other.send('FromAfar', {});
    await client.hears('FromAfar');
  });

  it('of examples/python reads a report and sets a pin, and says why it was refused', async () => {
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
