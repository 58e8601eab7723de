import { describe, expect, it } from 'vitest';
import { modbus } from '../../drivers/modbus/driver.ts';
import { busLoad } from '../../drivers/modbus/review.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { breakEvenGap, lineTiming, readTime } from '../../drivers/modbus/transport/line-timing.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { channelOf } from './owner.ts';
import { SimBus } from './sim-bus.ts';

const line = (baud: number) => lineTiming({ baud, dataBits: 8, parity: 'even', stopBits: 1 });
const options = (keys: object) => modbus.options.parse({ serial: '/dev/ttyUSB0', ...keys });

describe('the time of a serial bus', () => {
  it('follows the standard: eleven bits a character, gaps of 3.5 characters, 1.75 ms above 19200 baud', () => {
    expect(line(9600).characterMs).toBeCloseTo(11 / 9.6, 6);
    expect(line(9600).gapMs).toBeCloseTo((3.5 * 11) / 9.6, 6);
    expect(line(115_200).gapMs).toBe(1.75);
    expect(readTime({ unit: 1, table: 'holding', first: 0, count: 10 }, line(9600), 5)).toBeCloseTo(
      33 * (11 / 9.6) + 7 * (11 / 9.6) + 5,
      6,
    );
    expect(readTime({ unit: 1, table: 'coil', first: 0, count: 9 }, line(9600), 0)).toBeCloseTo(22 * (11 / 9.6), 6);
  });

  it.each([
    [9600, 0, 10],
    [9600, 5, 12],
    [9600, 20, 18],
    [19_200, 5, 14],
    [115_200, 0, 24],
    [115_200, 20, 129],
  ])('at %i baud and %i ms of thinking up to %i registers are worth reading along', (baud, slaveMs, gap) => {
    expect(Math.abs(breakEvenGap(line(baud), slaveMs) - gap)).toBeLessThanOrEqual(1);
  });

  it('adds up the times of the planned reads', () => {
    const near = [0, 1, 2].map((holding) => channelOf({ holding }).address);
    const bus = options({ line: '9600-8E1', poll: '1s' });
    const one = readTime({ unit: 1, table: 'holding', first: 0, count: 3 }, line(9600), 5);
    expect(busLoad(near, bus)).toEqual({ utilisation: one / 1000, cycleMs: one, requests: 1 });
    const far = [0, 500, 900].map((holding) => channelOf({ holding, poll: '100ms' }).address);
    expect(busLoad(far, bus)?.requests).toBe(3);
    expect(busLoad(far, modbus.options.parse({ tcp: 'plc' }))).toBeUndefined();
  });

  it('counts id and length of a SunSpec model along with its points, model by model', () => {
    const points = [
      { sunspec: 103, holding: 14 },
      { sunspec: 103, holding: 16 },
      { sunspec: 123, holding: 5 },
    ].map((keys) => channelOf(keys).address);
    const time = (count: number) => readTime({ unit: 1, table: 'holding', first: 0, count }, line(9600), 5);
    const load = busLoad(points, options({ line: '9600-8E1' }));
    expect(load).toMatchObject({ requests: 2, cycleMs: expect.closeTo(time(17) + time(6), 6) });
  });
});

describe('the review of a Modbus port', () => {
  const remarks = (port: object, ...pins: object[]) =>
    modbus.review?.(
      modbus.options.parse(port),
      pins.map((keys) => channelOf({ ...keys })),
    ) ?? [];

  it('finds a bus that cannot keep its poll rates, and says what would help', () => {
    const pins = Array.from({ length: 10 }, (_, unit) => ({ holding: 0, unit: unit + 1, poll: '200ms' }));
    const [remark] = remarks({ serial: '/dev/ttyUSB0', line: '9600-8N1' }, ...pins);
    expect(remark?.message).toMatch(/polling takes \d{3} % of the bus: 10 requests/);
    expect(remark?.expected).toMatch(/times as long, or \d+ baud/);
    expect(remarks({ serial: '/dev/ttyUSB0' }, ...pins.slice(0, 3))).toEqual([]);
    expect(remarks({ tcp: 'plc' }, ...pins)).toEqual([]);
  });

  it('estimates the load and the cycle of a serial bus, and nothing of a network', () => {
    const outlook = (port: object, ...pins: object[]) =>
      modbus.estimate?.(
        modbus.options.parse(port),
        pins.map((keys) => channelOf({ ...keys })),
      );
    // 13 + 2 and 13 + 6 bytes of 10 bits, twice two gaps of 3.5 characters, twice 5 ms: 60 ms in 500.
    const pins = [{ holding: 0 }, { holding: 500, length: 3, type: 'raw' }];
    const told = outlook({ serial: '/dev/ttyUSB0', line: '9600-8N1', poll: '500ms' }, ...pins);
    expect(told).toBe('12 % of the bus; 2 reads, all of them one after the other in 60 ms');
    expect(outlook({ tcp: 'plc' }, ...pins)).toBeUndefined();
    expect(outlook({ serial: '/dev/ttyUSB0' })).toBeUndefined();
  });

  it('finds registers that overlap, but not different bits of one register', () => {
    expect(remarks({ tcp: 'plc' }, { holding: 10, type: 'float32' }, { holding: 11 })).toMatchObject([
      { channel: 'u1/holding/11', message: expect.stringMatching(/registers of u1.holding.10 .10 to 11/) },
    ]);
    expect(remarks({ tcp: 'plc' }, { holding: 10, bit: 1 }, { holding: 10, bit: 2 }, { input: 10 })).toEqual([]);
    expect(remarks({ tcp: 'plc' }, { holding: 10, bit: 1 }, { holding: 10 }).length).toBe(1);
  });

  it('finds two pins with different quirks for one device', () => {
    const [remark] = remarks({ tcp: 'plc' }, { holding: 1, quirks: { max_gap: 0 } }, { holding: 2, quirks: {} });
    expect(remark?.message).toMatch(/unit 1 have different quirks/);
  });
});

describe('a saturated serial bus, on a slave that keeps the time of the line', () => {
  const lineOf = (baud: number) => lineTiming({ baud, dataBits: 8, parity: 'none', stopBits: 1 });

  it.each(
    [9600, 19_200, 115_200].flatMap((baud) =>
      [
        { baud, registers: 1, step: 1 },
        { baud, registers: 10, step: 1 },
        { baud, registers: 100, step: 37 },
        { baud, registers: 1000, step: 1 },
      ].map((one) => one),
    ),
  )('is busy for at least 95 % of the time: %j', async ({ baud, registers, step }) => {
    const clock = new ManualClock();
    const channels = Array.from({ length: registers }, (_, at) => channelOf({ input: at * step }));
    const bus = await new SimBus({
      store: new SimulatedMemory(clock),
      channels,
      clock,
      baud,
      slaveMs: 0,
      poll: '1ms',
    }).open();
    let busy = 0;
    bus.slave.script = ({ pdu }) => {
      const count = pdu.readUInt16BE(3);
      busy += readTime({ unit: 1, table: 'input', first: 0, count }, lineOf(baud), 0);
      return undefined;
    };
    const began = clock.now();
    await clock.advance(4000);
    await bus.port.close();
    expect(busy / (clock.now() - began)).toBeGreaterThan(0.95);
  });
});

describe('the configuration of a bus that cannot keep its rates', () => {
  const remarks = (poll: string) => {
    const options = modbus.options.parse({ serial: '/dev/null', line: '9600-8N1', poll });
    return modbus.review?.(options, [channelOf({ holding: 0 }), channelOf({ holding: 100 })]) ?? [];
  };

  it('is refused, with what to change; a bus that is only full gets a warning', () => {
    expect(remarks('20ms')).toMatchObject([{ fatal: true, expected: expect.stringMatching(/times as long/) }]);
    const full = remarks('60ms');
    expect(full.length).toBe(1);
    expect(full[0]?.fatal).toBeUndefined();
    expect(remarks('1s')).toEqual([]);
  });
});
