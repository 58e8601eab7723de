import { describe, expect, it } from 'vitest';
import { defaultPolicy } from '../../src/bus/supervisor.ts';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const lamp = pinSpec({ name: 'lamp', direction: 'out', initial: false, safe: false });

type Bench = Awaited<ReturnType<typeof pinBench>>;

/** The pin's own code has a defect, until its supervisor has ended it; `clock` has not moved. */
async function failing(bench: Bench, pin: string): Promise<void> {
  const output = bench.life.table.get(pin)?.output;
  if (!output) throw new Error('no output');
  const take = output.apply.bind(output);
  output.apply = (event) => {
    if (event.kind === 'evaluate') throw new Error('a defect');
    take(event);
  };
  for (let time = 0; time < defaultPolicy.errors; time++) {
    bench.hardware.set(pin, bench.hardware.get(pin) !== true);
    await bench.clock.advance(0);
  }
  output.apply = take;
}

describe('an output whose actor was restarted', () => {
  it('has its override again, which ends at its time', async () => {
    const bench = await pinBench([lamp]);
    await bench.command('lamp', true, { override: 60 });
    await failing(bench, 'lamp');
    expect(bench.hardware.get('lamp')).toBe(false);
    await bench.clock.advance(1000);
    expect(bench.hardware.get('lamp')).toBe(true);
    await bench.clock.advance(60_000);
    expect(bench.hardware.get('lamp')).toBe(false);
  });

  it('takes commands when its controller came back meanwhile', async () => {
    const bench = await pinBench([{ ...lamp, controller: 'hall' }]);
    const { life, command, clock } = bench;
    life.nodes.onNodeMessage({ event: 'birth', node: 'h1', name: 'hall' });
    life.nodes.onNodeMessage({ event: 'leave', node: 'h1', name: 'hall' });
    await clock.advance(0);
    await failing(bench, 'lamp');
    life.nodes.onNodeMessage({ event: 'birth', node: 'h2', name: 'hall' });
    await clock.advance(1000);
    expect((await command('lamp', true)).answers).toMatchObject([{ val: true }]);
  });

  it('counts as on for its interlock partner while its actor is down', async () => {
    const bench = await pinBench([
      lamp,
      { ...lamp, name: 'pump', rules: { interlock: { pins: ['lamp'], deadMs: 0 } } },
    ]);
    const { command, clock } = bench;
    await failing(bench, 'lamp');
    expect((await command('pump', true)).answers).toMatchObject([{ code: 'RULE', rule: 'interlock' }]);
    await clock.advance(1000);
    expect((await command('pump', true)).answers).toMatchObject([{ val: true }]);
  });
});

describe('an output with on_exit: hold', () => {
  it('still gets the value that the hardware refused so far: the safe value at the end of a lease', async () => {
    const { command, hardware, clock, supervisor } = await pinBench([{ ...lamp, onExit: 'hold' }]);
    await command('lamp', true, { hold: 1 });
    hardware.fault('lamp', { kind: 'error', message: 'stuck' });
    await clock.advance(1100);
    hardware.fault('lamp', undefined);
    await supervisor.stop();
    expect(hardware.get('lamp')).toBe(false);
  });

  it('is turned off when its required pin goes off during the stop', async () => {
    const spec = { ...lamp, onExit: 'hold' as const, rules: { requires: [{ pin: 'guard' }] } };
    const { command, hardware, clock, supervisor } = await pinBench([pinSpec({ name: 'guard' }), spec]);
    hardware.set('guard', true);
    await clock.advance(0);
    await command('lamp', true);
    hardware.set('guard', false);
    await supervisor.stop();
    expect(hardware.get('lamp')).toBe(false);
  });

  it('keeps its value when nothing is due', async () => {
    const { command, hardware, supervisor } = await pinBench([{ ...lamp, onExit: 'hold' }]);
    await command('lamp', true);
    const before = hardware.writes.length;
    await supervisor.stop();
    expect(hardware.writes.length).toBe(before);
  });
});
