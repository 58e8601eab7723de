import { afterEach, describe, expect, it } from 'vitest';
import { prepare } from '../../drivers/modbus/crash-plan.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { FaultySlave } from './faulty-slave.ts';
import { channelOf, Owner, silentLog, until } from './owner.ts';

const power = channelOf(
  { holding: 14, scale_from: 15, sunspec: 103, type: 'int16', poll: '50ms' },
  { direction: 'out' },
);

/** Registers of a device whose common model has this length, with an inverter of so many W behind it. */
function registers(commonLength: number, watts: number): Map<number, number> {
  const words = new Map(
    [40_000, 40_001, 40_002, 40_003].map((at, index) => [at, [0x5375, 0x6e53, 1, commonLength][index] ?? 0]),
  );
  const at = 40_004 + commonLength;
  for (const [offset, word] of [103, 50].entries()) words.set(at + offset, word);
  words.set(at + 14, watts);
  for (const [offset, word] of [0xffff, 0].entries()) words.set(at + 52 + offset, word);
  return words;
}

describe('a SunSpec device on TCP', () => {
  let device = new FaultySlave();
  let owner: Owner | undefined;
  let words = registers(66, 111);

  afterEach(async () => {
    await owner?.close();
    await device.close();
  });

  async function open(closes?: FaultySlave['closes']) {
    device = new FaultySlave();
    device.closes = closes;
    device.word = (_unit, address) => words.get(address) ?? 0;
    owner = new Owner({ tcp: `127.0.0.1:${await device.listen()}`, timeout: '300ms' }, [power]);
    await owner.open();
    const { readings } = owner;
    await until(() => readings.has(power.key), 2000, 'the first value');
    return () => (readings.get(power.key) ?? []).map((reading) => (reading.ok ? reading.value : reading.error.code));
  }

  it('that closes its connections is right from the first value on, and walked rarely', async () => {
    words = registers(66, 111);
    const told = await open({ after: 'each', ms: 0 });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const walks = device.seen.filter(({ pdu }) => pdu.readUInt16BE(1) === 40_000).length;
    expect(walks).toBeGreaterThan(0);
    expect(walks).toBeLessThan(5);
    expect(told()).toEqual([111]);
  });

  it('that closes its connection and has its models elsewhere afterwards gives no value from the old place', async () => {
    words = registers(66, 111);
    const told = await open();
    await new Promise((resolve) => setTimeout(resolve, 200));
    // What stands at the old place looks like the model.
    words = new Map([...registers(66, 999), ...registers(60, 222)]);
    device.hangUp('fin');
    await until(() => told().includes(222), 3000, 'the value from the new place');
    expect(told()).not.toContain(999);
  });

  it('gets its safe values from the guardian where its models are by then, with the factor of then', async () => {
    words = registers(66, 111);
    await open();
    const made = owner?.port?.crashPlan?.([{ channel: power, value: 70 }]);
    // As the guardian gets it: a copy in another process.
    const copy = () => structuredClone(made?.plan);
    const context = { clock: systemClock, log: silentLog };
    await (await prepare(copy(), context, [])).attempt();
    expect([...device.written]).toEqual([[40_070 + 14, 70]]);
    device.written.clear();
    words = new Map([...registers(66, 999), ...registers(60, 222)]);
    words.set(40_070, 0).set(40_064 + 15, 1);
    await (await prepare(copy(), context, [])).attempt();
    expect([...device.written]).toEqual([[40_064 + 14, 7]]);
  });
});
