import { describe, expect, it } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { sleep } from '../../src/clock/clock.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { FailedPin } from '../../src/io/create-pin.ts';
import { PinTable } from '../../src/output/pin-table.ts';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const door = pinSpec({ name: 'door', staleAfterMs: 10_000 });
const lamp = pinSpec({ name: 'lamp', direction: 'out', initial: false, safe: false });

describe('a value with stale_after', () => {
  it('stays good while the hardware confirms it, even when it rarely changes', async () => {
    const { clock, take } = await pinBench([door]);
    take();
    await clock.advance(600_000);
    expect(take()).toEqual([]);
  });

  it('is uncertain with quality_since once the hardware has not answered for stale_after, and good when it does', async () => {
    const { clock, take, hardware } = await pinBench([door], { timeout: '3600s' });
    await clock.advance(20_000);
    take();
    // Nothing is told of it: whoever asks waits for ever.
    hardware.faultOf = () => ({ kind: 'timeout' });
    await clock.advance(20_000);
    const [aged, ...more] = take();
    expect(more).toEqual([]);
    expect(aged).toMatchObject({
      val: false,
      quality: 'uncertain',
      reason: expect.stringMatching(/^not confirmed by the hardware for \d+ s$/),
    });
    expect(Number(aged?.['quality_since'])).toBeLessThanOrEqual(clock.unix());
    expect(clock.unix() - Number(aged?.['quality_since'])).toBeLessThanOrEqual(10);
    hardware.faultOf = () => undefined;
    await clock.advance(10_000);
    expect(take()).toMatchObject([{ quality: 'good' }]);
  });

  it.each([
    ['an output', { ...lamp, staleAfterMs: 10_000 }, true],
    ['a counter', pinSpec({ name: 'water', kind: 'counter', staleAfterMs: 10_000 }), 42],
  ] as const)(
    '%s keeps the written value when the hardware stops answering, and its age counts from then',
    async (_what, pin, value) => {
      const { clock, take, hardware, command } = await pinBench([pin], { timeout: '3600s' });
      await clock.advance(9000);
      await command(pin.name, value);
      hardware.faultOf = () => ({ kind: 'timeout' });
      await clock.advance(9000);
      expect(take()).toEqual([]);
      await clock.advance(11_000);
      expect(take()).toMatchObject([{ val: value, quality: 'uncertain' }]);
    },
  );

  it('keeps the written value although a reading from before the write comes after it', async () => {
    const { clock, take, command, runner } = await pinBench([{ ...lamp, staleAfterMs: 10_000 }]);
    runner.port.read = async () => {
      await sleep(clock, 2000);
      return [{ ok: true, value: false }];
    };
    await clock.advance(6000);
    await command('lamp', true);
    await clock.advance(1500);
    runner.port.read = () => new Promise(() => undefined);
    await clock.advance(20_000);
    expect(take()).toMatchObject([{ val: true, quality: 'uncertain' }]);
  });

  it('keeps the written value although the memory of the port has the one from before', async () => {
    const { clock, take, command, runner } = await pinBench([{ ...lamp, staleAfterMs: 10_000 }]);
    const sourceTime = clock.unix();
    runner.port.read = async () => [{ ok: true, value: false, sourceTime }];
    await command('lamp', true);
    await clock.advance(20_000);
    expect(take()).toMatchObject([{ val: true, quality: 'uncertain' }]);
  });

  it('a reading from the memory of the port confirms nothing', async () => {
    const { clock, take, hardware, runner } = await pinBench([door]);
    take();
    const at = clock.unix();
    runner.port.read = async (channels) =>
      channels.map(() => ({ ok: true, value: hardware.get('door'), sourceTime: at }));
    await clock.advance(20_000);
    expect(take()).toMatchObject([{ quality: 'uncertain' }]);
  });
});

describe('simulated values', () => {
  it('say so in every report', async () => {
    const { take } = await pinBench([{ ...door, simulated: true }, lamp]);
    expect(take().map(({ pin_name, simulated }) => [pin_name, simulated])).toEqual([
      ['door', true],
      ['lamp', undefined],
    ]);
  });
});

describe("a command's life", () => {
  const states = (seen: readonly Record<string, unknown>[]) =>
    seen.map(({ output }) => JSON.parse(JSON.stringify(output)).command?.state);

  it('is accepted while it is under way, with the desired beside the real value, then verified', async () => {
    const { command } = await pinBench([lamp], { latency: '500ms' });
    const { all } = await command('lamp', true, {}, 1000);
    expect(all).toMatchObject([
      { val: false, output: { desired: true, command: { state: 'accepted', val: true, node: 'here', actor: 'user' } } },
      { val: true, output: { desired: true, command: { state: 'verified' } }, reply_to: expect.any(String) },
    ]);
  });

  it('is failed when the hardware refuses, and the setpoint before it stays', async () => {
    const { command, hardware, take, user, clock } = await pinBench([lamp]);
    await command('lamp', true);
    hardware.fault('lamp', { kind: 'error', message: 'stuck' });
    await clock.advance(0);
    expect((await command('lamp', false)).answers).toMatchObject([{ code: 'DEVICE_REFUSED' }]);
    user.send({ UpdateIoMessage: { pin_name: 'lamp' } });
    await clock.advance(0);
    expect(take()).toMatchObject([{ output: { desired: true, command: { val: false, state: 'failed' } } }]);
  });

  it('is unknown when it was not confirmed, until a reading settles it', async () => {
    const { command, hardware, take, clock } = await pinBench([lamp], { timeout: '100ms' });
    hardware.fault('lamp', { kind: 'timeout' });
    const { all } = await command('lamp', true, {}, 200);
    expect(all.at(-1)).toMatchObject({ code: 'TIMEOUT' });
    // It has taken effect all the same.
    hardware.set('lamp', true);
    hardware.fault('lamp', undefined);
    await clock.advance(0);
    expect(states(take()).at(-1)).toBe('verified');
  });

  it('is expired when its ttl passed before its turn', async () => {
    const { user, clock, take } = await pinBench([lamp], { latency: '300ms' });
    await clock.advance(1000);
    take();
    user.send({ IoMessage: { pin_name: 'lamp', val: true } });
    user.send({ IoMessage: { pin_name: 'lamp', val: false, ttl: 0.1 } });
    await clock.advance(1000);
    user.send({ UpdateIoMessage: {} });
    await clock.advance(0);
    expect(take().at(-1)).toMatchObject({ val: true, output: { desired: true, command: { state: 'expired' } } });
  });

  it('is sent when the hardware took it and cannot be read back', async () => {
    const { command, runner } = await pinBench([lamp]);
    runner.port.write = async () => ({});
    expect(states((await command('lamp', true)).answers)).toEqual(['sent']);
  });
});

describe('an abandoned pin', () => {
  it('is bad with the reason, and refuses every command', async () => {
    const clock = new ManualClock();
    const bus = new Bus({ clock });
    const table = new PinTable(clock);
    table.add(lamp, { port: 'sim', key: 'lamp' });
    const user = new Actor('user');
    const seen: unknown[] = [];
    user.onAny(({ payload }) => void seen.push(payload));
    bus.join(user);
    const failed = new FailedPin(lamp, 'no way', table);
    bus.join(failed);
    failed.onStart();
    await expect(user.request({ IoMessage: { pin_name: 'lamp', val: true } })).rejects.toMatchObject({
      code: 'FAILED',
    });
    expect(seen[0]).toMatchObject({ IoMessage: { quality: 'bad', reason: 'FAILED: no way' } });
    expect(table.isGoodAndOn({ pin: 'lamp' })).toBe(false);
  });
});
