import { describe, expect, it } from 'vitest';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const lamp = pinSpec({ name: 'lamp', direction: 'out', initial: false, safe: false });
const relay = pinSpec({ name: 'relay', direction: 'out', invert: true, initial: false, safe: false });
const door = pinSpec({ name: 'door' });
const speed = pinSpec({
  name: 'speed',
  kind: 'analog',
  direction: 'out',
  scale: 0.1,
  range: [0, 50],
  safe: 0,
  uom: 'Hz',
});
const temp = pinSpec({ name: 'temp', kind: 'analog', deadband: 0.5 });

describe('a pin reports', () => {
  it('its first value at start, then changes, each with time and sequence number', async () => {
    const { take, hardware, clock } = await pinBench([door]);
    expect(take()).toMatchObject([{ subject: 'IoMessage', pin_name: 'door', val: false, quality: 'good', seq: 0 }]);
    await clock.advance(1000);
    hardware.set('door', true);
    await clock.advance(0);
    expect(take()).toMatchObject([{ val: true, seq: 1, last_change: clock.unix(), source_time: clock.unix() }]);
    hardware.set('door', true);
    await clock.advance(0);
    expect(take()).toEqual([]);
  });

  it('through invert and scale', async () => {
    const { take, hardware, clock } = await pinBench([
      pinSpec({ name: 'in', invert: true }),
      pinSpec({ name: 'level', kind: 'analog', scale: 0.1, offset: -40 }),
    ]);
    expect(take()).toMatchObject([
      { pin_name: 'in', val: true },
      { pin_name: 'level', val: -40 },
    ]);
    hardware.set('level', 617);
    await clock.advance(0);
    expect(take()).toMatchObject([{ val: 21.7 }]);
  });

  it('an analog change only when it reaches the deadband, measured from the last report', async () => {
    const { take, hardware, clock } = await pinBench([temp]);
    take();
    for (const value of [0.2, 0.4, 0.6, 0.9, 1.2]) {
      hardware.set('temp', value);
      await clock.advance(0);
    }
    expect(take().map(({ val }) => val)).toEqual([0.6, 1.2]);
  });

  it('bad quality with the reason when a reading fails, keeps the last value, and heals', async () => {
    const { take, hardware, clock } = await pinBench([door, lamp]);
    take();
    hardware.fault('door', { kind: 'error', message: 'sensor says 0xFF' });
    await clock.advance(0);
    expect(take()).toMatchObject([
      { pin_name: 'door', val: false, quality: 'bad', reason: expect.stringContaining('sensor says 0xFF') },
    ]);
    hardware.fault('door', undefined);
    await clock.advance(0);
    const [healed] = take();
    expect(healed).toMatchObject({ pin_name: 'door', quality: 'good' });
    expect(healed).not.toHaveProperty('reason');
  });

  it('on request: all pins, or the named one with reply_to', async () => {
    const { take, user, clock } = await pinBench([door, lamp]);
    take();
    user.send({ UpdateIoMessage: {} });
    await clock.advance(0);
    expect(take().map(({ pin_name }) => pin_name)).toEqual(['door', 'lamp']);
    const { msg_id } = user.send({ UpdateIoMessage: { pin_name: 'lamp' } });
    await clock.advance(0);
    expect(take()).toMatchObject([{ pin_name: 'lamp', reply_to: msg_id }]);
  });
});

describe('a command gets exactly one answer', () => {
  it('the report of the value as written', async () => {
    const { command, hardware } = await pinBench([lamp]);
    const { answers, all } = await command('lamp', true);
    expect(answers).toMatchObject([{ subject: 'IoMessage', pin_name: 'lamp', val: true, quality: 'good' }]);
    expect(all).toHaveLength(1);
    expect(hardware.get('lamp')).toBe(true);
  });

  it.each([
    ['on', true],
    ['off', false],
    [1, true],
    ['0', false],
    ['TRUE', true],
  ])('%j is understood by a digital pin', async (asked, level) => {
    const { command, hardware } = await pinBench([lamp]);
    expect((await command('lamp', asked)).answers).toMatchObject([{ val: level }]);
    expect(hardware.writes.at(-1)).toMatchObject({ key: 'lamp', value: level });
  });

  it.each([
    ['lamp', 'banana', 'BAD_VALUE'],
    ['lamp', 2, 'BAD_VALUE'],
    ['speed', 51, 'OUT_OF_RANGE'],
    ['speed', -0.1, 'OUT_OF_RANGE'],
    ['speed', 'fast', 'BAD_VALUE'],
    ['speed', true, 'BAD_VALUE'],
    ['speed', '', 'BAD_VALUE'],
    ['door', true, 'READ_ONLY'],
    ['lamp', null, 'BAD_COMMAND'],
    ['lamp', { on: 1 }, 'BAD_COMMAND'],
  ])('%s = %j is refused with %s and changes nothing', async (pin, val, code) => {
    const { command, hardware } = await pinBench([lamp, speed, door]);
    const writes = hardware.writes.length;
    const { answers, all } = await command(pin, val);
    expect(answers).toMatchObject([{ subject: 'IoErrorMessage', pin_name: pin, code, message: expect.any(String) }]);
    expect(all).toHaveLength(1);
    expect(hardware.writes).toHaveLength(writes);
  });

  it.each([
    ['ttl', 'soon'],
    ['hold', -1],
    ['pulse', 'x'],
  ])('a wrong %s refuses the whole command', async (key, value) => {
    const { command, hardware } = await pinBench([lamp]);
    const { answers } = await command('lamp', true, { [key]: value });
    expect(answers).toMatchObject([{ code: 'BAD_COMMAND' }]);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('a pulse or a lease that the pin cannot do has no effect', async () => {
    const { command, hardware } = await pinBench([lamp, speed, pinSpec({ name: 'bare', direction: 'out' })]);
    expect((await command('speed', 5, { pulse: 1 })).answers).toMatchObject([{ code: 'NOT_SUPPORTED' }]);
    expect((await command('bare', true, { hold: 1 })).answers).toMatchObject([{ code: 'NOT_SUPPORTED' }]);
    expect((await command('lamp', true, { hold: 1, pulse: 1 })).answers).toMatchObject([{ code: 'BAD_COMMAND' }]);
    expect(hardware.writes).toHaveLength(1);
  });

  it('a command that waited longer than its ttl is not carried out', async () => {
    const { command, user, hardware, clock, take } = await pinBench([lamp], { latency: '300ms' });
    await clock.advance(1000);
    user.send({ IoMessage: { pin_name: 'lamp', val: false } });
    const late = command('lamp', true, { ttl: 0.2 }, 1000);
    expect((await late).answers).toMatchObject([{ code: 'EXPIRED' }]);
    expect(hardware.writes.filter(({ value }) => value === true)).toEqual([]);
    expect(take()).toEqual([]);
  });

  it('what was written, even when it differs from the last value by less than the deadband', async () => {
    const { command } = await pinBench([{ ...speed, deadband: 5 }]);
    await command('speed', 20);
    expect((await command('speed', 21)).answers).toMatchObject([{ val: 21 }]);
  });

  it('an error when the port is down, at once, and nothing is carried out later', async () => {
    const { command, hardware, clock } = await pinBench([lamp]);
    hardware.unplug('cable torn');
    await clock.advance(0);
    const { answers } = await command('lamp', true);
    expect(answers).toMatchObject([{ code: 'PORT_DOWN', message: 'cable torn' }]);
    hardware.plug();
    await clock.advance(10_000);
    expect(hardware.writes.filter(({ value }) => value === true)).toEqual([]);
  });

  it('TIMEOUT when the hardware does not confirm, and the pin is uncertain until it is read', async () => {
    const { command, hardware } = await pinBench([lamp], { timeout: '500ms' });
    const silent = { kind: 'timeout' } as const;
    hardware.fault('lamp', silent);
    hardware.fault('lamp', undefined);
    const pending = command('lamp', true, {}, 1000);
    hardware.fault('lamp', silent);
    const { answers } = await pending;
    expect(answers).toMatchObject([{ subject: 'IoErrorMessage', code: 'TIMEOUT' }]);
  });

  it('a report of the same name is no command: an output never acts on it', async () => {
    const { command, hardware, log } = await pinBench([lamp]);
    const { all } = await command('lamp', true, { last_change: 1 });
    expect(all).toEqual([]);
    expect(hardware.get('lamp')).toBe(false);
    expect(log.lines.some(({ message }) => message.includes('another node'))).toBe(true);
  });
});

describe('an output', () => {
  it('gets its initial value as the port opens, through invert', async () => {
    const { hardware, take } = await pinBench([relay]);
    expect(hardware.writes).toMatchObject([{ key: 'relay', value: true }]);
    expect(take()).toMatchObject([{ pin_name: 'relay', val: false }]);
  });

  it('goes to its safe value at stop, through invert, and nothing overrules it', async () => {
    const { command, hardware, supervisor, user, clock } = await pinBench([relay]);
    await command('relay', true);
    expect(hardware.get('relay')).toBe(false);
    const stopped = supervisor.stop();
    user.send({ IoMessage: { pin_name: 'relay', val: true } });
    await clock.advance(0);
    await stopped;
    expect(hardware.get('relay')).toBe(true);
  });

  it('is not driven after the stop when its exit policy is input, and its last report says so', async () => {
    const { command, hardware, supervisor, take } = await pinBench([{ ...lamp, safe: false, onExit: 'input' }]);
    await command('lamp', true);
    await supervisor.stop();
    expect([hardware.floating.has('lamp'), hardware.writes.at(-1)?.value]).toEqual([true, true]);
    expect(take().at(-1)).toMatchObject({ quality: 'bad', reason: expect.stringContaining('driven by nobody') });
  });

  it('holds its value at stop when its exit policy says so', async () => {
    const { command, hardware, supervisor } = await pinBench([{ ...lamp, onExit: 'hold' }]);
    await command('lamp', true);
    await supervisor.stop();
    expect(hardware.get('lamp')).toBe(true);
  });

  it('with max_silence reports at least that often, and not more often for that', async () => {
    const { hardware, clock, take } = await pinBench([{ ...door, maxSilenceMs: 1000 }]);
    await clock.advance(600);
    take();
    hardware.set('door', true);
    await clock.advance(999);
    expect(take()).toMatchObject([{ val: true }]);
    await clock.advance(2001);
    expect(take()).toMatchObject([{ val: true }, { val: true }, { val: true }]);
  });

  it.each([
    ['hold', undefined],
    ['rewrite', true],
    ['safe', false],
  ] as const)('on_loss: %s, when a lost port comes back', async (onLoss, expected) => {
    const { command, hardware, clock } = await pinBench([{ ...lamp, onLoss }]);
    await command('lamp', true);
    hardware.unplug();
    await clock.advance(150);
    // What is commanded while it is away is refused, and not what it gets afterwards.
    expect((await command('lamp', false)).answers).toMatchObject([{ code: 'PORT_DOWN' }]);
    const written = hardware.writes.length;
    hardware.plug();
    await clock.advance(3000);
    expect(hardware.writes.slice(written).map(({ value }) => value)).toEqual(expected === undefined ? [] : [expected]);
  });

  it('goes to its safe value when a lost port comes back', async () => {
    const { command, hardware, clock, take } = await pinBench([lamp, speed]);
    await command('lamp', true);
    await command('speed', 20);
    expect(hardware.get('speed')).toBe(200);
    hardware.unplug();
    await clock.advance(0);
    expect(take()).toMatchObject([{ quality: 'bad' }, { quality: 'bad' }]);
    hardware.plug();
    await clock.advance(200);
    expect([hardware.get('lamp'), hardware.get('speed')]).toEqual([false, 0]);
    expect(take()).toMatchObject([
      { pin_name: 'lamp', val: false, quality: 'good' },
      { pin_name: 'speed', val: 0, quality: 'good' },
    ]);
  });

  it('follows another pin, and not while that one is bad', async () => {
    const follower = pinSpec({
      name: 'follower',
      direction: 'out',
      invert: true,
      rules: { follow: { pin: 'door', invert: false, delayMs: 0 } },
    });
    const { hardware, clock } = await pinBench([door, follower]);
    hardware.set('door', true);
    await clock.advance(0);
    expect(hardware.get('follower')).toBe(false);
    hardware.set('door', false);
    await clock.advance(0);
    expect(hardware.get('follower')).toBe(true);
    const writes = hardware.writes.length;
    hardware.fault('door', { kind: 'error', message: 'broken' });
    await clock.advance(0);
    expect(hardware.writes).toHaveLength(writes);
  });
});

describe('a pulse', () => {
  it('ends at its time and says so', async () => {
    const { command, hardware, clock, take } = await pinBench([relay]);
    expect((await command('relay', true, { pulse: 0.2 })).answers).toMatchObject([{ val: true }]);
    await clock.advance(199);
    expect(take()).toEqual([]);
    await clock.advance(1);
    expect(take()).toMatchObject([{ pin_name: 'relay', val: false }]);
    expect(hardware.get('relay')).toBe(true);
    await clock.advance(10_000);
    expect(take()).toEqual([]);
  });

  it('is replaced cleanly by the next command, whether pulse or not', async () => {
    const { command, hardware, clock } = await pinBench([lamp]);
    await command('lamp', true, { pulse: 0.2 });
    await clock.advance(100);
    await command('lamp', true, { pulse: 0.5 });
    await clock.advance(499);
    expect(hardware.get('lamp')).toBe(true);
    await clock.advance(1);
    expect(hardware.get('lamp')).toBe(false);
    await command('lamp', true, { pulse: 0.2 });
    await command('lamp', true);
    await clock.advance(1000);
    expect(hardware.get('lamp')).toBe(true);
  });

  it('ends although a command in between was refused, or the hardware refuses at first', async () => {
    const { command, hardware, clock } = await pinBench([lamp]);
    await command('lamp', true, { pulse: 0.2 });
    await command('lamp', 'banana');
    hardware.fault('lamp', { kind: 'error', message: 'stuck' });
    await clock.advance(500);
    expect(hardware.get('lamp')).toBe(true);
    hardware.fault('lamp', undefined);
    await clock.advance(500);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('ends although its beginning was not confirmed: it may have taken effect', async () => {
    const { command, hardware, clock } = await pinBench([lamp], { timeout: '100ms' });
    hardware.fault('lamp', { kind: 'timeout' });
    expect((await command('lamp', true, { pulse: 0.5 }, 200)).answers).toMatchObject([{ code: 'TIMEOUT' }]);
    hardware.fault('lamp', undefined);
    hardware.set('lamp', true);
    await clock.advance(1000);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('ends when the agent stops, also for an output that else holds its value', async () => {
    const { command, hardware, supervisor, clock } = await pinBench([{ ...lamp, onExit: 'hold' }]);
    await command('lamp', true, { pulse: 60 });
    const stopped = supervisor.stop();
    await clock.advance(0);
    await stopped;
    expect(hardware.get('lamp')).toBe(false);
  });
});

describe('a lease', () => {
  it('ends at the safe value unless it is renewed', async () => {
    const { command, hardware, clock, take } = await pinBench([speed]);
    for (let second = 0; second < 3; second++) {
      await command('speed', 20, { hold: 2 });
      await clock.advance(1500);
      expect(hardware.get('speed')).toBe(200);
    }
    take();
    await clock.advance(500);
    expect(hardware.get('speed')).toBe(0);
    expect(take()).toMatchObject([{ pin_name: 'speed', val: 0 }]);
  });
});

describe('debounce', () => {
  const button = pinSpec({ name: 'button', debounceMs: 20 });

  it('a bouncing contact gives one report, with the time of the edge that settled', async () => {
    const { hardware, clock, take } = await pinBench([button]);
    take();
    hardware.bounce('button', true, 7, 3, clock);
    await clock.advance(18);
    const edge = clock.unix();
    await clock.advance(60);
    const reports = take();
    expect(reports).toMatchObject([{ val: true }]);
    expect(reports[0]?.['source_time']).toBeCloseTo(edge, 6);
  });

  it('a spike shorter than the debounce time gives no report', async () => {
    const { hardware, clock, take } = await pinBench([button]);
    take();
    hardware.set('button', true);
    await clock.advance(5);
    hardware.set('button', false);
    await clock.advance(100);
    expect(take()).toEqual([]);
  });

  it('always ends with a read of the settled level, even when the last edge was lost', async () => {
    const { hardware, clock, take, runner } = await pinBench([button]);
    take();
    hardware.set('button', true);
    // The level changes and nobody is told: what a coalescing kernel interface does.
    hardware.get = () => false;
    await clock.advance(100);
    expect(take()).toEqual([]);
    expect(runner.state).toBe('open');
  });
});
