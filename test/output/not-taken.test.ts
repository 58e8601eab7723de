import { describe, expect, it } from 'vitest';
import type { RawValue } from '../../src/pin/pin.ts';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const lamp = pinSpec({ name: 'lamp', direction: 'out', initial: false, safe: false });
const speed = pinSpec({ name: 'speed', kind: 'analog', direction: 'out', safe: 0 });
const follow = { pin: 'door', invert: false, delayMs: 0 };
const door = pinSpec({ name: 'door' });

/** Hardware that accepts every write and then has the value that `has` returns. */
async function stubborn(specs: Parameters<typeof pinBench>[0], has: (value: RawValue) => RawValue) {
  const bench = await pinBench(specs);
  const writes: RawValue[] = [];
  bench.runner.port.write = async (_channel, value) => {
    writes.push(value);
    return { readBack: has(value) };
  };
  return { ...bench, writes };
}

describe('a command that the hardware accepted and does not have', () => {
  it('is answered with one error, and the report before it says what the hardware has', async () => {
    const { command } = await stubborn([speed], () => 5);
    const { answers, all } = await command('speed', 7);
    expect(answers).toMatchObject([
      { subject: 'IoErrorMessage', code: 'NOT_TAKEN', message: 'speed: the hardware accepted 7, but it has 5 now' },
    ]);
    const reports = all.filter(({ subject, last_change: at }) => subject === 'IoMessage' && at !== undefined);
    expect(reports).toMatchObject([{ val: 5, quality: 'good', output: { command: { val: 7, state: 'failed' } } }]);
    expect(reports[0]?.['reply_to']).toBeUndefined();
  });

  it('as an override is in force all the same, and the answer says that it did not work', async () => {
    const { command, life } = await stubborn([lamp], () => false);
    expect((await command('lamp', true, { override: 60 })).answers).toMatchObject([
      {
        code: 'NOT_TAKEN',
        message: 'lamp: the hardware accepted on, but it has off now; the override is in force',
      },
    ]);
    expect(life.table.get('lamp')?.output?.override).toMatchObject({ value: true });
  });

  it('ends its pulse: the hardware may have the value although it showed another', async () => {
    const { command, clock, hardware, writes } = await stubborn([lamp], (value) => !value);
    await command('lamp', true, { pulse: 2 });
    hardware.set('lamp', true);
    await clock.advance(2000);
    expect(writes[1]).toBe(false);
  });
});

describe('a value that the agent itself writes and the hardware does not take', () => {
  it('is written again while it is the safe value or a rule demands it, and told once', async () => {
    const { command, clock, writes, runner, take } = await stubborn([speed], (value) => value);
    await command('speed', 30, { hold: 1 });
    runner.port.write = async (_channel, value) => {
      writes.push(value);
      return { readBack: 30 };
    };
    take();
    await clock.advance(2000);
    expect(writes.length).toBeGreaterThan(3);
    const told = take();
    expect(told.filter(({ subject }) => subject === 'IoErrorMessage')).toMatchObject([
      { code: 'NOT_TAKEN', message: 'speed: the hardware accepted 0, but it has 30 now' },
    ]);
    runner.port.write = async (_channel, value) => ({ readBack: value });
    await clock.advance(250);
    expect(take().at(-1)).toMatchObject({ val: 0, output: { by: 'safe' } });
  });

  it('is written again when a switch does not follow, not when a limit keeps a number back', async () => {
    const switched = await stubborn([door, { ...lamp, rules: { follow } }], () => false);
    switched.hardware.set('door', true);
    await switched.clock.advance(1000);
    expect(switched.writes.length).toBeGreaterThan(2);
    const level = pinSpec({ name: 'door', kind: 'analog' });
    const limited = await stubborn([level, { ...speed, rules: { follow } }], () => 50);
    limited.hardware.set('door', 80);
    await limited.clock.advance(1000);
    expect(limited.writes).toEqual([80]);
  });
});

describe('a command that something overrules during its write', () => {
  const rules = { requires: [{ pin: 'door' }] };

  it.each([
    ['a rule', { code: 'RULE', rule: 'requires' }],
    ['the loss of its controller', { code: 'SAFE_STATE' }],
  ] as const)('%s: the answer is the refusal, not a confirmation', async (what, refusal) => {
    const byRule = what === 'a rule';
    const spec = byRule ? { ...lamp, rules } : { ...lamp, controller: 'hall' };
    const { command, hardware, clock, life, take } = await pinBench([door, spec], { latency: '300ms' });
    life.nodes.onNodeMessage({ event: 'birth', node: 'h', name: 'hall' });
    hardware.set('door', true);
    await clock.advance(1000);
    const { msg_id } = await command('lamp', true, {}, 100);
    if (byRule) hardware.set('door', false);
    else life.nodes.onNodeMessage({ event: 'leave', node: 'h', name: 'hall' });
    await clock.advance(1000);
    expect(take().filter(({ reply_to }) => reply_to === msg_id)).toMatchObject([refusal]);
    expect(hardware.get('lamp')).toBe(false);
  });
});
