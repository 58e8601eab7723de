import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prepare } from '../../drivers/modbus/crash-plan.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { FaultySlave } from './faulty-slave.ts';
import { channelOf, Owner, silentLog } from './owner.ts';

let slave: FaultySlave;
let owner: Owner;
let tcp: string;

beforeEach(async () => {
  slave = new FaultySlave();
  tcp = `127.0.0.1:${await slave.listen()}`;
});
afterEach(async () => {
  await owner.close();
  await slave.close();
});

const outputs = [4, 5].map((holding) => channelOf({ holding }, { direction: 'out' }));
const context = { clock: systemClock, log: silentLog };

async function open() {
  owner = new Owner({ tcp, timeout: '100ms', poll: '1h' }, outputs);
  const port = await owner.open();
  const plan = () => {
    const made = port.crashPlan?.(outputs.map((channel) => ({ channel, value: 0 })));
    // As the guardian gets it: a copy in another process.
    return structuredClone(made?.plan);
  };
  return { port, plan };
}

describe('the crash plan of a Modbus port', () => {
  it('writes safe values with the functions that were learned', async () => {
    slave.script = ({ fn }) => (fn === 6 ? { do: 'exception', code: 1 } : { do: 'answer' });
    const { port, plan } = await open();
    const [first] = outputs;
    if (!first) throw new Error('no output');
    await port.write(first, 9);
    const executor = await prepare(plan(), context, []);
    slave.seen.length = 0;
    await executor.attempt();
    expect(slave.seen.map(({ fn }) => fn).filter((fn) => fn > 4)).toEqual([16, 16]);
    expect([slave.written.get(4), slave.written.get(5)]).toEqual([0, 0]);
  });

  it('finds the function by itself when nothing was learned: after refusals at once, after silence in the next attempt', async () => {
    const { plan } = await open();
    slave.script = ({ fn }) => (fn === 6 ? { do: 'exception', code: 2 } : { do: 'answer' });
    await (await prepare(plan(), context, [])).attempt();
    expect([slave.written.get(4), slave.written.get(5)]).toEqual([0, 0]);
    slave.written.clear();
    slave.script = ({ fn }) => (fn === 6 ? { do: 'silent' } : { do: 'answer' });
    slave.seen.length = 0;
    const executor = await prepare(plan(), context, []);
    await expect(executor.attempt()).rejects.toMatchObject({ code: 'TIMEOUT' });
    await executor.attempt();
    expect(slave.seen.map(({ fn }) => fn).filter((fn) => fn > 4)).toEqual([6, 16, 16]);
    expect([slave.written.get(4), slave.written.get(5)]).toEqual([0, 0]);
  });

  it('keeps to the function that the configuration states', async () => {
    const channel = channelOf({ holding: 4, write: { register: 6 } }, { direction: 'out' });
    owner = new Owner({ tcp, timeout: '100ms', poll: '1h' }, [channel]);
    const port = await owner.open();
    const plan: unknown = port.crashPlan?.([{ channel, value: 0 }])?.plan;
    slave.script = () => ({ do: 'exception', code: 1 });
    slave.seen.length = 0;
    const executor = await prepare(plan, context, []);
    for (let attempt = 0; attempt < 2; attempt++) await expect(executor.attempt()).rejects.toThrow();
    expect(slave.seen.map(({ fn }) => fn).filter((fn) => fn > 4)).toEqual([6, 6]);
  });

  it('writes the other outputs of a unit that never answers for one, each with the function that it takes', async () => {
    slave.script = ({ fn }) => (fn === 6 ? { do: 'exception', code: 1 } : { do: 'answer' });
    const { port, plan } = await open();
    const [, second] = outputs;
    if (!second) throw new Error('no output');
    await port.write(second, 9);
    const made = plan();
    slave.script = ({ fn, pdu }) => ({ do: fn > 4 && pdu.readUInt16BE(1) === 4 ? 'silent' : 'answer' });
    slave.seen.length = 0;
    const executor = await prepare(made, context, []);
    for (let attempt = 0; attempt < 2; attempt++) await expect(executor.attempt()).rejects.toThrow(/ of 2 outputs/);
    expect(slave.written.get(5)).toBe(0);
    const writes = slave.seen.filter(({ fn }) => fn > 4).map(({ fn, pdu }) => `${fn} to ${pdu.readUInt16BE(1)}`);
    expect(writes).toEqual(['16 to 4', '16 to 5', '6 to 4']);
  });
});
