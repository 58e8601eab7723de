import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { connect, type LightClient } from '../../src/mesh/light-client.ts';
import { Mesh } from '../../src/mesh/mesh.ts';
import { allow, newKeys, revoke } from '../../src/mesh/security/keys.ts';
import { isRoutable, ownAddresses } from '../../src/mesh/transport/addresses.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/wait.ts';
import { quietLog } from './support/log.ts';

/** A node with keys serves loopback unencrypted, so these clients reach it at the machine's address in the network. */
const address = ownAddresses().find(isRoutable) ?? '';

let folder: string;
let bus: Bus;
let mesh: Mesh;
let at: string;
let nodeKeys: string;
let nodeKey: string;
let warnings: string[];
let executed: unknown[];

beforeEach(async () => {
  if (address === '') throw new Error('this machine has no network address');
  folder = mkdtempSync(join(tmpdir(), 'dcs-io-client-'));
  nodeKeys = join(folder, 'node');
  nodeKey = (await newKeys(nodeKeys)).publicKey;
  [warnings, executed] = [[], []];
  bus = new Bus();
  const pump = new Actor('pump');
  pump.onPin('pump', ({ val }, { msg_id }) => {
    executed.push(val);
    pump.send({ IoMessage: { pin_name: 'pump', val, last_change: 1, reply_to: msg_id } });
  });
  pump.on('UpdateIoMessage', (_data, { msg_id }) => {
    pump.send({ IoMessage: { pin_name: 'pump', val: executed.at(-1) ?? false, last_change: 1, reply_to: msg_id } });
  });
  bus.join(pump);
  const [rx, tx] = [await freePort(), await freePort()];
  const log = { ...quietLog, warn: (_detail: object, message: string) => void warnings.push(message) };
  mesh = new Mesh(bus, { listen: '0.0.0.0', rx, tx, security: { keys: nodeKeys }, name: 'boiler-room', log });
  await mesh.start();
  at = `${address}:${rx}:${tx}`;
});

afterEach(async () => {
  await mesh.stop();
  rmSync(folder, { recursive: true });
});

/** A key folder of an operator, who allows the node. */
async function operator(): Promise<{ keys: string; publicKey: string }> {
  const keys = join(folder, 'operator');
  const { publicKey } = await newKeys(keys);
  allow(keys, 'boiler-room', nodeKey);
  return { keys, publicKey };
}

describe('a light client with keys', () => {
  it('commands and reads pins of a secured node over an encrypted session', async () => {
    const { keys, publicKey } = await operator();
    allow(nodeKeys, 'operator', publicKey);
    await using client = await connect({ bus: at, keys, name: 'operator' });
    expect(mesh.links).toMatchObject([{ name: 'operator', open: true, encrypted: true }]);
    expect(await client.set('pump', true)).toMatchObject({ pin_name: 'pump', val: true });
    expect(await client.get('pump')).toMatchObject({ val: true });
    expect(executed).toEqual([true]);
  });

  it('lets nobody on the network read along', async () => {
    const { keys, publicKey } = await operator();
    allow(nodeKeys, 'operator', publicKey);
    const [, rx, tx] = at.split(':');
    const bytes: Buffer[] = [];
    const relay = createServer((near) => {
      const far = createConnection({ host: address, port: Number(rx) });
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        from.on('data', (chunk) => bytes.push(chunk)).on('error', () => to.destroy());
        from.pipe(to);
      }
    });
    await new Promise<void>((resolve) => relay.listen(0, address, resolve));
    const place = relay.address();
    const port = typeof place === 'object' && place ? place.port : 0;
    const client = await connect({ bus: `${address}:${port}:${tx}`, keys });
    await client.set('pump', 'a secret value');
    await client.close();
    relay.close();
    const seen = Buffer.concat(bytes).toString('latin1');
    expect(seen).toContain('CURVE');
    for (const word of ['pump', 'secret', 'hello', 'boiler-room']) expect(seen).not.toContain(word);
  });

  it('gets the last report and the following ones of a pin that it begins to listen to', async () => {
    const { keys, publicKey } = await operator();
    allow(nodeKeys, 'operator', publicKey);
    const lamp = new Actor('lamp');
    bus.join(lamp);
    lamp.send({ IoMessage: { pin_name: 'lamp', val: 1, last_change: 1 } });
    await using client = await connect({ bus: at, keys });
    const heard: unknown[] = [];
    client.onReport('lamp', ({ val }) => void heard.push(val));
    await until('the last report', () => heard.length === 1);
    lamp.send({ IoMessage: { pin_name: 'lamp', val: 2, last_change: 2 } });
    await until('the next report', () => heard.length === 2);
    expect(heard).toEqual([1, 2]);
  });

  it('may command only the pins that its key was granted, and is told so', async () => {
    const { keys, publicKey } = await operator();
    allow(nodeKeys, 'operator', publicKey, { write: ['valve'] });
    await using client = await connect({ bus: at, keys });
    await expect(client.set('pump', true)).rejects.toMatchObject({
      code: 'NO_PERMISSION',
      message: 'operator may not write pump',
    });
    expect(executed).toEqual([]);
  });

  it('whose key is not listed is refused at once, and told so', async () => {
    const { keys } = await operator();
    const begun = performance.now();
    await expect(connect({ bus: at, keys, timeoutMs: 5000 })).rejects.toMatchObject({
      code: 'NO_PERMISSION',
      found: at,
    });
    expect(performance.now() - begun).toBeLessThan(2500);
    expect(warnings).toContain('a connection without an allowed key was refused');
  });

  it('that expects another key of the node does not talk with it', async () => {
    const { keys, publicKey } = await operator();
    allow(nodeKeys, 'operator', publicKey);
    const { publicKey: other } = await newKeys(join(folder, 'other'));
    await expect(connect({ bus: at, keys, serverKey: other, timeoutMs: 500 })).rejects.toMatchObject({
      code: 'TIMEOUT',
    });
    expect(mesh.links).toEqual([]);
  });

  it('without keys gets nothing from a secured node over the network', async () => {
    await expect(connect({ bus: at, timeoutMs: 500 })).rejects.toMatchObject({ code: 'TIMEOUT' });
  });

  it('with the key folder of the node itself is admitted', async () => {
    await using client = await connect({ bus: at, keys: nodeKeys });
    expect(await client.set('pump', 7)).toMatchObject({ val: 7 });
  });

  it('loses its session within 1 s when its key is revoked', async () => {
    const { keys, publicKey } = await operator();
    allow(nodeKeys, 'operator', publicKey);
    await using client = await connect({ bus: at, keys });
    await client.set('pump', true);
    revoke(nodeKeys, 'operator');
    await until('the end of the session', () => mesh.links.every(({ open }) => !open), 1000);
    await expect(client.set('pump', false, { timeoutMs: 300 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(executed).toEqual([true]);
  });

  it('leaves no timer when it closes, so that a script ends at once', async () => {
    const clock = new ManualClock();
    let client: LightClient | undefined;
    void connect({ bus: at, keys: nodeKeys, clock }).then((connected) => {
      client = connected;
    });
    await until('the client', async () => {
      await clock.advance(10);
      return client;
    });
    let closed = false;
    void client?.close().then(() => {
      closed = true;
    });
    await until('the close', async () => {
      await clock.advance(1);
      return closed;
    });
    expect(clock.pending).toBe(0);
  });

  it('leaves no trace at the node when it closes', async () => {
    const down: unknown[] = [];
    mesh.on('peer-down', (_peer, reason) => down.push(reason));
    const client = await connect({ bus: at, keys: nodeKeys });
    await client.close();
    await until('the leave', () => down.length > 0);
    expect(down).toEqual(['leave']);
    expect(mesh.links).toEqual([]);
  });
});
