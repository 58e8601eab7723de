import { describe, expect, it } from 'vitest';
import type { Rules } from '../../src/pin/pin.ts';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const guard = pinSpec({ name: 'guard', kind: 'text', words: ['open', 'closed'] });
const saw = (rules: Rules) => pinSpec({ name: 'saw', direction: 'out', initial: false, safe: false, rules });
const mode = (rules: Rules, name = 'mode') =>
  pinSpec({
    name,
    kind: 'text',
    direction: 'out',
    initial: 'stop',
    words: ['stop', 'idle', 'run'],
    on: ['run'],
    off: 'stop',
    rules,
  });

describe('a rule that names values', () => {
  it('requires: the output is on only while the pin has one of them and is good', async () => {
    const { command, hardware, clock } = await pinBench([guard, saw({ requires: [{ pin: 'guard', is: ['closed'] }] })]);
    hardware.set('guard', 'open');
    await clock.advance(0);
    expect((await command('saw', true)).answers).toMatchObject([
      { code: 'RULE', rule: 'requires', message: 'saw: requires: guard is not closed' },
    ]);
    hardware.set('guard', 'closed');
    await clock.advance(0);
    expect((await command('saw', true)).answers).toMatchObject([{ val: true }]);
    hardware.set('guard', 'open');
    await clock.advance(0);
    expect(hardware.get('saw')).toBe(false);
    hardware.fault('guard', { kind: 'error', message: 'broken' });
    hardware.set('guard', 'closed');
    expect((await command('saw', true)).answers).toMatchObject([{ rule: 'requires' }]);
  });

  it('requires with off: the output is on only while the other is off', async () => {
    const door = pinSpec({ name: 'door' });
    const { command, hardware, clock } = await pinBench([door, saw({ requires: [{ pin: 'door', is: [false] }] })]);
    expect((await command('saw', true)).answers).toMatchObject([{ val: true }]);
    hardware.set('door', true);
    await clock.advance(0);
    expect(hardware.get('saw')).toBe(false);
    expect((await command('saw', true)).answers).toMatchObject([{ message: 'saw: requires: door is not off' }]);
  });

  it('follow: the output is on while the pin has one of them, inverted off', async () => {
    for (const invert of [false, true]) {
      const follow = { pin: 'guard', is: ['closed'], invert, delayMs: 0 };
      const { hardware, clock } = await pinBench([guard, saw({ follow })]);
      for (const word of ['closed', 'open', 'closed']) {
        hardware.set('guard', word);
        await clock.advance(0);
        expect(hardware.get('saw')).toBe((word === 'closed') !== invert);
      }
    }
  });
});

describe('an output of text', () => {
  it('is interlocked by the values that are on, in both directions', async () => {
    const interlock = (pin: string) => ({ interlock: { pins: [pin], deadMs: 0 } });
    const { command } = await pinBench([mode(interlock('saw')), saw(interlock('mode'))]);
    expect((await command('mode', 'idle')).answers).toMatchObject([{ val: 'idle' }]);
    expect((await command('saw', true)).answers).toMatchObject([{ val: true }]);
    expect((await command('mode', 'run')).answers).toMatchObject([{ code: 'RULE', rule: 'interlock' }]);
    await command('saw', false);
    expect((await command('mode', 'run')).answers).toMatchObject([{ val: 'run' }]);
    expect((await command('saw', true)).answers).toMatchObject([{ code: 'RULE', rule: 'interlock' }]);
  });

  it('max_on writes the value for off', async () => {
    const { command, hardware, clock } = await pinBench([mode({ maxOnMs: 3000 })]);
    await command('mode', 'idle');
    await clock.advance(10_000);
    expect(hardware.get('mode')).toBe('idle');
    await command('mode', 'run');
    await clock.advance(3000);
    expect(hardware.get('mode')).toBe('stop');
  });

  it('requires writes the value for off, and values that are not on need nothing', async () => {
    const { command, hardware, clock } = await pinBench([
      guard,
      mode({ requires: [{ pin: 'guard', is: ['closed'] }] }),
    ]);
    hardware.set('guard', 'closed');
    await clock.advance(0);
    await command('mode', 'run');
    hardware.set('guard', 'open');
    await clock.advance(0);
    expect(hardware.get('mode')).toBe('stop');
    expect((await command('mode', 'idle')).answers).toMatchObject([{ val: 'idle' }]);
    expect((await command('mode', 'run')).answers).toMatchObject([{ rule: 'requires' }]);
  });

  it('min_on and min_off count from one side to the other, not from value to value', async () => {
    const { command, clock } = await pinBench([mode({ minOnMs: 1000, minOffMs: 1000 })]);
    await command('mode', 'idle');
    await clock.advance(1000);
    expect((await command('mode', 'run')).answers).toMatchObject([{ val: 'run' }]);
    expect((await command('mode', 'stop')).answers).toMatchObject([{ rule: 'min_on' }]);
    await clock.advance(1000);
    expect((await command('mode', 'idle')).answers).toMatchObject([{ val: 'idle' }]);
    expect((await command('mode', 'stop')).answers).toMatchObject([{ val: 'stop' }]);
    expect((await command('mode', 'run')).answers).toMatchObject([{ rule: 'min_off' }]);
  });

  it('refuses a value that it does not have, and lists those that it has', async () => {
    const { command, hardware } = await pinBench([mode({})]);
    expect((await command('mode', 'fast')).answers).toMatchObject([
      { code: 'BAD_VALUE', message: 'mode is text and cannot be "fast"; it takes one of stop, idle, run' },
    ]);
    expect(hardware.writes.map(({ value }) => value)).toEqual(['stop']);
  });
});
