import { describe, expect, it } from 'vitest';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const lamp = pinSpec({ name: 'lamp', direction: 'out', initial: false, safe: false });
const guard = pinSpec({ name: 'guard' });
const guarded = { ...lamp, rules: { requires: [{ pin: 'guard' }] } };

describe('max_on', () => {
  it('turns off an output that something else switched on, although it was commanded off', async () => {
    const { command, hardware, clock } = await pinBench([{ ...lamp, rules: { maxOnMs: 5000 } }]);
    await command('lamp', false);
    hardware.set('lamp', true);
    await clock.advance(4900);
    expect(hardware.get('lamp')).toBe(true);
    await clock.advance(200);
    expect(hardware.get('lamp')).toBe(false);
  });
});

describe('requires', () => {
  it('turns off the output although the pin is on again in the same turn', async () => {
    const { command, hardware, clock } = await pinBench([guard, guarded]);
    hardware.set('guard', true);
    await clock.advance(0);
    await command('lamp', true);
    // As the edges of a short press come when they were read together.
    hardware.set('guard', false);
    hardware.set('guard', true);
    await clock.advance(1000);
    expect(hardware.get('lamp')).toBe(false);
  });

  it.each([
    ['a command', {}],
    ['an override', { override: 60 }],
  ])(
    'that was not kept for a moment while %s was on its way to the hardware: it is not the last word',
    async (_, extra) => {
      const { command, hardware, clock } = await pinBench([guard, guarded], { latency: '300ms' });
      await clock.advance(1000);
      hardware.set('guard', true);
      await clock.advance(1000);
      await command('lamp', true, extra, 100);
      hardware.set('guard', false);
      hardware.set('guard', true);
      await clock.advance(2000);
      expect(hardware.get('lamp')).toBe('override' in extra);
    },
  );
});
