import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

const out = (keys: Record<string, unknown>, start?: number | boolean) =>
  channelOf(keys, { direction: 'out', ...(start === undefined ? {} : { start }) });

describe('writing over Modbus', () => {
  it('writes coils, registers and wide values, and resolves with the read-back', async () => {
    const [coil, word, wide] = [
      out({ coil: 3 }),
      out({ holding: 4 }),
      out({ holding: 6, type: 'float32', order: 'CDAB' }),
    ];
    owner = new Owner({ tcp }, [coil, word, wide]);
    const port = await owner.open();
    expect(await port.write(coil, true)).toEqual({ readBack: true });
    expect(await port.write(word, 77)).toEqual({ readBack: 77 });
    expect(await port.write(wide, 1.5)).toEqual({ readBack: 1.5 });
    expect([slave.written.get(6), slave.written.get(7)]).toEqual([0x0000, 0x3fc0]);
    expect(await port.read([word])).toEqual([{ ok: true, value: 77 }]);
  });

  it('refuses what cannot be encoded before anything is sent', async () => {
    const [coil, word, input] = [out({ coil: 3 }), out({ holding: 4, type: 'int16' }), out({ input: 4 })];
    owner = new Owner({ tcp, poll: '1h' }, [coil, word, input]);
    const port = await owner.open();
    await until(() => owner.value(input) !== undefined, 500);
    const sent = slave.seen.length;
    await expect(port.write(coil, 1)).rejects.toMatchObject({ code: 'BAD_VALUE' });
    await expect(port.write(word, 'banana')).rejects.toMatchObject({ code: 'BAD_VALUE' });
    await expect(port.write(word, Number.NaN)).rejects.toMatchObject({ code: 'BAD_VALUE' });
    await expect(port.write(word, 32768)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    await expect(port.write(word, -32769)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    await expect(port.write(input, 1)).rejects.toMatchObject({ code: 'READ_ONLY' });
    expect(slave.seen.length).toBe(sent);
  });

  it.each([
    { fault: { do: 'wrong-echo' }, code: 'TIMEOUT' },
    { fault: { do: 'silent' }, code: 'TIMEOUT' },
    { fault: { do: 'exception', code: 3 }, code: 'DEVICE_REFUSED' },
    { fault: { do: 'exception', code: 2 }, code: 'NO_SUCH_CHANNEL' },
    { fault: { do: 'rst' }, code: 'TIMEOUT' },
  ] as const)(
    'a write answered by $fault.do fails with $code and is never reported as done',
    async ({ fault, code }) => {
      const word = out({ holding: 4 });
      owner = new Owner({ tcp, timeout: '100ms' }, [word]);
      const port = await owner.open();
      // Nor can the register be read, which could settle it.
      slave.script = ({ fn }) => (fn > 4 ? fault : { do: 'exception', code: 4 });
      await expect(port.write(word, 5)).rejects.toMatchObject({ code });
      expect(slave.seen.filter(({ fn }) => fn === 6).length).toBe(1);
    },
  );

  it.each([{ do: 'wrong-echo' }, { do: 'rst' }, { do: 'partial' }] as const)(
    'a write answered by $do is done when the device then shows the value',
    async (fault) => {
      const word = out({ holding: 4 });
      owner = new Owner({ tcp, timeout: '100ms' }, [word]);
      const port = await owner.open();
      slave.script = ({ fn }) => (fn > 4 ? fault : { do: 'answer' });
      expect(await port.write(word, 5)).toEqual({ readBack: 5 });
      expect(slave.seen.filter(({ fn }) => fn > 4)).toHaveLength(1);
    },
  );

  it('uses the function for several items when the device does not know the one for a single item', async () => {
    const [word, coil] = [out({ holding: 4 }), out({ coil: 9 })];
    owner = new Owner({ tcp }, [word, coil]);
    const port = await owner.open();
    slave.script = ({ fn }) => (fn === 5 || fn === 6 ? { do: 'exception', code: 1 } : { do: 'answer' });
    expect(await port.write(word, 5)).toEqual({ readBack: 5 });
    await port.write(coil, true);
    expect(slave.seen.map(({ fn }) => fn).filter((fn) => fn > 4)).toEqual([6, 16, 5, 15]);
    await port.write(word, 6);
    await port.write(coil, false);
    expect(slave.seen.map(({ fn }) => fn).filter((fn) => fn > 4)).toEqual([6, 16, 5, 15, 16, 15]);
  });

  it('a register that cannot be read is still written, without a read-back, and not asked again', async () => {
    const word = out({ holding: 4 });
    slave.script = ({ fn }) => (fn === 3 ? { do: 'exception', code: 2 } : { do: 'answer' });
    owner = new Owner({ tcp, poll: '1h' }, [word]);
    const port = await owner.open();
    await until(() => owner.failure(word) !== undefined, 500);
    expect(await port.write(word, 5)).toEqual({});
    const reads = slave.seen.filter(({ fn }) => fn === 3).length;
    expect(await port.write(word, 6)).toEqual({});
    expect(slave.seen.filter(({ fn }) => fn === 3).length).toBe(reads);
  });

  it('a register that could not be read this time (exception 4) is read back after the next write', async () => {
    const word = out({ holding: 4 });
    owner = new Owner({ tcp, poll: '1h' }, [word]);
    const port = await owner.open();
    await until(() => owner.value(word) !== undefined, 500);
    slave.script = ({ fn }) => (fn === 3 ? { do: 'exception', code: 4 } : { do: 'answer' });
    expect(await port.write(word, 5)).toEqual({});
    slave.script = () => ({ do: 'answer' });
    expect(await port.write(word, 6)).toEqual({ readBack: 6 });
  });

  it('writes opening values before any other request', async () => {
    const channels = [out({ holding: 4 }, 42), out({ coil: 1 }, true), channelOf({ input: 0 })];
    owner = new Owner({ tcp }, channels);
    await owner.open();
    expect(slave.written.get(4)).toBe(42);
    expect(slave.written.get(1)).toBe(1);
    expect(slave.seen[0]?.fn).toBeGreaterThan(4);
    expect(slave.seen.findIndex(({ fn }) => fn === 4)).toBe(-1);
  });

  it('a device that did not answer at first gets its opening value as soon as it does, unless commanded since', async () => {
    const [kept, commanded] = [out({ holding: 4 }, 42), out({ holding: 6 }, 43)];
    slave.script = () => ({ do: 'silent' });
    owner = new Owner({ tcp, timeout: '60ms', poll: '100ms' }, [kept, commanded]);
    const port = await owner.open();
    expect(owner.counters.get('starts_failed')).toBe(2);
    await port.write(commanded, 7).catch(() => undefined);
    slave.script = () => ({ do: 'answer' });
    await until(() => slave.written.get(4) === 42, 4000, 'the start value');
    expect(await port.write(commanded, 8)).toEqual({ readBack: 8 });
    expect(slave.written.get(6)).toBe(8);
  });

  it('goes before polling: on a saturated bus it waits only for the request under way', async () => {
    const polled = Array.from({ length: 50 }, (_, index) => channelOf({ input: index * 200 }));
    const word = out({ holding: 4, poll: '1h' });
    slave.script = () => ({ do: 'late', ms: 10 });
    owner = new Owner({ tcp, poll: '20ms' }, [...polled, word]);
    const port = await owner.open();
    await until(() => slave.seen.length > 20, 2000);
    for (let round = 0; round < 10; round++) {
      const before = slave.seen.length;
      await port.write(word, round);
      const order = slave.seen.slice(before).map(({ fn }) => fn);
      // One request may already have been on its way.
      expect(order.slice(0, 2)).toContain(6);
    }
    expect(owner.counters.get('polls_overrun')).toBeGreaterThan(0);
  });

  it('a command that expires before the bus has room for it is never sent', async () => {
    const [word, other] = [out({ holding: 4 }), out({ holding: 5 })];
    slave.script = () => ({ do: 'late', ms: 60 });
    owner = new Owner({ tcp, poll: '1h' }, [word, other]);
    const port = await owner.open();
    const first = port.write(other, 1);
    const late = port.write(word, 7, { expiresAt: owner.clock.now() + 20 });
    await expect(late).rejects.toMatchObject({ code: 'EXPIRED' });
    await first;
    await until(() => owner.value(word) !== undefined, 1000);
    expect(slave.seen.filter(({ fn }) => fn === 6).length).toBe(1);
    expect(await port.write(word, 8, { expiresAt: owner.clock.now() + 500 })).toEqual({ readBack: 8 });
  });

  it('to a busy device (exception 6) is sent again, and succeeds once the device is free', async () => {
    const word = out({ holding: 4 });
    let refusals = 2;
    slave.script = ({ fn }) => (fn === 6 && refusals-- > 0 ? { do: 'exception', code: 6 } : { do: 'answer' });
    owner = new Owner({ tcp, poll: '1h' }, [word]);
    const port = await owner.open();
    expect(await port.write(word, 5)).toEqual({ readBack: 5 });
    expect(slave.seen.filter(({ fn }) => fn === 6).length).toBe(3);
    expect(owner.counters.get('writes_repeated')).toBe(2);
  });

  it('to a device that stays busy ends with BUSY when it expires; a newer one replaces it', async () => {
    const word = out({ holding: 4 });
    slave.script = ({ fn }) => (fn === 6 ? { do: 'exception', code: 6 } : { do: 'answer' });
    owner = new Owner({ tcp, poll: '1h' }, [word]);
    const port = await owner.open();
    await expect(port.write(word, 5, { expiresAt: owner.clock.now() + 250 })).rejects.toMatchObject({ code: 'BUSY' });
    const older = port.write(word, 6);
    await until(() => slave.seen.at(-1)?.pdu.readUInt16BE(3) === 6, 1000);
    slave.script = () => ({ do: 'answer' });
    const newer = port.write(word, 7);
    await expect(older).rejects.toMatchObject({ code: 'EXPIRED' });
    expect(await newer).toEqual({ readBack: 7 });
    expect(slave.written.get(4)).toBe(7);
  });

  it('accepted with exception 5 succeeds once the device shows the value, and is unknown if it never does', async () => {
    const word = out({ holding: 4 });
    owner = new Owner({ tcp, poll: '1h' }, [word]);
    const port = await owner.open();
    await until(() => owner.value(word) !== undefined, 1000);
    let polls = 0;
    slave.script = ({ fn }) => {
      if (fn === 6) return { do: 'exception', code: 5 };
      if (++polls === 2) slave.written.set(4, 5);
      return { do: 'answer' };
    };
    expect(await port.write(word, 5)).toEqual({ readBack: 5 });
    expect(polls).toBe(2);
    const never = port.write(word, 6, { expiresAt: owner.clock.now() + 400 });
    await expect(never).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(slave.seen.filter(({ fn }) => fn === 6).length).toBe(2);
  });

  it('sends only the newer of two waiting writes to one output, and rejects the older', async () => {
    const [word, other] = [out({ holding: 4 }), out({ holding: 5 })];
    slave.script = () => ({ do: 'late', ms: 30 });
    owner = new Owner({ tcp, poll: '1h' }, [word, other]);
    const port = await owner.open();
    const [first, older, newer] = [port.write(other, 1), port.write(word, 1), port.write(word, 2)];
    await expect(older).rejects.toMatchObject({ code: 'EXPIRED' });
    expect(await newer).toEqual({ readBack: 2 });
    await first;
    expect(slave.seen.filter(({ fn, pdu }) => fn === 6 && pdu.readUInt16BE(1) === 4).length).toBe(1);
  });

  it('close rejects what waits and what is under way at once, and nothing is reported afterwards', async () => {
    const [word, other] = [out({ holding: 4 }), out({ holding: 5 })];
    owner = new Owner({ tcp, poll: '1h' }, [word, other]);
    const port = await owner.open();
    await until(() => owner.value(word) !== undefined, 500);
    slave.script = () => ({ do: 'silent' });
    const pending = [port.write(word, 1), port.write(other, 2), port.read([word])];
    const outcomes = Promise.allSettled(pending);
    await until(() => slave.seen.some(({ fn }) => fn === 6), 500);
    const began = performance.now();
    await owner.close();
    // Only the first had been sent: of it nobody knows.
    const codes = (await outcomes).map((outcome) => outcome.status === 'rejected' && outcome.reason.code);
    expect(codes).toEqual(['TIMEOUT', 'PORT_DOWN', 'PORT_DOWN']);
    expect(performance.now() - began).toBeLessThan(500);
    await expect(port.write(word, 1)).rejects.toMatchObject({ code: 'PORT_DOWN' });
  });
});
