import { describe, expect, it } from 'vitest';
import type { WriteOptions } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const limit = pinSpec({ name: 'limit', kind: 'analog', direction: 'out', safe: 0, repeatMs: 1000 });
const enable = pinSpec({ name: 'enable', direction: 'out', safe: false, repeatMs: 1000 });

/** An output whose writes are recorded as they reach the port. */
async function recorded(spec: typeof limit, more: Parameters<typeof pinBench>[0] = []) {
  const bench = await pinBench([spec, ...more]);
  const writes: RawValue[] = [];
  const { port } = bench.runner;
  const write = port.write.bind(port);
  let failure: DcsError | undefined;
  const options: (WriteOptions | undefined)[] = [];
  port.write = async (channel, value, given) => {
    if (channel.key !== spec.name) return write(channel, value, given);
    if (failure) throw failure;
    writes.push(value);
    options.push(given);
    return write(channel, value, given);
  };
  const fail = (error: DcsError | undefined) => {
    failure = error;
  };
  const state = () => bench.life.table.get(spec.name)?.output?.lastCommand?.state;
  return { ...bench, writes, options, fail, state };
}

describe('an output with `repeat`', () => {
  it('is written again and again while a command is in force, with the newest value, and not before', async () => {
    const { command, clock, writes, options } = await recorded(limit);
    await clock.advance(3500);
    expect(writes).toEqual([]);
    await command('limit', 30);
    await clock.advance(3500);
    expect(writes).toEqual([30, 30, 30, 30]);
    await command('limit', 40);
    await clock.advance(1999);
    expect(writes.slice(4)).toEqual([40, 40]);
    expect(options.map((one) => one?.repetition)).toEqual([undefined, true, true, true, undefined, true]);
  });

  it('says nothing while all goes well', async () => {
    const { command, clock, take } = await recorded(limit);
    await command('limit', 30);
    await clock.advance(5000);
    expect(take()).toEqual([]);
  });

  it('repeats the safe value once a lease has ended, and the forced one during an override', async () => {
    const { command, clock, writes, user } = await recorded(limit);
    await command('limit', 30, { hold: 2.5 });
    await clock.advance(5000);
    expect(writes).toEqual([30, 30, 30, 0, 0, 0]);
    await command('limit', 7, { override: 2.5 });
    await clock.advance(2400);
    expect(writes.slice(6)).toEqual([7, 7, 7]);
    user.send({ IoMessage: { pin_name: 'limit', override: 0 } });
    await clock.advance(1500);
    expect(writes.slice(9)).toEqual([0, 0]);
  });

  it('is not written any more after a loss that ended the command, with on_loss: hold', async () => {
    const { command, clock, hardware, runner } = await recorded({ ...limit, onLoss: 'hold' });
    await command('limit', 30);
    hardware.unplug('gone');
    await clock.advance(5000);
    hardware.plug();
    await clock.advance(5000);
    hardware.set('limit', 100);
    await clock.advance(5000);
    expect(runner.state).toBe('open');
    expect(hardware.get('limit')).toBe(100);
  });

  it('obeys its rules: what a rule has turned off stays off', async () => {
    const ruled = { ...enable, rules: { maxOnMs: 2500 } };
    const { command, clock, writes } = await recorded(ruled);
    await command('enable', true);
    await clock.advance(10_000);
    expect(writes.filter((value) => value === true)).toEqual([true, true, true]);
    expect(writes.slice(3).length).toBeGreaterThan(3);
    expect(new Set(writes.slice(3))).toEqual(new Set([false]));
  });

  it('tells that the hardware has fallen back, and that it has the value again', async () => {
    const { command, clock, hardware, state, take } = await recorded(limit);
    await command('limit', 30);
    expect(state()).toBe('verified');
    await clock.advance(500);
    hardware.set('limit', 100);
    await clock.advance(0);
    expect(take()).toMatchObject([{ val: 100, output: { desired: 30, command: { val: 30, state: 'failed' } } }]);
    await clock.advance(600);
    expect(take()).toMatchObject([{ val: 30, output: { desired: 30, command: { val: 30, state: 'verified' } } }]);
  });

  it('is uncertain while it cannot be repeated, which is tried more often, and good again afterwards', async () => {
    const slow = { ...limit, repeatMs: 60_000 };
    const { command, clock, fail, state, take, writes } = await recorded(slow);
    await command('limit', 30);
    fail(new DcsError('TIMEOUT', 'no answer in time'));
    await clock.advance(60_000);
    const told = take();
    expect(told.filter(({ subject }) => subject === 'IoErrorMessage')).toMatchObject([{ code: 'TIMEOUT' }]);
    expect(told.at(-1)).toMatchObject({ val: 30, quality: 'uncertain', reason: expect.stringMatching(/no answer/) });
    expect(state()).toBe('unknown');
    await clock.advance(5000);
    expect(take()).toEqual([]);
    fail(undefined);
    await clock.advance(1000);
    expect(writes).toEqual([30, 30]);
    expect(take().at(-1)).toMatchObject({ val: 30, quality: 'good' });
    expect(state()).toBe('verified');
  });

  it('goes to its safe value after the port was lost, as every output does', async () => {
    const { command, clock, hardware } = await recorded(limit);
    await command('limit', 30);
    hardware.unplug('gone');
    await clock.advance(5000);
    hardware.plug();
    await clock.advance(5000);
    expect(hardware.get('limit')).toBe(0);
  });

  it('does not repeat a command that failed: the hardware accepted it and does not have it', async () => {
    const { command, clock, runner, take } = await recorded(enable);
    let local = true;
    const writes: RawValue[] = [];
    runner.port.write = async (_channel, value) => {
      writes.push(value);
      return { readBack: local ? false : value };
    };
    expect((await command('enable', true)).answers).toMatchObject([{ code: 'NOT_TAKEN' }]);
    local = false;
    take();
    await clock.advance(60_000);
    expect(writes).toEqual([true]);
    await command('enable', true);
    await clock.advance(1500);
    expect(writes.slice(1)).toEqual([true, true]);
  });

  it('repeats a command without an answer only once a reading has confirmed it', async () => {
    const { command, clock, fail, hardware, writes, state } = await recorded(limit);
    fail(new DcsError('TIMEOUT', 'no answer in time'));
    expect((await command('limit', 30)).answers).toMatchObject([{ code: 'TIMEOUT' }]);
    fail(undefined);
    await clock.advance(10_000);
    expect(writes).toEqual([]);
    hardware.set('limit', 30);
    await clock.advance(1500);
    expect(state()).toBe('verified');
    expect(writes.length).toBeGreaterThan(0);
    hardware.set('limit', 5);
    await clock.advance(1500);
    expect(hardware.get('limit')).toBe(30);
  });

  it('repeats a command that a reading has confirmed also when a later command has failed', async () => {
    const { command, clock, fail, hardware, writes } = await recorded(limit);
    fail(new DcsError('TIMEOUT', 'no answer in time'));
    await command('limit', 30);
    fail(new DcsError('DEVICE_REFUSED', 'not now'));
    await command('limit', 40);
    fail(undefined);
    hardware.set('limit', 30);
    await clock.advance(2500);
    expect(writes).toEqual(expect.arrayContaining([30]));
  });

  it('waits for min_off and the rate before it writes to hardware that has fallen back', async () => {
    const { command, clock, hardware } = await recorded({ ...enable, rules: { minOffMs: 60_000 } });
    await clock.advance(60_000);
    await command('enable', true);
    await clock.advance(5000);
    hardware.set('enable', false);
    await clock.advance(59_000);
    expect(hardware.get('enable')).toBe(false);
    await clock.advance(2000);
    expect(hardware.get('enable')).toBe(true);
  });

  it('counts what it changes for the rate', async () => {
    const { command, clock, hardware } = await recorded({ ...limit, rules: { rate: { changes: 1, perMs: 60_000 } } });
    await command('limit', 30);
    hardware.set('limit', 100);
    await clock.advance(59_000);
    expect(hardware.get('limit')).toBe(100);
    await clock.advance(2000);
    expect(hardware.get('limit')).toBe(30);
  });

  it('does not wait for a rule of time with its safe value', async () => {
    const { command, clock, hardware } = await recorded({ ...enable, rules: { minOnMs: 60_000 } });
    await command('enable', true, { hold: 2 });
    await clock.advance(3000);
    hardware.set('enable', true);
    await clock.advance(1500);
    expect(hardware.get('enable')).toBe(false);
  });

  it('applies a decision at once that became due during a repetition', async () => {
    const slow = { ...limit, repeatMs: 60_000 };
    const { clock, life, writes, command, runner } = await recorded(slow);
    await command('limit', 30);
    const { port } = runner;
    const write = port.write.bind(port);
    port.write = async (channel, value, options) => {
      const written = await write(channel, value, options);
      const output = life.table.get('limit')?.output;
      if (writes.length !== 2 || !output) return written;
      // The port has opened again, with the return value, which the hardware does not have.
      output.openedWith = 30;
      return { readBack: 100 };
    };
    await clock.advance(60_100);
    expect(writes).toEqual([30, 30, 30]);
  });
});
