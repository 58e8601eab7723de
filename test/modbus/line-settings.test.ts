import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rtu } from '../../drivers/modbus/protocol/rtu.ts';
import { answer } from '../../drivers/modbus/server/answer.ts';
import { RtuRequestReader } from '../../drivers/modbus/server/request-reader.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { channelOf, Owner, until } from './owner.ts';
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
        void answer(memory, unit, pdu).then((reply) => socket.write(rtu.encode(unit, reply)));
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
  it('serves units with other baud rates and parities in batches, the line being set anew in between', async () => {
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

  it('unplugged with a request under way, rejects it within 50 ms and heals when plugged in again', async () => {
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
