import { describe, expect, it } from 'vitest';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const lamp = pinSpec({ name: 'lamp', direction: 'out', initial: false, safe: false });
const pump = { ...lamp, name: 'pump' };
const timeout = { timeout: '100ms' };

describe('an unconfirmed output', () => {
  it('does not get its unconfirmed command again when the port returns with on_loss: rewrite', async () => {
    const { command, hardware, clock } = await pinBench([{ ...lamp, onLoss: 'rewrite' }], timeout);
    hardware.fault('lamp', { kind: 'timeout' });
    expect((await command('lamp', true, {}, 200)).answers).toMatchObject([{ code: 'TIMEOUT' }]);
    hardware.fault('lamp', undefined);
    const before = hardware.writes.length;
    hardware.unplug();
    hardware.plug();
    await clock.advance(5000);
    expect(hardware.writes.slice(before).map(({ value }) => value)).not.toContain(true);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('counts as on for max_on: it goes off in time', async () => {
    const { command, hardware, clock } = await pinBench([{ ...lamp, rules: { maxOnMs: 5000 } }], timeout);
    hardware.faultOf = () => ({ kind: 'timeout' });
    await command('lamp', true, {}, 200);
    hardware.faultOf = () => undefined;
    const before = hardware.writes.length;
    await clock.advance(4000);
    expect(hardware.writes.slice(before)).toEqual([]);
    await clock.advance(1500);
    expect(hardware.writes.slice(before)).toMatchObject([{ key: 'lamp', value: false }]);
  });

  it('that may be on keeps its interlock partner off', async () => {
    const bench = await pinBench([{ ...lamp, rules: { interlock: { pins: ['pump'], deadMs: 0 } } }, pump], timeout);
    await bench.command('pump', true);
    bench.hardware.fault('pump', { kind: 'timeout' });
    await bench.command('pump', false, {}, 200);
    expect((await bench.command('lamp', true)).answers).toMatchObject([{ code: 'RULE', rule: 'interlock' }]);
  });

  it('that was never known keeps its interlock partner off too', async () => {
    const bench = await pinBench([{ ...lamp, rules: { interlock: { pins: ['pump'], deadMs: 0 } } }, pump], timeout);
    bench.hardware.fault('pump', { kind: 'timeout' });
    await bench.command('pump', false, {}, 200);
    expect((await bench.command('lamp', true)).answers).toMatchObject([
      { code: 'RULE', rule: 'interlock', message: expect.stringContaining('pump is not known to be off') },
    ]);
  });
});

describe('a lost port', () => {
  it('does not cancel the end of a pulse, also with on_loss: hold', async () => {
    const { command, hardware, clock } = await pinBench([{ ...lamp, onLoss: 'hold' }]);
    await command('lamp', true, { pulse: 10 });
    hardware.unplug();
    hardware.plug();
    await clock.advance(5000);
    expect(hardware.get('lamp')).toBe(true);
    await clock.advance(5000);
    expect(hardware.get('lamp')).toBe(false);
  });
});

describe('a rule', () => {
  it('is enforced each time that the hardware goes on by itself', async () => {
    const { command, hardware, clock } = await pinBench([
      pinSpec({ name: 'guard' }),
      { ...pump, rules: { requires: [{ pin: 'guard' }] } },
    ]);
    hardware.set('guard', true);
    await clock.advance(0);
    expect((await command('pump', true)).answers).toMatchObject([{ val: true }]);
    hardware.set('guard', false);
    await clock.advance(0);
    expect(hardware.get('pump')).toBe(false);
    for (let time = 0; time < 3; time++) {
      hardware.set('pump', true);
      await clock.advance(300);
      expect(hardware.get('pump')).toBe(false);
    }
  });

  it('that requires a pin blocks while that pin is uncertain', async () => {
    const door = pinSpec({ name: 'door', staleAfterMs: 10_000 });
    const bench = await pinBench([door, { ...pump, rules: { requires: [{ pin: 'door' }] } }], { timeout: '3600s' });
    bench.hardware.set('door', true);
    await bench.clock.advance(0);
    expect((await bench.command('pump', true)).answers).toMatchObject([{ val: true }]);
    // Only whoever asks for the door waits for ever.
    bench.hardware.faultOf = (key) => (key === 'door' ? { kind: 'timeout' } : undefined);
    await bench.clock.advance(40_000);
    expect(bench.life.table.get('door')?.lastKnown.quality).toBe('uncertain');
    expect(bench.hardware.get('pump')).toBe(false);
  });

  it('max_on refuses a pulse that would be longer', async () => {
    const { command, hardware } = await pinBench([{ ...lamp, rules: { maxOnMs: 5000 } }]);
    expect((await command('lamp', true, { pulse: 6 })).answers).toMatchObject([{ code: 'RULE', rule: 'max_on' }]);
    expect(hardware.get('lamp')).toBe(false);
  });
});

describe('the time to live', () => {
  it('of a command goes with it to the port, which may have a queue of its own', async () => {
    const { command, runner, clock } = await pinBench([lamp]);
    const given: unknown[] = [];
    runner.port.write = async (_channel, _value, options) => {
      given.push(options);
      return {};
    };
    const now = clock.now();
    await command('lamp', true, { ttl: 2 });
    await command('lamp', true);
    expect(given).toEqual([{ expiresAt: now + 2000 }, undefined]);
  });

  it('of an override counts as that of a command', async () => {
    const { user, clock, take, hardware } = await pinBench([lamp], { latency: '300ms' });
    await clock.advance(1000);
    user.send({ IoMessage: { pin_name: 'lamp', val: false } });
    const { msg_id } = user.send({ IoMessage: { pin_name: 'lamp', val: true, override: 60, ttl: 0.1 } });
    await clock.advance(1000);
    expect(take().filter(({ reply_to }) => reply_to === msg_id)).toMatchObject([{ code: 'EXPIRED' }]);
    expect(hardware.get('lamp')).toBe(false);
  });
});

describe('the safe value', () => {
  it('that the hardware refuses is retried without an event', async () => {
    const { command, clock, hardware } = await pinBench([lamp]);
    await command('lamp', true, { hold: 1 });
    hardware.faultOf = () => ({ kind: 'error', message: 'stuck' });
    await clock.advance(1100);
    hardware.faultOf = () => undefined;
    expect(hardware.get('lamp')).toBe(true);
    await clock.advance(250);
    expect(hardware.get('lamp')).toBe(false);
  });
});
