import { afterEach, describe, expect, it } from 'vitest';
import type {
  Edge,
  GpioBackend,
  GpioChannel,
  GpioPlan,
  Line,
  LineRequestSpec,
  LineResult,
} from '../../drivers/gpio/backend.ts';
import { gpio } from '../../drivers/gpio/driver.ts';
import { GpioPort } from '../../drivers/gpio/port.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { Direction, RawValue } from '../../src/pin/pin.ts';
import { LateClock } from '../support/late-clock.ts';
import { memoryLog, recordReadings } from '../support/ports.ts';

/** A kernel in a test's hands: which lines are busy, what levels they have, and edges at will. */
class FakeBackend implements GpioBackend {
  readonly name = 'chardev';
  readonly debounces = true;
  readonly busy = new Set<string>();
  readonly levels = new Map<string, boolean>();
  readonly wishes = new Map<string, LineRequestSpec>();
  readonly attempts: string[] = [];
  readonly writes: string[][] = [];
  gone: DcsError | undefined;
  writing: (() => void) | undefined;

  async requestLines(wishes: readonly LineRequestSpec[]): Promise<LineResult[]> {
    return wishes.map((wish): LineResult => {
      const { key, openingValue } = wish.channel;
      this.attempts.push(key);
      if (this.busy.has(key)) return { ok: false, error: new DcsError('BUSY', `${key} is held by test`) };
      this.wishes.set(key, wish);
      if (typeof openingValue === 'boolean') this.levels.set(key, openingValue);
      return { ok: true, line: this.#line(key) };
    });
  }

  write(levels: ReadonlyMap<Line, boolean>): Map<Line, boolean> {
    this.writing?.();
    this.writes.push([...levels.values()].map(String));
    return new Map(levels);
  }

  chipGone(): DcsError | undefined {
    return this.gone;
  }

  crashPlan(): { plan: GpioPlan } {
    return { plan: { by: 'sysfs', lines: [] } };
  }
  inspect(): void {}

  async close(): Promise<void> {}

  edge(key: string, edge: Edge): void {
    const events = this.wishes.get(key)?.events;
    this.levels.set(key, edge.rising);
    events?.edge?.(edge);
    events?.level(edge.rising, 1_800_000_000);
  }

  #line(key: string): Line {
    return { read: () => this.levels.get(key) ?? false, float() {}, release() {} };
  }
}

interface PinText {
  readonly keys: object;
  readonly direction?: Direction;
  readonly start?: RawValue;
  readonly again?: RawValue;
  readonly debounceMs?: number;
}

const ports: GpioPort[] = [];
afterEach(async () => {
  for (const port of ports.splice(0)) await port.close();
});

async function open(backend: FakeBackend, ...pins: PinText[]) {
  const options = gpio.options.parse({ chip: 'test' });
  const channels = pins.map(({ keys, direction = 'in', start, again, debounceMs = 0 }): GpioChannel => {
    const address = gpio.pin.parse(keys);
    const { key = '', kind } = gpio.describe(address, options);
    const returning = direction === 'out' && { returnValue: () => again };
    return {
      key,
      kind,
      direction,
      address,
      debounceMs,
      ...(start !== undefined && { openingValue: start }),
      ...returning,
    };
  });
  const clock = new LateClock();
  const downs: DcsError[] = [];
  const log = memoryLog();
  const { changed, listen } = recordReadings();
  const context = { clock, log, down: (error: DcsError) => void downs.push(error), count() {}, changed };
  const port = new GpioPort(backend, channels, context);
  ports.push(port);
  await port.start();
  const seen = channels.map((channel) => {
    const readings: Reading[] = [];
    listen(channel, (reading) => readings.push(reading));
    return readings;
  });
  await clock.advance(0);
  const channel = (at: number): GpioChannel => {
    const found = channels[at];
    if (!found) throw new Error(`no channel ${at}`);
    return found;
  };
  return { port, channel, clock, log, downs, seen, values: (at: number) => (seen[at] ?? []).map(outcome) };
}

const outcome = (reading: Reading) => (reading.ok ? reading.value : reading.error.code);
const wave = (backend: FakeBackend, key: string, edges: number, from = 0) => {
  for (let n = 0; n < edges; n++) backend.edge(key, { rising: n % 2 === 0, lost: 0, at: from + n });
};

/** Somebody takes the line away, and gives it back before it is tried again. */
function losing(backend: FakeBackend, key: string): void {
  backend.wishes.get(key)?.events.lost(new DcsError('BUSY', 'taken away'));
}

describe('gpio port', () => {
  it('requests a busy line again at growing intervals, and leaves the others alone', async () => {
    const backend = new FakeBackend();
    backend.busy.add('line 1');
    const { clock, values } = await open(backend, { keys: { gpio: 0 } }, { keys: { gpio: 1 } });
    expect(values(1)).toEqual(['BUSY']);
    await clock.advance(10_000);
    expect(backend.attempts.filter((key) => key === 'line 1').length).toBe(5);
    expect(backend.attempts.filter((key) => key === 'line 0').length).toBe(1);
    backend.busy.clear();
    await clock.advance(30_000);
    expect(values(1).at(-1)).toBe(false);
    expect(values(0)).toEqual([false]);
  });

  it.each([
    [false, [false]],
    [undefined, []],
  ])(
    'an output whose line was lost begins not with its start value but with what comes after a loss: %j',
    async (again, driven) => {
      const backend = new FakeBackend();
      const pin = { keys: { gpio: 0 }, direction: 'out', start: true, ...(again !== undefined && { again }) } as const;
      const { clock } = await open(backend, pin);
      expect(backend.levels.get('line 0')).toBe(true);
      losing(backend, 'line 0');
      backend.levels.delete('line 0');
      await clock.advance(1000);
      expect([...backend.levels.values()]).toEqual(driven);
    },
  );

  it('an output with software PWM opens with its return value after a loss too', async () => {
    const backend = new FakeBackend();
    const keys = { gpio: 0, pwm: 1 };
    const { clock, values } = await open(backend, { keys, direction: 'out', start: 1, again: 0.25 });
    await clock.advance(0);
    losing(backend, 'line 0');
    await clock.advance(1000);
    expect(values(0).slice(-2)).toEqual(['BUSY', 0.25]);
  });

  it('goes down once when the chip is gone, within a second, and rejects from then on', async () => {
    const backend = new FakeBackend();
    const { port, channel, clock, downs } = await open(backend, { keys: { gpio: 0 } });
    backend.gone = new DcsError('PORT_DOWN', 'unplugged');
    await clock.advance(1000);
    await clock.advance(10_000);
    expect(downs.map(({ message }) => message)).toEqual(['unplugged']);
    await expect(port.read([channel(0)])).rejects.toMatchObject({ code: 'PORT_DOWN' });
  });

  it('writes several outputs in one step, and none when one value is wrong', async () => {
    const backend = new FakeBackend();
    const out = (gpioLine: number): PinText => ({ keys: { gpio: gpioLine }, direction: 'out', start: false });
    const { port, channel } = await open(backend, out(0), out(1));
    const written = await port.writeAll([
      { channel: channel(0), value: true },
      { channel: channel(1), value: false },
    ]);
    expect(written).toEqual([{ readBack: true }, { readBack: false }]);
    expect(backend.writes).toEqual([['true', 'false']]);
    const wrong = port.writeAll([
      { channel: channel(0), value: false },
      { channel: channel(1), value: 'banana' },
    ]);
    await expect(wrong).rejects.toMatchObject({ code: 'BAD_VALUE' });
    expect(backend.writes.length).toBe(1);
  });
});

describe('gpio counters and measurements', () => {
  it('count every edge, and tell at most once per report interval', async () => {
    const backend = new FakeBackend();
    const { clock, values } = await open(backend, { keys: { gpio: 4, count: 'rising', report: '500ms' }, start: 100 });
    expect(values(0)).toEqual([100]);
    wave(backend, 'line 4', 2000);
    await clock.advance(499);
    expect(values(0)).toEqual([100]);
    await clock.advance(1);
    wave(backend, 'line 4', 2);
    await clock.advance(5000);
    // The last one says that the rate is 0.
    expect(values(0)).toEqual([100, 1100, 1101, 1101]);
  });

  it('tell the rate since the last report, and its end, but no preset as a rate', async () => {
    const backend = new FakeBackend();
    const { port, channel, clock, seen } = await open(backend, { keys: { gpio: 4, count: 'rising' } });
    const rates = () => seen[0]?.map((one) => one.ok && one.rate);
    await clock.advance(60_000);
    wave(backend, 'line 4', 40);
    await clock.advance(1000);
    wave(backend, 'line 4', 10);
    await port.preset(channel(0), 1000);
    await clock.advance(5000);
    expect(rates()).toEqual([0, 20, 5, 0]);
  });

  it('are uncertain with the reason while the kernel drops edges, although those are counted; then good again', async () => {
    const backend = new FakeBackend();
    const { clock, seen, values } = await open(backend, { keys: { gpio: 4, count: 'rising' } });
    backend.edge('line 4', { rising: true, lost: 7, at: 1 });
    await clock.advance(1000);
    expect(seen[0]?.at(-1)).toMatchObject({ value: 8, uncertain: expect.stringMatching(/^overrun: 7 edges/) });
    await clock.advance(5000);
    expect(seen[0]?.at(-1)).toEqual({ ok: true, value: 8, rate: 0 });
    expect(values(0)).toEqual([0, 8, 8]);
  });

  it('keep an encoder uncertain after a lost step until its position is set', async () => {
    const backend = new FakeBackend();
    const { port, channel, clock, seen } = await open(backend, { keys: { gpio: 4, encoder: 5 } });
    backend.edge('line 4', { rising: true, lost: 1, at: 1 });
    await clock.advance(9000);
    expect(seen[0]?.at(-1)).toMatchObject({ uncertain: expect.stringContaining('set the position') });
    await port.preset(channel(0), 0);
    expect(await port.read([channel(0)])).toEqual([{ ok: true, value: 0, rate: 0 }]);
  });

  it('watch only the edges that count, unless another pin of the line wants more', async () => {
    const alone = new FakeBackend();
    await open(alone, { keys: { gpio: 4, count: 'falling' } });
    expect(alone.wishes.get('line 4')?.edges).toBe('falling');
    const shared = new FakeBackend();
    await open(shared, { keys: { gpio: 4, count: 'falling' } }, { keys: { gpio: 4 } });
    expect(shared.wishes.get('line 4')?.edges).toBe('both');
  });

  it('can be preset while they run, in whole numbers only', async () => {
    const backend = new FakeBackend();
    const { port, channel, clock, values } = await open(
      backend,
      { keys: { gpio: 4, count: 'both' } },
      { keys: { gpio: 5 } },
    );
    wave(backend, 'line 4', 7);
    expect(await port.preset(channel(0), 0)).toEqual({ readBack: 0 });
    wave(backend, 'line 4', 2);
    await clock.advance(1000);
    expect(values(0).at(-1)).toBe(2);
    await expect(port.preset(channel(0), 1.5)).rejects.toMatchObject({ code: 'BAD_VALUE' });
    await expect(port.preset(channel(1), 0)).rejects.toMatchObject({ code: 'READ_ONLY' });
    await expect(port.write(channel(0), true)).rejects.toMatchObject({ code: 'READ_ONLY' });
  });

  it('refuse to be set while a line is lost, with its error: the pin stays bad', async () => {
    const backend = new FakeBackend();
    const { port, channel, clock, values } = await open(
      backend,
      { keys: { gpio: 4, count: 'both' } },
      { keys: { gpio: 5, encoder: 6 } },
    );
    wave(backend, 'line 4', 4);
    losing(backend, 'line 4');
    losing(backend, 'line 6');
    for (const at of [0, 1]) {
      await expect(port.preset(channel(at), 100)).rejects.toMatchObject({ code: 'BUSY', message: 'taken away' });
      await expect(port.preset(channel(at), 0.5)).rejects.toMatchObject({ code: 'BAD_VALUE' });
    }
    await clock.advance(600);
    expect([values(0).at(-1), values(1).at(-1)]).toEqual([4, 0]);
    expect(await port.preset(channel(1), 100)).toEqual({ readBack: 100 });
  });

  it('share one line: level, counter and frequency', async () => {
    const backend = new FakeBackend();
    const { clock, values } = await open(
      backend,
      { keys: { gpio: 4 } },
      { keys: { gpio: 4, count: 'rising' } },
      { keys: { gpio: 4, measure: 'frequency' } },
    );
    expect(backend.attempts).toEqual(['line 4']);
    expect(backend.wishes.get('line 4')?.timed).toBe(true);
    wave(backend, 'line 4', 101);
    expect(values(0).length).toBe(102);
    await clock.advance(1000);
    expect(values(1)).toEqual([0, 51]);
    expect(values(2)).toEqual([0, 500]);
    await clock.advance(15_000);
    expect(values(2).at(-1)).toBe(0);
  });

  it('follow an encoder on two lines from any position', async () => {
    const backend = new FakeBackend();
    backend.levels.set('line 4', true);
    const { clock, values } = await open(backend, { keys: { gpio: 4, encoder: 5 }, start: 10 });
    // From A high, B low: two steps up, one back.
    backend.edge('line 5', { rising: true, lost: 0, at: 1 });
    backend.edge('line 4', { rising: false, lost: 0, at: 2 });
    backend.edge('line 4', { rising: true, lost: 0, at: 3 });
    await clock.advance(1000);
    expect(values(0)).toEqual([10, 11]);
  });

  it('report why they have no value while their line is busy, and go on from their count, uncertain for one report', async () => {
    const backend = new FakeBackend();
    const { clock, seen, values } = await open(backend, { keys: { gpio: 4, count: 'both' } });
    wave(backend, 'line 4', 4);
    losing(backend, 'line 4');
    expect(values(0).at(-1)).toBe('BUSY');
    await clock.advance(600);
    expect(seen[0]?.at(-1)).toMatchObject({ value: 4, uncertain: expect.stringMatching(/^resumed/) });
    await clock.advance(5000);
    expect(seen[0]?.at(-1)).toEqual({ ok: true, value: 4, rate: 0 });
  });

  it('are uncertain when they go on from a kept count: a counter once, an encoder until its position is set', async () => {
    const resumed = { uncertain: expect.stringMatching(/^resumed/) };
    const backend = new FakeBackend();
    const { port, channel, clock, seen } = await open(
      backend,
      { keys: { gpio: 4, count: 'rising' }, start: 7 },
      { keys: { gpio: 5, encoder: 6 }, start: -3 },
      { keys: { gpio: 7, count: 'rising' } },
      { keys: { gpio: 8, encoder: 9 } },
    );
    await clock.advance(60_000);
    expect(seen).toMatchObject([
      [{ value: 7, ...resumed }, { value: 7 }],
      [{ value: -3, ...resumed }],
      [{ value: 0 }],
      [{ value: 0 }],
    ]);
    for (const sure of [seen[0]?.at(-1), seen[2]?.at(-1), seen[3]?.at(-1)])
      expect(sure).not.toHaveProperty('uncertain');
    await port.preset(channel(1), 0);
    expect(await port.read([channel(1)])).toEqual([{ ok: true, value: 0, rate: 0 }]);
  });

  it('measure no pulse and no period across the loss of a line', async () => {
    const backend = new FakeBackend();
    const { clock, values } = await open(
      backend,
      { keys: { gpio: 4, measure: 'high-time' } },
      { keys: { gpio: 4, measure: 'frequency' } },
    );
    backend.edge('line 4', { rising: true, lost: 0, at: 0 });
    losing(backend, 'line 4');
    await clock.advance(600);
    backend.edge('line 4', { rising: false, lost: 0, at: 5000 });
    backend.edge('line 4', { rising: true, lost: 0, at: 5001 });
    await clock.advance(1000);
    expect(values(0).at(-1)).toBe(0);
    expect(values(1).at(-1)).toBe(0);
  });

  it('refuse a second pin that wants the same line with other settings, and only that one', async () => {
    const backend = new FakeBackend();
    const { values } = await open(
      backend,
      { keys: { gpio: 4 } },
      { keys: { gpio: 4, count: 'both', bias: 'pull-up' } },
      { keys: { gpio: 4, measure: 'high-time' } },
    );
    expect(values(0)).toEqual([false]);
    expect(values(1)).toEqual(['BAD_CONFIG']);
    expect(values(2)).toEqual([0]);
  });
});

describe('gpio outputs with software PWM', () => {
  const levels = (backend: FakeBackend) => backend.writes.map(([level]) => level);

  it('are on for their duty cycle, and stay on or off at 1 and 0', async () => {
    const backend = new FakeBackend();
    const { port, channel, clock, values } = await open(backend, {
      keys: { gpio: 4, pwm: 10 },
      direction: 'out',
      start: 0.3,
    });
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(25);
    expect(levels(backend)).toEqual(['true']);
    await clock.advance(10);
    expect(levels(backend)).toEqual(['true', 'false']);
    await clock.advance(1000);
    expect(levels(backend).length).toBe(22);
    expect(await port.write(channel(0), 1)).toEqual({ readBack: 1 });
    const before = levels(backend).length;
    await clock.advance(1000);
    expect(levels(backend).slice(before - 1)).toEqual(['true']);
    await port.write(channel(0), 0);
    expect([levels(backend).at(-1), await port.read([channel(0)])]).toEqual(['false', [{ ok: true, value: 0 }]]);
    // The answers to the writes say their values; only the opening value is told.
    expect(values(0)).toEqual([0.3]);
    await expect(port.write(channel(0), 1.5)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
    await expect(port.write(channel(0), true)).rejects.toMatchObject({ code: 'BAD_VALUE' });
  });

  it('log their exactness, and measure the largest delay of an edge', async () => {
    const backend = new FakeBackend();
    const { port, channel, clock, log } = await open(backend, { keys: { gpio: 4, pwm: 10 }, direction: 'out' });
    expect(log.lines.map(({ message }) => message)).toEqual([
      'line 4 pwm: software PWM, 10 Hz, each edge up to some 2 ms late',
    ]);
    await port.write(channel(0), 0.5);
    await clock.advance(200);
    expect(port.metrics()).toEqual({ pwm_late_max_ms: 0 });
    clock.lateMs = 7;
    await port.write(channel(0), 0.5);
    const before = levels(backend).length;
    await clock.advance(1000);
    // Edges were due every 50 ms: being late has not added up.
    expect(levels(backend).length - before).toBe(19);
    expect(port.metrics()).toEqual({ pwm_late_max_ms: 7 });
    const other = await open(new FakeBackend(), { keys: { gpio: 4 } });
    expect(other.port.metrics()).toEqual({});
  });

  it('measure from before the first edge, which may be late itself', async () => {
    const backend = new FakeBackend();
    const { port, channel, clock } = await open(backend, { keys: { gpio: 4, pwm: 10 }, direction: 'out' });
    backend.writing = () => {
      clock.spentMs += 12;
    };
    await port.write(channel(0), 0.5);
    backend.writing = undefined;
    expect(port.metrics()).toEqual({ pwm_late_max_ms: 12 });
    await clock.advance(37);
    expect(levels(backend)).toEqual(['true']);
    await clock.advance(1);
    expect(levels(backend)).toEqual(['true', 'false']);
  });

  it('refuse a frequency that this process cannot reach', () => {
    const options = gpio.options.parse({ chip: 'test' });
    const facts = (hz: number) => gpio.describe(gpio.pin.parse({ gpio: 4, pwm: hz }), options);
    expect(facts(50)).toMatchObject({ kind: 'analog', directions: ['out'] });
    expect(() => facts(51)).toThrow(/50 times a second at most/);
  });

  it('go on unchanged when a command cannot be driven', async () => {
    const backend = new FakeBackend();
    const { port, channel, clock } = await open(backend, { keys: { gpio: 4, pwm: 10 }, direction: 'out' });
    await port.write(channel(0), 0.5);
    backend.writing = () => {
      throw new DcsError('DEVICE_REFUSED', 'not now');
    };
    await expect(port.write(channel(0), 0.2)).rejects.toMatchObject({ code: 'DEVICE_REFUSED' });
    backend.writing = undefined;
    expect(await port.read([channel(0)])).toEqual([{ ok: true, value: 0.5 }]);
    await clock.advance(50);
    expect(levels(backend)).toEqual(['true', 'false']);
  });

  it('are not left on by an edge that failed once', async () => {
    const backend = new FakeBackend();
    const { port, channel, clock, values } = await open(backend, { keys: { gpio: 4, pwm: 10 }, direction: 'out' });
    await port.write(channel(0), 0.5);
    backend.writing = () => {
      throw new DcsError('DEVICE_REFUSED', 'not now');
    };
    await clock.advance(200);
    expect(values(0).at(-1)).toBe('DEVICE_REFUSED');
    backend.writing = undefined;
    await clock.advance(1000);
    expect(levels(backend)).toEqual(['true', 'false']);
  });

  it('are left off when the port closes', async () => {
    const backend = new FakeBackend();
    const { port, channel, clock } = await open(backend, { keys: { gpio: 4, pwm: 10 }, direction: 'out' });
    await port.write(channel(0), 0.5);
    await port.close();
    await clock.advance(1000);
    expect(levels(backend)).toEqual(['true', 'false']);
  });
});

describe('gpio driver', () => {
  it.each(['auto', 'chardev', 'onoff'])(
    'is skipped with the reason where there is no such chip (%s)',
    async (backend) => {
      const clock = new ManualClock();
      const context = { clock, log: memoryLog(), down() {}, count() {}, changed() {} };
      const opened = await gpio.open(gpio.options.parse({ chip: 'no-such-chip', backend }), [], context);
      expect(opened).toMatchObject({ kind: 'skipped' });
      expect(opened.kind === 'skipped' && opened.reason).toMatch(/gpiochip|sysfs/);
    },
  );
});

describe('gpio pin keys', () => {
  it.each([
    [{ gpio: 4, count: 'rising', measure: 'frequency' }, 'one of count, measure, encoder'],
    [{ gpio: 4, report: '1s' }, 'report belongs to count'],
    [{ gpio: -1 }, '>=0'],
    [{ gpio: 4, bias: 'up' }, 'pull-up'],
  ])('%j is refused with what would be right', (keys, expected) => {
    const parsed = gpio.pin.safeParse(keys);
    expect(parsed.success).toBe(false);
    expect(parsed.error?.message).toContain(expected);
  });

  it('mean the same line as number and as numeric text', () => {
    const options = gpio.options.parse({ chip: 'test' });
    const key = (keys: object) => gpio.describe(gpio.pin.parse(keys), options).key;
    expect(key({ gpio: '017' })).toBe(key({ gpio: 17 }));
    expect(key({ gpio: 17 })).toBe('line 17');
    expect(key({ gpio: 'DOOR' })).toBe('line DOOR');
    expect(key({ gpio: 17, count: 'rising' })).not.toBe(key({ gpio: 17 }));
  });
});
