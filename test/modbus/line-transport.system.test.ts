import { describe, expect, it } from 'vitest';
import { crc16, rtu } from '../../drivers/modbus/protocol/framing.ts';
import type { Store } from '../../drivers/modbus/server/respond.ts';
import type { Fault } from '../../drivers/modbus/simulator/faults.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { lineTiming } from '../../drivers/modbus/transport/line-timing.ts';
import { LineTransport } from '../../drivers/modbus/transport/line-transport.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { channelOf } from './owner.ts';
import { SimBus, type SimBusOptions, seeded } from './sim-bus.ts';

const READS = 10_000;

/** Every answer is another one: a unit's registers say how often it has been asked. */
class CountingStore implements Store {
  readonly asked = new Map<number, number>();

  readRegisters(unit: number, _table: string, first: number, count: number): Buffer {
    const turn = ((this.asked.get(unit) ?? 0) + 1) & 0xffff;
    this.asked.set(unit, turn);
    const data = Buffer.alloc(2 * count);
    for (let at = 0; at < count; at++)
      data.writeUInt16BE(at % 2 === 0 ? turn : (first + at + unit * 1000) & 0xffff, 2 * at);
    return data;
  }

  readBits(): boolean[] {
    return [];
  }
  writeBits(): void {}
  writeRegisters(): void {}
}

/** Reads back to back, units in turn, and judges every value that is given as good. */
async function readAll(
  options: Omit<SimBusOptions, 'store' | 'channels'>,
  fault: (random: () => number, index: number) => Fault | undefined,
  reads = READS,
) {
  const units = [1, 2, 3];
  const store = new CountingStore();
  const channels = units.flatMap((unit) => [
    channelOf({ holding: 10, unit }),
    channelOf({ input: 500, unit, type: 'uint32' }),
  ]);
  const bus = await new SimBus({ ...options, store, channels }).open();
  const random = seeded(7);
  bus.slave.script = (_request, index) => fault(random, index);
  let [right, wrong, failed] = [0, 0, 0];
  for (let read = 0; read < reads; read++) {
    const channel = channels[Math.floor(random() * channels.length)];
    if (!channel) continue;
    const [reading] = await bus.settle(bus.port.read([channel]));
    const { unit = 0, table } = channel.address;
    const turn = store.asked.get(unit) ?? 0;
    const expected = table === 'holding' ? turn : turn * 65536 + ((501 + unit * 1000) & 0xffff);
    // A unit that seems dead is left alone for a while.
    if (reading && !reading.ok && reading.error.code === 'PORT_DOWN') await bus.clock.advance(300);
    if (!reading?.ok) failed++;
    else if (reading.value === expected) right++;
    else wrong++;
  }
  await bus.port.close();
  return { right, wrong, failed, counters: bus.counters };
}

describe('10,000 reads each, and not one wrong value', () => {
  it('late replies of 0 to 3 timeouts, back to back', async () => {
    const { wrong, right, counters } = await readAll({ timeoutMs: 50 }, (random) =>
      random() < 0.05 ? { kind: 'late', ms: random() * 150 } : undefined,
    );
    expect(wrong).toBe(0);
    expect(right).toBeGreaterThan(0.9 * READS);
    expect(counters.get('replies_late')).toBeGreaterThan(100);
  });

  it('every reply late', async () => {
    const { wrong, counters } = await readAll(
      { timeoutMs: 50 },
      (random) => ({ kind: 'late', ms: random() * 150 }),
      2000,
    );
    expect(wrong).toBe(0);
    expect(counters.get('replies_late')).toBeGreaterThan(200);
  });

  it('replies truncated, with wrong checksums, of other units, and silence', async () => {
    const { wrong, right } = await readAll({ timeoutMs: 50 }, (random) => {
      const dice = random();
      if (dice < 0.05) return { kind: 'truncated', bytes: Math.floor(random() * 9) };
      if (dice < 0.1) return { kind: 'wrong-checksum' };
      if (dice < 0.15) return { kind: 'wrong-unit', unit: 1 + Math.floor(random() * 4) };
      return dice < 0.17 ? { kind: 'silent' } : undefined;
    });
    expect(wrong).toBe(0);
    expect(right).toBeGreaterThan(0.7 * READS);
  });

  it('noise before and after every reply', async () => {
    const { wrong, right, counters } = await readAll({ timeoutMs: 50 }, (random) => {
      const bytes = () =>
        Buffer.from(Array.from({ length: Math.floor(random() * 20) }, () => Math.floor(random() * 256)));
      return { kind: 'noise', before: bytes(), after: bytes() };
    });
    expect(wrong).toBe(0);
    expect(right).toBeGreaterThan(0.95 * READS);
    // Nearly every reply had noise before it.
    expect(counters.get('resyncs')).toBeGreaterThan(0.9 * READS);
  });

  it.each(['auto', 'strip'] as const)('an adapter that echoes, with echo: %s, and late replies', async (echo) => {
    const { wrong, right } = await readAll({ timeoutMs: 50, echo, echoes: true }, (random) =>
      random() < 0.02 ? { kind: 'late', ms: random() * 150 } : undefined,
    );
    expect(wrong).toBe(0);
    expect(right).toBeGreaterThan(0.95 * READS);
  });

  it('ASCII frames, late and damaged', async () => {
    const { wrong, right } = await readAll({ timeoutMs: 50, framing: 'ascii' }, (random) => {
      const dice = random();
      if (dice < 0.05) return { kind: 'late', ms: random() * 150 };
      if (dice < 0.1) return { kind: 'wrong-checksum' };
      return dice < 0.15 ? { kind: 'truncated', bytes: Math.floor(random() * 19) } : undefined;
    });
    expect(wrong).toBe(0);
    expect(right).toBeGreaterThan(0.8 * READS);
  });
});

describe('10,000 writes, and none reported as done that was not', () => {
  it.each([
    { echoes: false, name: 'replies that name another address or value' },
    { echoes: true, name: 'an echoing adapter, refusals and silence' },
  ])('$name', async ({ echoes }) => {
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const channels = [1, 2, 3].flatMap((unit) => [
      // With one function each: no second way is tried after the first.
      channelOf({ holding: 10, unit, write: { register: 6 } }, { direction: 'out' }),
      channelOf({ coil: 3, unit, write: { coil: 5 } }, { direction: 'out' }),
    ]);
    const bus = await new SimBus({ store, channels, clock, timeoutMs: 50, echoes }).open();
    const random = seeded(11);
    // A refusal, or another answer than the proper one: what the device has then done is in the store alone.
    bus.slave.script = ({ pdu }) => {
      if (pdu.readUInt8(0) < 5 || random() > 0.3) return undefined;
      const dice = random();
      if (dice < 0.3) return { kind: 'exception', code: 4 };
      if (dice < 0.4) return { kind: 'silent' };
      const other = Buffer.from(pdu);
      const at = 1 + Math.floor(random() * 4);
      other[at] = (other[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      return { kind: 'other-reply', pdu: other };
    };
    let [done, failed] = [0, 0];
    for (let write = 0; write < READS; write++) {
      const channel = channels[write % channels.length];
      if (!channel) continue;
      const value = channel.kind === 'digital' ? random() < 0.5 : Math.floor(random() * 65536);
      const outcome = await bus.settle(
        bus.port.write(channel, value).then(
          ({ readBack }) => readBack ?? 'no read-back',
          () => undefined,
        ),
      );
      if (outcome === undefined) failed++;
      else {
        done++;
        const { unit = 1, table, first } = channel.address;
        expect(store.get(unit, table, first)).toEqual([Number(value)]);
        expect([value, 'no read-back']).toContain(outcome);
      }
    }
    await bus.port.close();
    expect(done).toBeGreaterThan(0.5 * READS);
    // Fewer than the faults: where only the answer is wrong, the read-back shows that it is done.
    expect(failed).toBeGreaterThan(0.05 * READS);
  });
});

describe('a serial bus', () => {
  const memory = (clock: ManualClock) => new SimulatedMemory(clock);

  it('rejects everything at once when unplugged in the middle of a reply, and sends nothing afterwards', async () => {
    const clock = new ManualClock();
    const channels = [
      channelOf({ holding: 10 }, { direction: 'out' }),
      channelOf({ holding: 20 }, { direction: 'out' }),
    ];
    const bus = await new SimBus({ store: memory(clock), channels, clock }).open();
    bus.slave.script = () => ({ kind: 'break', bytes: 4 });
    const [a, b] = channels;
    if (!a || !b) throw new Error('no channels');
    const began = clock.now();
    const outcomes = await bus.settle(Promise.allSettled([bus.port.write(a, 1), bus.port.write(b, 2)]), 1);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: 'PORT_DOWN' } });
    expect(clock.now() - began).toBeLessThan(50);
    expect(bus.downs.length).toBe(1);
    const heard = bus.slave.requests;
    await clock.advance(10_000);
    expect(bus.slave.requests).toBe(heard);
  });

  it('with one dead unit of ten, the others keep 90 % of the rate they have without it', async () => {
    const rate = async (dead: number) => {
      const clock = new ManualClock();
      const channels = Array.from({ length: 10 }, (_, at) => channelOf({ holding: 1, unit: at + 1 }));
      const units = new Set(channels.map(({ address }) => address.unit ?? 0).filter((unit) => unit !== dead));
      // Polled so often that the bus is always busy: what the dead unit takes is missing elsewhere.
      const bus = await new SimBus({
        store: memory(clock),
        channels,
        clock,
        units,
        poll: '50ms',
        timeoutMs: 300,
      }).open();
      await clock.advance(5000);
      const before = bus.slave.requests;
      await clock.advance(60_000);
      await bus.port.close();
      return bus.slave.requests - before;
    };
    // Without the tenth unit the nine have the bus to themselves: that is what they may lose 10 % of.
    expect((await rate(4)) / ((await rate(0)) * 0.9)).toBeGreaterThan(0.9);
  });

  it('with nine dead units of ten, the tenth keeps 90 % of the rate it has alone', async () => {
    const rate = async (count: number) => {
      const clock = new ManualClock();
      const channels = Array.from({ length: count }, (_, at) => channelOf({ holding: 1, unit: at + 1 }));
      const alone = { store: memory(clock), channels, clock, units: new Set([1]), poll: '20ms', timeoutMs: 300 };
      const bus = await new SimBus(alone).open();
      // Until all that are dead are known to be.
      await clock.advance(60_000);
      const before = bus.slave.requests;
      await clock.advance(60_000);
      await bus.port.close();
      return bus.slave.requests - before;
    };
    expect((await rate(10)) / (await rate(1))).toBeGreaterThan(0.9);
  });

  it('a reply may take the time of its bytes, also with a short timeout for its first byte', async () => {
    const clock = new ManualClock();
    const long = channelOf({ input: 0, type: 'raw', length: 100 });
    // 205 bytes at 1200 baud take 1.7 s.
    const options = { baud: 1200, timeoutMs: 50, keys: { retries: 0 } };
    const bus = await new SimBus({ store: memory(clock), channels: [long], clock, ...options }).open();
    expect(await bus.settle(bus.port.read([long]))).toEqual([{ ok: true, value: '0'.repeat(400) }]);
    // One that never ends is given up when it should have.
    bus.slave.script = () => ({ kind: 'truncated', bytes: 100 });
    const began = clock.now();
    expect(await bus.settle(bus.port.read([long]))).toMatchObject([{ ok: false, error: { code: 'BAD_REPLY' } }]);
    expect(clock.now() - began).toBeLessThan(2200);
    await bus.port.close();
  });

  it('holds no more received bytes than a reply can have, counts the rest, and finds the reply after them', async () => {
    const clock = new ManualClock();
    const counters = new Map<string, number>();
    const timing = lineTiming({ baud: 19_200, dataBits: 8, parity: 'none', stopBits: 1 });
    const count = (name: string, by = 1) => counters.set(name, (counters.get(name) ?? 0) + by);
    const transport = new LineTransport(
      { clock, framing: rtu, echo: 'off', turnaroundMs: 0, unit: () => ({ timeoutMs: 100, pauseMs: 0, timing }) },
      { count, unitReleased: () => undefined, down: () => undefined },
    );
    const noise = Buffer.alloc(1_000_000, 0x55);
    const reply = rtu.encode(1, Buffer.from([3, 2, 0x12, 0x34]));
    await transport.start(async ({ data }) => ({
      send: () => {
        for (let at = 0; at < noise.length; at += 10_000) data(noise.subarray(at, at + 10_000));
        data(reply);
      },
      close: async () => undefined,
    }));
    await clock.advance(10);
    const data = await transport.transact({ kind: 'read', unit: 1, table: 'holding', first: 0, count: 1 });
    expect(data.toString('hex')).toBe('1234');
    expect(counters.get('bytes_dropped')).toBeGreaterThan(noise.length - 4096);
    await transport.close();
  });

  it('a write on a saturated bus waits for the request under way and its own, no longer', async () => {
    const clock = new ManualClock();
    const polled = Array.from({ length: 40 }, (_, at) => channelOf({ input: at * 200, unit: 1 + (at % 5) }));
    const output = channelOf({ holding: 7, poll: '1h' }, { direction: 'out' });
    const store = memory(clock);
    const channels = [...polled, output];
    const bus = await new SimBus({ store, channels, clock, poll: '20ms', slaveMs: 5, echo: 'off' }).open();
    await clock.advance(2000);
    let longest = 0;
    for (let write = 1; write <= 200; write++) {
      await clock.advance(37.3);
      const began = clock.now();
      const done = bus.port.write(output, write);
      while (store.get(1, 'holding', 7)[0] !== write) await clock.advance(0.5);
      longest = Math.max(longest, clock.now() - began);
      await bus.settle(done);
    }
    // At 19200 baud 8N1: a read of one register (15 bytes), a write (8 of its 16 bytes until it is heard), 5 ms of
    // thinking, the gaps, and the simulation's steps.
    const character = 10_000 / 19_200;
    expect(longest).toBeLessThan(15 * character + 8 * character + 5 + 4 * 3.5 * character + 3);
    expect(bus.counters.get('polls_overrun')).toBeGreaterThan(0);
  });

  it('knows the reference checksum of the standard', () => {
    expect(crc16(Buffer.from('0207', 'hex'))).toBe(0x1241);
  });

  it('is silent for 3.5 characters before each request, or as long as a quirk says, and no longer', async () => {
    const clock = new ManualClock();
    const channels = [1, 2].map((unit) => channelOf({ input: 0, unit }));
    const pauseMs = (unit: number) => (unit === 2 ? 30 : 0);
    const options = {
      store: memory(clock),
      channels,
      clock,
      baud: 9600,
      slaveMs: 2,
      echo: 'off',
      poll: '1ms',
    } as const;
    const bus = await new SimBus({ ...options, pauseMs }).open();
    const heard: { unit: number; at: number }[] = [];
    bus.slave.script = ({ unit }) => {
      heard.push({ unit, at: clock.now() });
      return undefined;
    };
    await clock.advance(3000);
    const character = 10_000 / 9600;
    // Request and reply of one register, the silence before the reply, and 2 ms of thinking.
    const least = 15 * character + 2 * 3.5 * character + 2;
    const after = new Map<number, number[]>([
      [1, []],
      [2, []],
    ]);
    heard.slice(1).forEach(({ unit, at }, index) => {
      after.get(unit)?.push(at - (heard[index]?.at ?? 0));
    });
    expect(after.get(2)?.length).toBeGreaterThan(20);
    for (const [unit, gaps] of after) {
      expect(Math.min(...gaps)).toBeGreaterThanOrEqual(least + pauseMs(unit) - 0.01);
      expect(Math.max(...gaps)).toBeLessThan(least + pauseMs(unit) + 2);
    }
    await bus.port.close();
  });

  it('broadcasts a write to unit 0 without waiting for an answer, and refuses to read it', async () => {
    const clock = new ManualClock();
    const store = memory(clock);
    const all = channelOf({ holding: 7, unit: 0 }, { direction: 'out' });
    const one = channelOf({ holding: 7, unit: 0 });
    const bus = await new SimBus({ store, channels: [all], clock, echo: 'off' }).open();
    const began = clock.now();
    await bus.settle(bus.port.write(all, 5), 1);
    expect(store.get(0, 'holding', 7)).toEqual([5]);
    expect(clock.now() - began).toBeGreaterThanOrEqual(100);
    expect(clock.now() - began).toBeLessThan(130);
    const [reading] = await bus.settle(bus.port.read([one]));
    expect(reading).toMatchObject({ ok: false, error: { code: 'NOT_SUPPORTED' } });
  });

  it('sends no write while the answer to the read that detects the echo may still come', async () => {
    const clock = new ManualClock();
    const word = channelOf({ holding: 7 }, { direction: 'out' });
    const bus = await new SimBus({ store: memory(clock), channels: [word], clock, echo: 'auto' }).open();
    const heard: { readonly at: number; readonly fn: number | undefined }[] = [];
    bus.slave.script = ({ pdu }) => {
      heard.push({ at: clock.now(), fn: pdu[0] });
      return { kind: 'silent' };
    };
    await expect(bus.settle(bus.port.write(word, 1))).rejects.toMatchObject({ code: 'TIMEOUT' });
    const [read, write] = heard;
    expect([read?.fn, write?.fn]).toEqual([3, 6]);
    // The response timeout, and three more of them.
    expect((write?.at ?? 0) - (read?.at ?? 0)).toBeGreaterThanOrEqual(400);
  });

  it('does not send a write that expires while the echo is being detected', async () => {
    const clock = new ManualClock();
    const word = channelOf({ holding: 7 }, { direction: 'out' });
    const bus = await new SimBus({ store: memory(clock), channels: [word], clock, echo: 'auto', slaveMs: 60 }).open();
    const heard: (number | undefined)[] = [];
    bus.slave.script = ({ pdu }) => {
      heard.push(pdu[0]);
      return undefined;
    };
    const command = bus.port.write(word, 1, { expiresAt: clock.now() + 40 });
    await expect(bus.settle(command)).rejects.toMatchObject({ code: 'EXPIRED' });
    expect(heard).toEqual([3]);
  });

  it('does not ask a unit after a timeout until its late reply can no longer come, and serves the others meanwhile', async () => {
    const clock = new ManualClock();
    const [one, two] = [channelOf({ holding: 1, unit: 1 }), channelOf({ holding: 1, unit: 2 })];
    const bus = await new SimBus({ store: memory(clock), channels: [one, two], clock, timeoutMs: 100 }).open();
    const asked: { unit: number; at: number }[] = [];
    bus.slave.script = ({ unit }) => {
      asked.push({ unit, at: clock.now() });
      return unit === 1 && asked.length === 1 ? { kind: 'silent' } : undefined;
    };
    await bus.settle(bus.port.read([one]));
    const again = bus.port.read([one]);
    await bus.settle(bus.port.read([two]));
    expect(asked.map(({ unit }) => unit)).toEqual([1, 2]);
    expect(await bus.settle(again)).toEqual([{ ok: true, value: 0 }]);
    expect((asked[2]?.at ?? 0) - (asked[0]?.at ?? 0)).toBeGreaterThanOrEqual(400);
  });
});
