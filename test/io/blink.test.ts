import { describe, expect, it } from 'vitest';
import { LateClock } from '../support/late-clock.ts';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const lamp = pinSpec({ name: 'lamp', direction: 'out', invert: true, initial: false, safe: false });
const levels = (writes: readonly { value: unknown }[]) => writes.map(({ value }) => value);

describe('a blinking output', () => {
  it('is on and off for the seconds given, reports each change, and has one answer', async () => {
    const { command, clock, hardware, take } = await pinBench([lamp]);
    const { answers } = await command('lamp', true, { blink: [0.2, 0.8] });
    expect(answers).toMatchObject([{ val: true }]);
    const from = clock.now();
    await clock.advance(2100);
    expect(take().map(({ val }) => val)).toEqual([false, true, false, true]);
    const at = hardware.writes.slice(-4).map(({ at }) => Math.round(at - from));
    expect(at).toEqual([200, 1000, 1200, 2000]);
  });

  it('is not slower for every change being late', async () => {
    const clock = new LateClock();
    const { command, hardware } = await pinBench([lamp], {}, undefined, clock);
    await command('lamp', true, { blink: [0.2, 0.8] });
    const from = clock.now();
    clock.lateMs = 30;
    await clock.advance(20_000);
    const late = hardware.writes.flatMap(({ at }) => (at > from ? [(at - from) % 1000] : []));
    // Twenty times on at 0 and off at 200, each by the timer and the turn after it.
    expect(late.length).toBeGreaterThan(38);
    for (const [change, at] of late.entries()) expect(at - (change % 2 === 0 ? 200 : 0)).toBeLessThanOrEqual(60);
  });

  it('may begin with off', async () => {
    const { command, clock, take } = await pinBench([lamp]);
    await command('lamp', false, { blink: [0.2, 0.8] });
    await clock.advance(1000);
    expect(take().map(({ val }) => val)).toEqual([true, false]);
  });

  it('ends with the next command', async () => {
    const { command, clock, hardware } = await pinBench([lamp]);
    await command('lamp', true, { blink: [0.2, 0.2] }, 500);
    await command('lamp', true);
    const before = hardware.writes.length;
    await clock.advance(5000);
    expect(hardware.writes.length).toBe(before);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('goes on when the hardware refused for a while', async () => {
    const { command, clock, hardware, take } = await pinBench([lamp]);
    await command('lamp', true, { blink: [0.2, 0.2] });
    hardware.fault('lamp', { kind: 'error', message: 'no' });
    await clock.advance(1000);
    hardware.fault('lamp', undefined);
    take();
    await clock.advance(1000);
    expect(take().filter(({ val }) => val === true).length).toBeGreaterThan(1);
  });

  it.each([
    [{ ...lamp }, false],
    [{ ...lamp, onExit: 'hold' as const }, undefined],
  ])('stops with the agent, at its exit value', async (spec, exit) => {
    const { command, clock, hardware, supervisor } = await pinBench([spec]);
    await command('lamp', true, { blink: [0.2, 0.2] }, 100);
    const before = hardware.writes.length;
    await supervisor.stop();
    await clock.advance(5000);
    expect(levels(hardware.writes.slice(before))).toEqual(exit === undefined ? [] : [!exit]);
  });

  it.each([
    [{ blink: [0.01, 1] }, 'BAD_COMMAND'],
    [{ blink: [1] }, 'BAD_COMMAND'],
    [{ blink: [1, 1], pulse: 1 }, 'BAD_COMMAND'],
  ])('is refused as %j', async (extra, code) => {
    const { command, hardware } = await pinBench([lamp]);
    const before = hardware.writes.length;
    expect((await command('lamp', true, extra)).answers).toMatchObject([{ code }]);
    expect(hardware.writes.length).toBe(before);
  });
});
