import { describe, expect, it } from 'vitest';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { lineTiming, readTime } from '../../drivers/modbus/transport/line-timing.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';

const [UNITS, TAGS, BAUD, SLAVE_MS] = [50, 20, 19_200, 5];

describe('1,000 tags on 50 units of one bus', () => {
  it('all have their own value, one request a unit, and the bus is full while it reads', async () => {
    const clock = new ManualClock();
    const memory = new SimulatedMemory(clock);
    const heap = process.memoryUsage().heapUsed;
    const channels = Array.from({ length: UNITS }, (_, unit) =>
      Array.from({ length: TAGS }, (_, tag) => {
        memory.put(unit + 1, 'holding', tag, (unit + 1) * 100 + tag);
        return channelOf({ holding: tag, unit: unit + 1 });
      }),
    ).flat();
    const bus = await new SimBus({ store: memory, channels, clock, baud: BAUD, slaveMs: SLAVE_MS, poll: '5s' }).open();
    const values = new Map<string, RawValue>();
    for (const channel of channels)
      bus.listen(channel, (reading) => {
        if (reading.ok) values.set(channel.key, reading.value);
      });
    const asked: number[] = [];
    bus.slave.script = ({ unit, pdu }) => {
      expect(pdu.readUInt16BE(3)).toBe(TAGS);
      asked.push(unit);
      return undefined;
    };
    const began = clock.now();
    while (values.size < channels.length && clock.now() - began < 10_000) await clock.advance(5);
    const took = clock.now() - began;
    for (const { key, address } of channels) expect(values.get(key)).toBe((address.unit ?? 0) * 100 + address.first);
    expect(new Set(asked).size).toBe(UNITS);
    const timing = lineTiming({ baud: BAUD, dataBits: 8, parity: 'none', stopBits: 1 });
    const least = asked.length * readTime({ unit: 1, table: 'holding', first: 0, count: TAGS }, timing, SLAVE_MS);
    expect(least / took).toBeGreaterThanOrEqual(0.95);
    // Some kilobytes a tag at most, garbage of the start included.
    expect((process.memoryUsage().heapUsed - heap) / channels.length).toBeLessThan(40_000);
    await bus.port.close();
  });
});
