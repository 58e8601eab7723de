import { describe, expect, it } from 'vitest';
import { respondTo } from '../../drivers/modbus/server/respond.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { systemClock } from '../../src/clock/clock.ts';

describe('a Modbus slave that writes and reads in one request (23)', () => {
  it('writes nothing when it cannot read, because an exception says that nothing was done', async () => {
    const memory = new SimulatedMemory(systemClock, { everywhere: false });
    memory.put(1, 'holding', 0, 7);
    const request = Buffer.from([23, 0x10, 0, 0, 1, 0, 0, 0, 1, 2, 0, 9]);
    expect([...(await respondTo(memory, 1, request))]).toEqual([0x97, 2]);
    expect(memory.get(1, 'holding', 0, 1)).toEqual([7]);
  });
});
