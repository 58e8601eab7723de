import { describe, expect, it } from 'vitest';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const water = pinSpec({ name: 'water', kind: 'counter', scale: 0.5 });

describe('a counter pin', () => {
  it('is set by a command with a number, in the unit of its reports, with one answer', async () => {
    const { command, hardware } = await pinBench([water]);
    const { answers, all } = await command('water', 21);
    expect(answers).toMatchObject([{ pin_name: 'water', val: 21, quality: 'good' }]);
    expect(all).toHaveLength(1);
    expect(hardware.get('water', 'counter')).toBe(42);
    expect((await command('water', 0)).answers).toMatchObject([{ val: 0 }]);
  });

  it.each([
    ['many', {}, 'BAD_VALUE'],
    [0.3, {}, 'BAD_VALUE'],
    [5, { pulse: 1 }, 'NOT_SUPPORTED'],
    [5, { hold: 1 }, 'NOT_SUPPORTED'],
  ])('refuses %j with %j', async (val, extra, code) => {
    const { command, hardware } = await pinBench([water]);
    expect((await command('water', val, extra)).answers).toMatchObject([{ subject: 'IoErrorMessage', code }]);
    expect(hardware.get('water', 'counter')).toBe(0);
  });

  it('leaves other inputs read-only', async () => {
    const { command } = await pinBench([pinSpec({ name: 'temp', kind: 'analog' })]);
    expect((await command('temp', 1)).answers).toMatchObject([{ code: 'READ_ONLY' }]);
  });
});
