import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rtu } from '../../drivers/modbus/protocol/framing.ts';
import { RtuRequestReader } from '../../drivers/modbus/server/line-server.ts';
import { respondTo } from '../../drivers/modbus/server/respond.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { channelOf, Owner, silentLog, until } from './owner.ts';
import { PtyPair } from './pty-pair.ts';

let server: Server;
let cable: PtyPair;
let owner: Owner;
const sockets: Socket[] = [];
const asked: number[] = [];
let mute = false;

beforeEach(async () => {
  const memory = new SimulatedMemory(systemClock);
  for (const unit of [1, 2, 3, 4, 5, 6]) memory.put(unit, 'holding', 0, 100 + unit);
  server = createServer((socket) => {
    sockets.push(socket);
    const reader = new RtuRequestReader();
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) =>
      reader.push(bytes, ({ unit, pdu }) => {
        asked.push(unit);
        if (mute) return;
        void respondTo(memory, unit, pdu).then((reply) => socket.write(rtu.encode(unit, reply)));
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const address = server.address();
  cable = new PtyPair();
  await cable.plug(typeof address === 'object' && address ? address.port : 0);
  asked.length = 0;
  mute = false;
});
afterEach(async () => {
  await owner.close();
  await cable.remove();
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
});

describe('a serial line on a pty', () => {
  it('serves units with other baud rates and parities in batches, and changes the line settings in between', async () => {
    // A pty keeps no parity: that the line is closed and opened for it is all that can be seen here.
    const other = { 0: '38400-8N1', 1: '38400-8E1' };
    const channels = [1, 2, 3, 4, 5, 6].map((unit) =>
      channelOf({ holding: 0, unit, ...(unit % 2 ? {} : { quirks: { line: unit === 6 ? other[1] : other[0] } }) }),
    );
    owner = new Owner({ serial: cable.master, line: '115200-8N1', poll: '100ms' }, channels);
    await owner.open();
    await until(() => channels.every((channel) => owner.value(channel) !== undefined), 3000);
    expect(channels.map((channel) => owner.value(channel))).toEqual([101, 102, 103, 104, 105, 106]);
    await until(() => asked.length > 120, 8000);
    const changes = asked.filter((unit, at) => at > 0 && unit % 2 !== (asked[at - 1] ?? 0) % 2).length;
    expect(changes / asked.length).toBeLessThan(0.5);
    expect(new Set(asked)).toEqual(new Set([1, 2, 3, 4, 5, 6]));
    expect(owner.downs).toEqual([]);
  });

  it('is down and tried again while an adapter named by USB ids is not plugged in', async () => {
    owner = new Owner({ usb: { vid: 'dead', pid: 'beef' } }, [channelOf({ holding: 0 })]);
    await expect(owner.open()).rejects.toMatchObject({
      code: 'PORT_DOWN',
      message: expect.stringMatching(/dead:beef/),
    });
  });

  it('does not take a reply that arrived before the request for its answer', async () => {
    const channel = channelOf({ holding: 0, unit: 1 });
    owner = new Owner({ serial: cable.master, line: '115200-8N1', poll: '1h', timeout: '300ms' }, [channel]);
    const port = await owner.open();
    expect(await port.read([channel])).toEqual([{ ok: true, value: 101 }]);
    await until(() => owner.value(channel) === 101, 1000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    // It comes while this process is busy, so that nobody reads it before the next request is sent.
    const stale = rtu.encode(1, Buffer.from([3, 2, 0x03, 0xe7]));
    const socket = sockets.at(-1);
    socket?.write(stale);
    const began = performance.now();
    while (performance.now() - began < 300);
    expect(await port.read([channel])).toEqual([{ ok: true, value: 101 }]);
    expect(owner.counters.get('bytes_stray')).toBe(stale.length);
  });

  it('works without a low latency mode and logs that once', async () => {
    const channel = channelOf({ holding: 0, unit: 1 });
    const other = channelOf({ holding: 0, unit: 2, quirks: { line: '38400-8E1' } });
    const warned: string[] = [];
    owner = new Owner({ serial: cable.master, line: '115200-8N1', poll: '20ms' }, [channel, other], systemClock, {
      ...silentLog,
      warn: (_detail: object, message: string) => void warned.push(message),
    });
    await owner.open();
    // Set anew for the other parity again and again.
    await until(() => owner.value(channel) === 101 && owner.value(other) === 102 && asked.length > 20, 5000);
    expect(warned).toEqual([expect.stringMatching(/has no low latency mode .*replies come later/)]);
    expect(owner.downs).toEqual([]);
  });

  it('rejects a request within 50 ms when unplugged, and recovers when plugged in again', async () => {
    const channel = channelOf({ holding: 0, unit: 1 }, { direction: 'out' });
    owner = new Owner({ serial: cable.master, line: '115200-8N1', poll: '50ms', timeout: '2s' }, [channel]);
    const port = await owner.open();
    await until(() => owner.value(channel) === 101, 1000);
    mute = true;
    const heard = asked.length;
    const pending = port.write(channel, 7).then(
      () => ({ code: 'done', at: performance.now() }),
      (error: { code: string }) => ({ code: error.code, at: performance.now() }),
    );
    await until(() => asked.length > heard, 1000);
    const began = performance.now();
    await cable.unplug();
    const { code, at } = await pending;
    expect(code).toBe('TIMEOUT');
    // Ending socat takes its time; the hangup is what counts.
    expect(at - began).toBeLessThan(150);
    mute = false;
    const before = asked.length;
    const address = server.address();
    await cable.plug(typeof address === 'object' && address ? address.port : 0);
    await until(() => owner.value(channel) === 101, 4000, 'healing');
    expect(asked.length).toBeGreaterThan(before);
  });
});
