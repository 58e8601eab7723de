import { describe, expect, it } from 'vitest';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';

describe('the resolution of a Modbus output', () => {
  it('is known for any value before it is written, and is 0 where the register holds it exactly', async () => {
    const out = { direction: 'out' } as const;
    const word = channelOf({ holding: 4 }, out);
    const float = channelOf({ holding: 6, type: 'float32' }, out);
    const coil = channelOf({ coil: 3 }, out);
    const clock = new ManualClock();
    const store = new SimulatedMemory(clock);
    const { port } = await new SimBus({ store, channels: [word, float, coil], clock }).open();
    expect(port.resolution(word, 1000.4)).toBeCloseTo(0.8, 9);
    expect(port.resolution(word, 1000)).toBe(0);
    expect(port.resolution(word, 70_000)).toBeUndefined();
    expect(port.resolution(float, 21.7)).toBe(2 * Math.abs(Math.fround(21.7) - 21.7));
    expect(port.resolution(coil, true)).toBeUndefined();
    await port.close();
  });
});
