import { createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { crc16, rtu } from '../../drivers/modbus/protocol/framing.ts';
import { systemClock } from '../../src/clock/clock.ts';
import type { Port } from '../../src/driver/contract.ts';
import { type Fault, FaultySlave } from './faulty-slave.ts';
import { channelOf, Owner, silentLog } from './owner.ts';

let owner: Owner;
const out = { direction: 'out' } as const;
const [word, long, coil] = [
  channelOf({ holding: 10 }, out),
  channelOf({ holding: 20, type: 'uint32' }, out),
  channelOf({ coil: 3 }, out),
];
const channels = [word, long, coil];

afterEach(() => owner?.close());

/** Writes and reads of each kind, judged by what the device then has. */
async function expectRightValues(port: Port): Promise<void> {
  for (let turn = 1; turn <= 5; turn++) {
    expect(await port.write(word, turn)).toEqual({ readBack: turn });
    expect(await port.write(long, 70_000 * turn)).toEqual({ readBack: 70_000 * turn });
    expect(await port.write(coil, turn % 2 === 1)).toEqual({ readBack: turn % 2 === 1 });
    expect(await port.read([word, coil])).toEqual([
      { ok: true, value: turn },
      { ok: true, value: turn % 2 === 1 },
    ]);
  }
}

describe('odd replies over Modbus TCP', () => {
  const slave = new FaultySlave();
  let tcp: string;
  beforeEach(async () => {
    tcp = `127.0.0.1:${await slave.listen()}`;
    slave.script = () => ({ do: 'answer' });
    slave.written.clear();
  });
  afterEach(() => slave.close());

  const odd: { fault: Fault; quirks: object; says: RegExp }[] = [
    {
      fault: { do: 'id', value: 0 },
      quirks: { transaction_id: 'any' },
      says: /answered (once|\d times) with another transaction id \(0 in place of \d+\); quirks: \{ transaction_id: any \}/,
    },
    {
      fault: { do: 'wrong-id', by: 1 },
      quirks: { transaction_id: 'any' },
      says: /answered (once|\d times) with another transaction id \(\d+ in place of \d+\)/,
    },
    {
      fault: { do: 'unit', value: 0 },
      quirks: { unit_id: 'any' },
      says: /the reply has unit 0 in place of 1; quirks: \{ unit_id: any \}/,
    },
    { fault: { do: 'unit', value: 255 }, quirks: { unit_id: 'any' }, says: /unit 255 in place of 1/ },
  ];

  it.each(odd)('$fault is named, and accepted with $quirks', async ({ fault, quirks, says }) => {
    slave.script = () => fault;
    owner = new Owner({ tcp, timeout: '100ms', poll: '1h' }, channels);
    const [reading] = await (await owner.open()).read([word]);
    expect(reading).toMatchObject({ ok: false, error: { message: expect.stringMatching(says) } });
    await owner.close();
    owner = new Owner({ tcp, timeout: '100ms', poll: '1h', quirks }, channels);
    await expectRightValues(await owner.open());
    await owner.close();
    // The same for one device alone.
    owner = new Owner(
      { tcp, timeout: '100ms', poll: '1h' },
      channels.map((one) => ({ ...one, address: { ...one.address, quirks } })),
    );
    await expectRightValues(await owner.open());
  });

  it('foreign transaction ids in a row are counted', async () => {
    slave.script = () => ({ do: 'id', value: 0 });
    owner = new Owner({ tcp, timeout: '50ms', poll: '1h' }, [word]);
    const port = await owner.open();
    let message = '';
    for (let asked = 0; asked < 100 && !message.includes('answered 4 times with another transaction id'); asked++) {
      const [reading] = await port.read([word]).catch(() => []);
      if (reading?.ok === false) message = reading.error.message;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(message).toContain('answered 4 times');
  });

  it('a write whose reply repeats the whole request is of unknown outcome, named, and accepted with a quirk', async () => {
    // Without a reading nothing settles the doubt.
    slave.script = ({ fn }) => ({ do: fn === 16 ? 'whole-echo' : 'silent' });
    owner = new Owner({ tcp, timeout: '100ms', poll: '1h' }, channels);
    const port = await owner.open();
    await expect(port.write(long, 5)).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining(
        'the whole request in it in place of its first 5 bytes; quirks: { write_reply: whole }',
      ),
    });
    await owner.close();
    slave.script = () => ({ do: 'whole-echo' });
    owner = new Owner({ tcp, timeout: '100ms', poll: '1h', quirks: { write_reply: 'whole' } }, channels);
    await expectRightValues(await owner.open());
  });

  it('a write whose odd reply is settled by reading back is told once', async () => {
    slave.script = () => ({ do: 'whole-echo' });
    const warnings: string[] = [];
    const log = { ...silentLog, warn: (_: object, message: string) => void warnings.push(message) };
    owner = new Owner({ tcp, timeout: '100ms', poll: '1h' }, channels, systemClock, log);
    const port = await owner.open();
    expect(await port.write(long, 5)).toEqual({ readBack: 5 });
    expect(await port.write(long, 6)).toEqual({ readBack: 6 });
    expect(warnings).toEqual([expect.stringContaining('quirks: { write_reply: whole }')]);
  });

  it.each([
    { fault: { do: 'padded' }, says: '2 bytes more than its data' },
    { fault: { do: 'length', value: 7 }, says: 'its header announces 7 bytes, and 5 came' },
    // The rest of the frame is the beginning of the next header, if another reply follows soon.
    { fault: { do: 'length', value: 3 }, says: /declared 2\) in place of 2|protocol \d+ in place of 0/ },
    { fault: { do: 'length', value: 0 }, says: 'a length of 0 in place of 2 to 254 in a header' },
    { fault: { do: 'protocol' }, says: 'protocol 7 in place of 0 in a header' },
  ] as const)('$fault is named', async ({ fault, says }) => {
    slave.script = () => fault;
    owner = new Owner({ tcp, timeout: '100ms', poll: '1h' }, [word]);
    const [reading] = await (await owner.open()).read([word]);
    expect(reading).toMatchObject({ ok: false, error: { message: expect.stringMatching(says) } });
  });

  it('with any transaction id, a reply that comes after its time is not taken for the next one', async () => {
    let turn = 0;
    slave.word = () => turn;
    slave.script = () => (turn % 3 === 0 ? { do: 'late', ms: 60 + (turn % 5) * 10 } : { do: 'id', value: 0 });
    owner = new Owner({ tcp, timeout: '50ms', poll: '1h', quirks: { transaction_id: 'any' } }, [word]);
    const port = await owner.open();
    for (turn = 1; turn < 100; turn++) {
      const expected = turn;
      const [reading] = await port.read([word]);
      if (reading?.ok) expect(reading.value).toBe(expected);
      await new Promise((resolve) => setTimeout(resolve, turn % 7));
    }
    expect(owner.counters.get('connections')).toBeGreaterThan(5);
  });

  it('with any transaction id, the late reply of another unit is not taken for the one of this unit', async () => {
    const quirks = { transaction_id: 'any', unit_id: 'any' };
    const [strict, lax] = [channelOf({ holding: 10, unit: 1 }), channelOf({ holding: 10, unit: 2, quirks })];
    slave.script = ({ unit }) => (unit === 1 ? { do: 'late', ms: 100 } : { do: 'silent' });
    owner = new Owner({ tcp, timeout: '80ms', retries: 0, poll: '1h' }, [strict, lax]);
    const port = await owner.open();
    for (let turn = 0; turn < 3; turn++) {
      expect(await port.read([strict])).toMatchObject([{ ok: false }]);
      expect(await port.read([lax])).toMatchObject([{ ok: false }]);
    }
    expect(owner.readings.get(lax.key)?.filter(({ ok }) => ok) ?? []).toEqual([]);
  });
});

/** A device with RTU frames on TCP whose replies go through `twist`. */
class RtuDevice {
  readonly #sockets = new Set<Socket>();
  readonly #written = new Map<number, number>();
  twist: (frame: Buffer, request: Buffer) => Buffer = (frame) => frame;
  readonly #server = createServer((socket) => {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('data', (request: Buffer) => {
      socket.write(this.twist(rtu.encode(request.readUInt8(0), this.#reply(request)), request));
    });
  });

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #reply(request: Buffer): Buffer {
    const [fn, first, count] = [request.readUInt8(1), request.readUInt16BE(2), request.readUInt16BE(4)];
    const value = (at: number) => this.#written.get(at) ?? 0;
    if (fn === 1) return Buffer.from([1, 1, value(first) ? 1 : 0]);
    if (fn === 3) {
      const words = Array.from({ length: count }, (_, at) => [value(first + at) >> 8, value(first + at) & 0xff]);
      return Buffer.from([3, 2 * count, ...words.flat()]);
    }
    if (fn === 16) for (let at = 0; at < count; at++) this.#written.set(first + at, request.readUInt16BE(7 + 2 * at));
    else this.#written.set(first, count);
    return request.subarray(1, 6);
  }
}

function fromUnit(unit: number): (frame: Buffer) => Buffer {
  return (frame) => rtu.encode(unit, frame.subarray(1, -2));
}

function wholeEcho(frame: Buffer, request: Buffer): Buffer {
  return request[1] === 16 ? request : frame;
}

describe('odd replies in RTU frames', () => {
  const device = new RtuDevice();
  let tcp: string;
  beforeEach(async () => {
    tcp = await device.listen();
  });
  afterEach(() => device.close());

  it.each([
    {
      name: 'unit 0',
      twist: fromUnit(0),
      quirks: { unit_id: 'any' },
      says: 'a reply names unit 0 in place of 1: quirks: { unit_id: any }',
    },
    {
      name: 'another unit',
      twist: fromUnit(9),
      quirks: { unit_id: 'any' },
      says: 'a reply names unit 9 in place of 1',
    },
  ])('from $name are named, and accepted with $quirks', async ({ twist, quirks, says }) => {
    device.twist = twist;
    owner = new Owner({ tcp, framing: 'rtu', timeout: '100ms', poll: '1h' }, channels);
    const [reading] = await (await owner.open()).read([word]);
    expect(reading).toMatchObject({ ok: false, error: { message: expect.stringContaining(says) } });
    await owner.close();
    owner = new Owner({ tcp, framing: 'rtu', timeout: '100ms', poll: '1h', quirks }, channels);
    await expectRightValues(await owner.open());
  });

  it('that repeat the whole request are not called damaged, and accepted with a quirk', async () => {
    // Without a reading nothing settles the doubt.
    device.twist = (frame, request) => (request[1] === 3 ? Buffer.alloc(0) : wholeEcho(frame, request));
    owner = new Owner({ tcp, framing: 'rtu', timeout: '100ms', poll: '1h' }, channels);
    await expect((await owner.open()).write(long, 5)).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining(
        'the whole request in it in place of its first 5 bytes; quirks: { write_reply: whole }',
      ),
    });
    expect(owner.counters.get('crc_errors')).toBeUndefined();
    await owner.close();
    device.twist = wholeEcho;
    owner = new Owner(
      { tcp, framing: 'rtu', timeout: '100ms', poll: '1h', quirks: { write_reply: 'whole' } },
      channels,
    );
    await expectRightValues(await owner.open());
  });

  it('that repeat another request than ours confirm nothing', async () => {
    device.twist = (frame, request) => {
      if (request[1] !== 16) return request[1] === 3 ? Buffer.alloc(0) : frame;
      const other = Buffer.from(request.subarray(0, -2));
      other[8] = (other[8] ?? 0) ^ 1;
      const checksum = Buffer.alloc(2);
      checksum.writeUInt16LE(crc16(other));
      return Buffer.concat([other, checksum]);
    };
    owner = new Owner(
      { tcp, framing: 'rtu', timeout: '100ms', poll: '1h', quirks: { write_reply: 'whole' } },
      channels,
    );
    await expect((await owner.open()).write(long, 5)).rejects.toMatchObject({ code: 'TIMEOUT' });
  });
});
