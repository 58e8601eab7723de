import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { modbus } from '../../drivers/modbus/driver.ts';
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

const out = (keys: Record<string, unknown>) => channelOf(keys, { direction: 'out' });
const asksFor = (first: number) => slave.seen.filter(({ fn, pdu }) => fn <= 4 && pdu.readUInt16BE(1) === first).length;

describe('verification of a write by another register', () => {
  const verified = { holding: 4, verify: { holding: 40, delay: '30ms', tolerance: 2 } };

  it('reads the other register after the delay and accepts a value within the tolerance', async () => {
    const word = out(verified);
    slave.written.set(40, 52);
    owner = new Owner({ tcp, poll: '1h' }, [word]);
    const port = await owner.open();
    const began = performance.now();
    expect(await port.write(word, 50)).toEqual({ readBack: 50 });
    expect(performance.now() - began).toBeGreaterThanOrEqual(29);
    expect(asksFor(40)).toBe(1);
  });

  it('refuses the command when the device shows another value, whatever it acknowledged', async () => {
    const word = out(verified);
    slave.written.set(40, 53);
    owner = new Owner({ tcp, poll: '1h' }, [word]);
    const port = await owner.open();
    await expect(port.write(word, 50)).rejects.toMatchObject({ code: 'NOT_TAKEN', found: 53 });
  });

  it('has an unknown outcome when the register cannot be read, and close does not wait for it', async () => {
    const word = out({ holding: 4, verify: { holding: 40, delay: '10s' } });
    owner = new Owner({ tcp, poll: '1h' }, [word]);
    const port = await owner.open();
    const outcome = port.write(word, 50).catch((error: unknown) => error);
    await until(() => slave.seen.some(({ fn }) => fn === 6), 500);
    await new Promise((resolve) => setTimeout(resolve, 30));
    const began = performance.now();
    await owner.close();
    expect(await outcome).toMatchObject({ code: 'TIMEOUT' });
    expect(performance.now() - began).toBeLessThan(500);
  });

  it.each([
    { coil: 1, verify: { holding: 2 } },
    { holding: 1, verify: { holding: 2, input: 3 } },
    { holding: 1, verify: {} },
    { holding: 1, verify: { holding: 2, delay: '11s' } },
  ])('refuses %j', (keys) => {
    expect(modbus.pin.safeParse(keys).success).toBe(false);
  });
});

describe('the heartbeat of a device', () => {
  it('is written at its rate for as long as the port is open, and no longer', async () => {
    const word = channelOf({ holding: 4, quirks: { heartbeat: { holding: 99, every: '20ms', values: [1, 2] } } });
    owner = new Owner({ tcp, poll: '1h' }, [word]);
    await owner.open();
    const beats = () => slave.seen.filter(({ fn, pdu }) => fn === 6 && pdu.readUInt16BE(1) === 99);
    await until(() => beats().length >= 4, 2000);
    expect(
      beats()
        .slice(0, 4)
        .map(({ pdu }) => pdu.readUInt16BE(3)),
    ).toEqual([1, 2, 1, 2]);
    await owner.close();
    const sent = beats().length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(beats().length).toBe(sent);
    expect(owner.counters.get('heartbeats_missed')).toBeUndefined();
  });

  it.each([{ do: 'exception', code: 1 }, { do: 'silent' }] as const)(
    'is written with function 16 where function 6 is answered by $do',
    async (reaction) => {
      const word = channelOf({ holding: 4, quirks: { heartbeat: { holding: 99, every: '40ms' } } });
      slave.script = ({ fn }) => (fn === 6 ? reaction : { do: 'answer' });
      owner = new Owner({ tcp, poll: '10ms', timeout: '50ms' }, [word]);
      await owner.open();
      const beats = () => slave.seen.filter(({ fn, pdu }) => fn === 16 && pdu.readUInt16BE(1) === 99);
      await until(() => beats().length >= 4, 3000);
      const [, , third, fourth] = beats();
      expect(fourth?.pdu.readUInt16BE(6)).toBe((third?.pdu.readUInt16BE(6) ?? 0) + 1);
      const tried = slave.seen.filter(({ fn }) => fn === 6).length;
      expect(tried).toBeLessThanOrEqual(2);
    },
  );

  it('that the device refuses is counted and harms nothing else', async () => {
    const word = channelOf({ holding: 4, quirks: { heartbeat: { holding: 99, every: '20ms' } } });
    slave.script = ({ fn }) => (fn > 4 ? { do: 'exception', code: 2 } : { do: 'answer' });
    owner = new Owner({ tcp, poll: '10ms' }, [word]);
    await owner.open();
    await until(() => (owner.counters.get('heartbeats_missed') ?? 0) >= 2, 2000);
    expect(owner.value(word)).toBeDefined();
  });
});

describe('the metrics of a bus', () => {
  it('tell its utilisation, its round trips and its off-line units', async () => {
    const word = channelOf({ holding: 4 });
    slave.script = () => ({ do: 'late', ms: 20 });
    owner = new Owner({ tcp, poll: '1ms' }, [word]);
    const port = await owner.open();
    await until(() => slave.seen.length >= 10, 3000);
    const found = port.metrics?.();
    expect(found?.['utilisation']).toBeGreaterThan(0.5);
    expect(found?.['utilisation']).toBeLessThanOrEqual(1);
    expect(found?.['round_trip_p50_ms']).toBeGreaterThan(18);
    expect(found?.['round_trip_p99_ms']).toBeGreaterThanOrEqual(found?.['round_trip_p50_ms'] ?? 0);
    expect(found?.['units_off_line']).toBe(0);
  });
});
