import { describe, expect, it } from 'vitest';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { lineTiming, readTime } from '../../drivers/modbus/transport/line-timing.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';

const TAGS = 30;

describe('the response delay of a device is learned, and the plan follows', () => {
  it.each([
    // 9600 baud: a request costs as much as 10 registers of a device that answers at once, of one that takes 20 ms 19.
    { baud: 9600, slaveMs: 0, step: 12, merged: false },
    { baud: 9600, slaveMs: 20, step: 17, merged: true },
    { baud: 19_200, slaveMs: 0, step: 13, merged: false },
    { baud: 19_200, slaveMs: 20, step: 24, merged: true },
    { baud: 115_200, slaveMs: 20, step: 60, merged: true },
  ])(
    '$baud baud, $slaveMs ms, a register in $step: within 2 % of the best plan',
    async ({ baud, slaveMs, step, merged }) => {
      const clock = new ManualClock();
      const channels = Array.from({ length: TAGS }, (_, index) =>
        channelOf({ holding: index * step, base: 0, poll: '3s' }),
      );
      const bus = await new SimBus({
        store: new SimulatedMemory(clock),
        channels,
        clock,
        baud,
        slaveMs,
        poll: '3s',
      }).open();
      const reads: number[] = [];
      bus.slave.script = ({ pdu }) => {
        reads.push(pdu.readUInt16BE(3));
        return undefined;
      };
      await clock.advance(90_000);
      expect(reads.length).toBeGreaterThan(0);
      reads.length = 0;
      await clock.advance(30_000);
      const timing = lineTiming({ baud, dataBits: 8, parity: 'none', stopBits: 1 });
      const cost = (count: number) => readTime({ unit: 1, table: 'holding', first: 0, count }, timing, slaveMs);
      const ours = reads.reduce((sum, count) => sum + cost(count), 0) / 10;
      // The cheapest cover, found without the planner.
      const best = [0];
      for (let last = 0; last < TAGS; last++) {
        const ways = Array.from({ length: last + 1 }, (_, from) => ({ from, count: (last - from) * step + 1 }));
        best.push(
          Math.min(
            ...ways.filter(({ count }) => count <= 125).map(({ from, count }) => (best[from] ?? 0) + cost(count)),
          ),
        );
      }
      expect((best[TAGS] ?? 0) / ours).toBeGreaterThanOrEqual(0.98);
      expect(reads.some((count) => count > 1)).toBe(merged);
      await bus.port.close();
    },
  );
});
