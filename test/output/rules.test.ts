import { describe, expect, it } from 'vitest';
import type { Rules } from '../../src/pin/pin.ts';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const door = pinSpec({ name: 'door' });
const guard = pinSpec({ name: 'guard' });
const output = (rules: Rules, extra: Partial<ReturnType<typeof pinSpec>> = {}) =>
  pinSpec({ name: 'pump', direction: 'out', initial: false, safe: false, rules, ...extra });
const levels = (writes: readonly { key: string; value: unknown }[], key = 'pump') =>
  writes.filter((one) => one.key === key).map(({ value }) => value);

describe('follow', () => {
  const follow = { pin: 'door', invert: false, delayMs: 0 };

  it('acts in the same turn of the event loop in which the pin changes, without any timer', async () => {
    const { hardware } = await pinBench([door, output({ follow })]);
    hardware.set('door', true);
    // Microtasks only: no timer, no I/O.
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    expect(hardware.get('pump')).toBe(true);
  });

  it('with invert is true where the other is false', async () => {
    const { hardware, clock } = await pinBench([door, output({ follow: { ...follow, invert: true } })]);
    expect(hardware.get('pump')).toBe(true);
    hardware.set('door', true);
    await clock.advance(0);
    expect(hardware.get('pump')).toBe(false);
  });

  it('with a delay takes over what has stood for that long, and nothing that has not', async () => {
    const { hardware, clock } = await pinBench([door, output({ follow: { ...follow, delayMs: 2000 } })]);
    hardware.set('door', true);
    await clock.advance(1999);
    expect(hardware.get('pump')).toBe(false);
    await clock.advance(1);
    expect(hardware.get('pump')).toBe(true);
    hardware.set('door', false);
    await clock.advance(1000);
    hardware.set('door', true);
    await clock.advance(5000);
    expect(levels(hardware.writes)).toEqual([false, true]);
  });

  it.each([
    ['safe', false],
    ['hold', true],
  ] as const)('a source that is bad: on_loss: %s', async (onLoss, level) => {
    const { hardware, clock, take } = await pinBench([door, output({ follow }, { onLoss })]);
    hardware.set('door', true);
    await clock.advance(0);
    take();
    hardware.fault('door', { kind: 'error', message: 'broken' });
    await clock.advance(0);
    expect(hardware.get('pump')).toBe(level);
    if (!level) expect(take()).toMatchObject([{}, { pin_name: 'pump', output: { by: 'safe', why: 'door is bad' } }]);
    hardware.fault('door', undefined);
    await clock.advance(0);
    expect(hardware.get('pump')).toBe(true);
  });

  it('goes on while the controller is gone: it needs nobody', async () => {
    const { hardware, clock, life } = await pinBench([door, output({ follow }, { controller: 'hall' })]);
    life.nodes.onNodeMessage({ event: 'birth', node: 'h', name: 'hall' });
    hardware.set('door', true);
    await clock.advance(0);
    life.nodes.onNodeMessage({ event: 'leave', node: 'h', name: 'hall' });
    await clock.advance(0);
    expect(hardware.get('pump')).toBe(true);
    hardware.set('door', false);
    await clock.advance(0);
    expect(hardware.get('pump')).toBe(false);
  });
});

describe('requires', () => {
  const rules = { requires: [{ pin: 'guard' }] };

  it('refuses on while the pin is off or bad, and names the rule', async () => {
    const { command, hardware } = await pinBench([guard, output(rules)]);
    const refusal = { code: 'RULE', rule: 'requires', message: 'pump: requires: guard is not on' };
    expect((await command('pump', true)).answers).toMatchObject([refusal]);
    hardware.set('guard', true);
    hardware.fault('guard', { kind: 'error', message: 'broken' });
    expect((await command('pump', true)).answers).toMatchObject([
      { ...refusal, message: 'pump: requires: guard is bad' },
    ]);
    hardware.fault('guard', undefined);
    expect((await command('pump', true)).answers).toMatchObject([{ val: true }]);
    expect(levels(hardware.writes)).toEqual([false, true]);
  });

  it('turns off in the same turn when the pin goes off, and an earlier command does not come back', async () => {
    const { command, hardware, clock, take } = await pinBench([guard, output(rules)]);
    hardware.set('guard', true);
    await clock.advance(0);
    await command('pump', true);
    hardware.set('guard', false);
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    expect(hardware.get('pump')).toBe(false);
    expect(take().at(-1)).toMatchObject({ val: false, output: { by: 'rule', why: 'requires: guard is not on' } });
    hardware.set('guard', true);
    await clock.advance(60_000);
    expect(hardware.get('pump')).toBe(false);
  });

  it('what follows a pin comes back with the required one, unless it has to be rearmed', async () => {
    for (const rearm of ['auto', 'manual'] as const) {
      const follow = { pin: 'door', invert: false, delayMs: 0 };
      const { hardware, clock, user } = await pinBench([door, guard, output({ ...rules, follow }, { rearm })]);
      hardware.set('guard', true);
      hardware.set('door', true);
      await clock.advance(0);
      hardware.set('guard', false);
      await clock.advance(0);
      hardware.set('guard', true);
      await clock.advance(0);
      expect(hardware.get('pump')).toBe(rearm === 'auto');
      user.send({ IoMessage: { pin_name: 'pump', rearm: true } });
      await clock.advance(0);
      expect(hardware.get('pump')).toBe(true);
    }
  });

  it('is enforced against hardware that goes on by itself', async () => {
    const { hardware, clock } = await pinBench([guard, output(rules)]);
    hardware.set('pump', true);
    await clock.advance(0);
    expect(hardware.get('pump')).toBe(false);
  });

  it('is enforced although the hardware refuses at first, and the bus is not flooded with that', async () => {
    const { command, hardware, clock, take } = await pinBench([guard, output(rules)]);
    hardware.set('guard', true);
    await clock.advance(0);
    await command('pump', true);
    hardware.fault('pump', { kind: 'error', message: 'stuck' });
    hardware.set('guard', false);
    await clock.advance(10_000);
    expect(take().filter(({ subject }) => subject === 'IoErrorMessage')).toHaveLength(1);
    hardware.fault('pump', undefined);
    await clock.advance(250);
    expect(hardware.get('pump')).toBe(false);
  });
});

describe('interlock', () => {
  const pair = (deadMs: number, more: Rules = {}) => [
    output({ ...more, interlock: { pins: ['other'], deadMs } }),
    pinSpec({
      name: 'other',
      direction: 'out',
      initial: false,
      safe: false,
      rules: { interlock: { pins: ['pump'], deadMs } },
    }),
  ];

  it('two commands in one turn never switch both on, although the hardware takes its time', async () => {
    const { user, hardware, clock, take } = await pinBench(pair(0), { latency: '300ms' });
    await clock.advance(1000);
    take();
    for (const pin_name of ['pump', 'other']) user.send({ IoMessage: { pin_name, val: true } });
    await clock.advance(1000);
    expect([hardware.get('pump'), hardware.get('other')]).toEqual([true, false]);
    expect(take()).toContainEqual(expect.objectContaining({ pin_name: 'other', code: 'RULE', rule: 'interlock' }));
  });

  it('the dead time has to pass after the other went off', async () => {
    const { command, clock } = await pinBench(pair(500));
    await clock.advance(500);
    expect((await command('pump', true)).answers).toMatchObject([{ val: true }]);
    await command('pump', false);
    await clock.advance(499);
    expect((await command('other', true)).answers).toMatchObject([{ rule: 'interlock' }]);
    await clock.advance(1);
    expect((await command('other', true)).answers).toMatchObject([{ val: true }]);
  });

  it('an output that may be on, because nobody confirmed that it is off, counts as on', async () => {
    const { command, hardware, clock } = await pinBench(pair(0), { timeout: '100ms' });
    await command('other', true);
    hardware.fault('other', { kind: 'timeout' });
    expect((await command('other', false, {}, 200)).answers).toMatchObject([{ code: 'TIMEOUT' }]);
    expect((await command('pump', true)).answers).toMatchObject([{ rule: 'interlock' }]);
    hardware.fault('other', undefined);
    hardware.set('other', false);
    await clock.advance(0);
    expect((await command('pump', true)).answers).toMatchObject([{ val: true }]);
  });

  it('what follows a pin waits for the other to be off, and for the dead time', async () => {
    const follow = { pin: 'door', invert: false, delayMs: 0 };
    const { command, hardware, clock } = await pinBench([door, ...pair(500, { follow })]);
    await clock.advance(500);
    await command('other', true);
    hardware.set('door', true);
    await clock.advance(1000);
    expect(hardware.get('pump')).toBe(false);
    await command('other', false);
    await clock.advance(499);
    expect(hardware.get('pump')).toBe(false);
    await clock.advance(1);
    expect(hardware.get('pump')).toBe(true);
  });

  it('both seen on, by whatever hand, are not left so', async () => {
    const { command, hardware, clock } = await pinBench(pair(0));
    await command('pump', true);
    hardware.set('other', true);
    await clock.advance(0);
    expect(hardware.get('pump') === true && hardware.get('other') === true).toBe(false);
    expect(hardware.writes.some(({ value }, at) => at > 2 && value === false)).toBe(true);
  });
});

describe('times', () => {
  it('max_on turns off after its time, counted from when it went on, however often on is sent again', async () => {
    const { command, hardware, clock, take } = await pinBench([output({ maxOnMs: 3000 })]);
    await command('pump', true);
    await clock.advance(2000);
    await command('pump', true);
    await clock.advance(999);
    expect(hardware.get('pump')).toBe(true);
    await clock.advance(1);
    expect(hardware.get('pump')).toBe(false);
    expect(take()).toMatchObject([{ val: false, output: { by: 'rule', why: 'max_on: it has been on for 3000 ms' } }]);
    expect((await command('pump', true)).answers).toMatchObject([{ val: true }]);
  });

  it('min_on and min_off refuse a change that comes too soon; the safe value does not wait', async () => {
    const { command, hardware, clock } = await pinBench([output({ minOnMs: 1000, minOffMs: 2000 })]);
    expect((await command('pump', true)).answers).toMatchObject([{ rule: 'min_off' }]);
    await clock.advance(2000);
    expect((await command('pump', true)).answers).toMatchObject([{ val: true }]);
    await clock.advance(999);
    expect((await command('pump', false)).answers).toMatchObject([{ rule: 'min_on' }]);
    expect((await command('pump', true, { hold: 0.001 })).answers).toMatchObject([{ val: true }]);
    await clock.advance(1);
    expect(hardware.get('pump')).toBe(false);
    expect((await command('pump', true, { pulse: 0.5 })).answers).toMatchObject([{ rule: 'min_on' }]);
  });

  it('min_off delays what follows a pin', async () => {
    const follow = { pin: 'door', invert: false, delayMs: 0 };
    const { hardware, clock } = await pinBench([door, output({ follow, minOffMs: 2000 })]);
    hardware.set('door', true);
    await clock.advance(1999);
    expect(hardware.get('pump')).toBe(false);
    await clock.advance(1);
    expect(hardware.get('pump')).toBe(true);
  });

  it('rate refuses the change that would be one too many, until the time has passed', async () => {
    const { command, clock, hardware } = await pinBench([output({ rate: { changes: 2, perMs: 1000 } })]);
    await command('pump', true);
    await clock.advance(300);
    await command('pump', false);
    expect((await command('pump', true)).answers).toMatchObject([{ rule: 'rate' }]);
    expect((await command('pump', false)).answers).toMatchObject([{ val: false }]);
    await clock.advance(700);
    expect((await command('pump', true)).answers).toMatchObject([{ val: true }]);
    expect(levels(hardware.writes)).toEqual([false, true, false, false, true]);
  });

  it('range is named by its refusal too', async () => {
    const speed = pinSpec({ name: 'speed', kind: 'analog', direction: 'out', range: [0, 50], safe: 0 });
    const { command } = await pinBench([speed]);
    expect((await command('speed', 51)).answers).toMatchObject([{ code: 'OUT_OF_RANGE', rule: 'range' }]);
  });
});
