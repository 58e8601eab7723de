import { describe, expect, it } from 'vitest';
import type { RawValue } from '../../src/pin/pin.ts';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const gate = pinSpec({ name: 'gate', direction: 'out', momentary: true, safe: false, onLoss: 'rewrite' });
const mode = pinSpec({ name: 'mode', kind: 'text', direction: 'out', momentary: true });

/** Hardware that forgets each order at once. */
async function forgetful(spec: typeof gate, idle: RawValue) {
  const bench = await pinBench([spec]);
  const writes: RawValue[] = [];
  bench.runner.port.write = async (_channel, value) => {
    writes.push(value);
    return { readBack: idle };
  };
  return { ...bench, writes };
}

describe('an order that the hardware forgets once it has carried it out', () => {
  it('has not failed when the hardware shows no order any more, and is in force no longer', async () => {
    const { command, writes, clock } = await forgetful(gate, false);
    const { answers } = await command('gate', true);
    expect(answers).toMatchObject([
      {
        subject: 'IoMessage',
        val: false,
        quality: 'good',
        output: { by: 'command', command: { val: true, state: 'sent' } },
      },
    ]);
    expect(answers[0]?.['output']).not.toHaveProperty('desired');
    await clock.advance(10_000);
    expect(writes).toEqual([true]);
    await command('gate', true);
    expect(writes).toEqual([true, true]);
  });

  it('is not given again when the port comes back, also with on_loss: rewrite', async () => {
    const { command, hardware, clock } = await pinBench([gate]);
    await command('gate', true);
    hardware.set('gate', false);
    hardware.unplug('gone');
    await clock.advance(5000);
    hardware.plug();
    await clock.advance(5000);
    expect(hardware.get('gate')).toBe(false);
  });

  it('as text is the last word the hardware was given, and shows what it has', async () => {
    const { command, writes } = await forgetful(mode, 'idle');
    const { answers } = await command('mode', 'start');
    expect(answers).toMatchObject([{ val: 'idle', output: { command: { val: 'start', state: 'sent' } } }]);
    expect(writes).toEqual(['start']);
  });
});
