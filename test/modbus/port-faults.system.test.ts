import { createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rtu } from '../../drivers/modbus/protocol/framing.ts';
import { FaultySlave } from './faulty-slave.ts';
import { channelOf, Owner, until } from './owner.ts';

let slave: FaultySlave;
let owner: Owner;
let tcp: string;

beforeEach(async () => {
  slave = new FaultySlave();
  tcp = `127.0.0.1:${await slave.listen()}`;
});
afterEach(async () => {
  await owner?.close();
  await slave.close();
});

const fast = { timeout: '80ms', poll: '50ms' };

describe('a Modbus TCP port and a device that misbehaves', () => {
  it('reports the first value and then only changes', async () => {
    const ten = channelOf({ holding: 10 });
    owner = new Owner({ tcp, ...fast }, [ten]);
    await owner.open();
    await until(() => owner.value(ten) === 1010, 500);
    await until(() => slave.seen.length > 4, 1000);
    slave.word = () => 7;
    await until(() => owner.value(ten) === 7, 500);
    expect(owner.readings.get(ten.key)?.length).toBe(2);
  });

  it('takes unit 0 for an ordinary unit: over TCP it is the device itself', async () => {
    const [ten, out] = [channelOf({ holding: 10, unit: 0 }), channelOf({ holding: 20, unit: 0 }, { direction: 'out' })];
    owner = new Owner({ tcp, ...fast }, [ten, out]);
    const port = await owner.open();
    expect(await port.read([ten])).toEqual([{ ok: true, value: 10 }]);
    expect(await port.write(out, 5)).toEqual({ readBack: 5 });
  });

  it('never gives a late reply to another request', async () => {
    const channels = Array.from({ length: 20 }, (_, index) => channelOf({ holding: index * 200 }));
    slave.script = ({ id }) => (id % 3 === 0 ? { do: 'late', ms: 100 + (id % 7) * 20 } : { do: 'answer' });
    owner = new Owner({ tcp, ...fast, timeout: '60ms' }, channels);
    await owner.open();
    await until(() => (owner.counters.get('replies_late') ?? 0) >= 5, 8000, 'late replies');
    for (const channel of channels)
      for (const reading of owner.readings.get(channel.key) ?? [])
        if (reading.ok) expect(reading.value).toBe(1000 + channel.address.first);
    expect(owner.downs).toEqual([]);
  });

  it.each([
    { fault: { do: 'wrong-unit' }, code: 'BAD_REPLY' },
    { fault: { do: 'wrong-function' }, code: 'BAD_REPLY' },
    { fault: { do: 'wrong-count' }, code: 'BAD_REPLY' },
    { fault: { do: 'wrong-id', by: 1 }, code: 'TIMEOUT' },
    { fault: { do: 'wrong-id', by: -1 }, code: 'TIMEOUT' },
    { fault: { do: 'silent' }, code: 'TIMEOUT' },
    { fault: { do: 'exception', code: 4 }, code: 'DEVICE_REFUSED' },
    { fault: { do: 'exception', code: 2 }, code: 'NO_SUCH_CHANNEL' },
    { fault: { do: 'exception', code: 6 }, code: 'BUSY' },
    { fault: { do: 'exception', code: 11 }, code: 'TIMEOUT' },
  ] as const)(
    '$fault.do $fault makes the pin bad with $code, keeps the connection, and heals',
    async ({ fault, code }) => {
      const ten = channelOf({ holding: 10 });
      slave.script = () => fault;
      owner = new Owner({ tcp, ...fast }, [ten]);
      await owner.open();
      await until(() => owner.failure(ten) === code, 1000, code);
      expect(owner.readings.get(ten.key)?.filter((reading) => !reading.ok).length).toBe(1);
      slave.script = () => ({ do: 'answer' });
      await until(() => owner.value(ten) === 1010, 3000, 'healing');
      expect(owner.opens).toBe(1);
    },
  );

  it.each([
    { do: 'length', value: 0 },
    { do: 'length', value: 1 },
    { do: 'length', value: 255 },
    { do: 'length', value: 0xffff },
    { do: 'protocol' },
    { do: 'rst' },
    { do: 'fin' },
  ] as const)(
    '$do $value rejects what is pending within 50 ms, and the next request uses a new connection',
    async (fault) => {
      const ten = channelOf({ holding: 10 });
      owner = new Owner({ tcp, timeout: '1s', poll: '1h' }, [ten]);
      const port = await owner.open();
      await until(() => owner.value(ten) === 1010, 500);
      slave.script = () => fault;
      const asked = performance.now();
      const [reading] = await port.read([ten]);
      const closed = fault.do === 'rst' || fault.do === 'fin';
      expect(reading).toMatchObject({ ok: false, error: { code: closed ? 'TIMEOUT' : 'BAD_REPLY' } });
      expect(performance.now() - asked).toBeLessThan(50);
      slave.script = () => ({ do: 'answer' });
      expect(await port.read([ten])).toEqual([{ ok: true, value: 1010 }]);
      expect(owner.downs).toEqual([]);
    },
  );

  it.each(['fin', 'rst'] as const)('a %s and nobody who listens any more is a loss, known at once', async (how) => {
    const ten = channelOf({ holding: 10 });
    owner = new Owner({ tcp, timeout: '5s', poll: '20ms' }, [ten]);
    await owner.open();
    await until(() => owner.value(ten) === 1010, 500);
    slave.script = () => {
      slave.stopListening();
      return { do: how };
    };
    expect(await until(() => owner.downs.length > 0, 1000, 'going down')).toBeLessThan(500);
    expect(owner.failure(ten)).toBe('PORT_DOWN');
  });

  it('RTU over TCP: a reply that came before the request was sent is not taken for its answer', async () => {
    const ten = channelOf({ holding: 10 });
    const sockets: Socket[] = [];
    const far = createServer((socket) => {
      sockets.push(socket);
      socket.on('data', () => socket.write(rtu.encode(1, Buffer.from([3, 2, 0, 101]))));
    });
    await new Promise<void>((resolve) => far.listen(0, '127.0.0.1', resolve));
    const address = far.address();
    const where = `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
    owner = new Owner({ tcp: where, framing: 'rtu', poll: '1h' }, [ten]);
    const port = await owner.open();
    await until(() => owner.value(ten) === 101, 1000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    // Written in the turn in which the next request is made.
    sockets[0]?.write(rtu.encode(1, Buffer.from([3, 2, 0x03, 0xe7])));
    expect(await port.read([ten])).toEqual([{ ok: true, value: 101 }]);
    await owner.close();
    for (const socket of sockets) socket.destroy();
    far.close();
  });

  it('takes a reply in single bytes, and a reply sent twice only once', async () => {
    const [ten, far] = [channelOf({ holding: 10 }), channelOf({ holding: 1000 })];
    slave.script = ({ id }) => (id % 2 ? { do: 'bytewise' } : { do: 'twice' });
    owner = new Owner({ tcp, ...fast }, [ten, far]);
    await owner.open();
    await until(() => (owner.counters.get('replies_unknown') ?? 0) > 5, 2000);
    expect(owner.value(ten)).toBe(1010);
    expect(owner.value(far)).toBe(2000);
  });

  it('closes a connection on which a reply was cut short, so that the next reply is not taken for its rest', async () => {
    const ten = channelOf({ holding: 10 });
    slave.script = () => ({ do: 'partial' });
    owner = new Owner({ tcp, ...fast }, [ten]);
    await owner.open();
    await until(() => owner.failure(ten) === 'TIMEOUT', 500);
    expect(owner.last(ten)).toMatchObject({
      error: { message: expect.stringContaining('announces 5 bytes, and 2 came') },
    });
    slave.script = () => ({ do: 'answer' });
    await until(() => owner.value(ten) === 1010, 3000, 'healing');
    expect(owner.counters.get('connections')).toBeGreaterThan(1);
    expect(owner.downs).toEqual([]);
  });

  it.each([
    { keys: { misses: 2 }, limit: 2700 },
    { keys: {}, limit: 9500 },
  ])('makes every pin of a silent device bad within the declared time: $keys', async ({ keys, limit }) => {
    const channels = Array.from({ length: 30 }, (_, index) => channelOf({ holding: index * 200 }));
    owner = new Owner({ tcp, ...keys }, channels);
    await owner.open();
    await until(() => channels.every((channel) => owner.value(channel) !== undefined), 1500);
    slave.script = () => ({ do: 'silent' });
    // The poll period, and the time of so many requests without answer.
    await until(() => channels.every((channel) => owner.failure(channel) === 'TIMEOUT'), limit);
    expect(owner.downs).toEqual([]);
    slave.script = () => ({ do: 'answer' });
    await until(() => channels.every((channel) => owner.value(channel) !== undefined), 4000, 'healing');
  });

  it('finds the one address a device does not have and keeps the others of the block', async () => {
    const channels = [0, 1, 2, 5, 6, 9].map((holding) => channelOf({ holding }));
    slave.script = ({ pdu }) => {
      const [first, count] = [pdu.readUInt16BE(1), pdu.readUInt16BE(3)];
      return first <= 6 && first + count > 6 ? { do: 'exception', code: 2 } : { do: 'answer' };
    };
    owner = new Owner({ tcp, ...fast }, channels);
    await owner.open();
    await until(() => channels.every((channel) => owner.last(channel)), 1000);
    expect(channels.map((channel) => owner.value(channel) ?? owner.failure(channel))).toEqual([
      1000,
      1001,
      1002,
      1005,
      'NO_SUCH_CHANNEL',
      1009,
    ]);
  });
});
