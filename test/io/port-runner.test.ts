import { describe, expect, it } from 'vitest';
import { serial } from '../../drivers/serial/driver.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Channel, Driver, OpenResult, Port, PortContext } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { PortRunner } from '../../src/io/port-runner.ts';
import { pinBench, pinSpec } from '../support/pin-bench.ts';
import { memoryLog } from '../support/ports.ts';

const door = pinSpec({ name: 'door' });

describe('port runner', () => {
  it('opens a lost port anew with backoff 100 ms doubling to 3 s, and says so once a reason', async () => {
    const { hardware, clock, runner, log } = await pinBench([door]);
    hardware.unplug('gone');
    const states: string[] = [];
    for (let step = 0; step < 100; step++) {
      await clock.advance(100);
      states.push(runner.state);
    }
    expect(new Set(states)).toEqual(new Set(['down']));
    expect(log.lines.filter(({ message }) => message.includes('gone'))).toHaveLength(1);
    hardware.plug();
    await clock.advance(3000);
    expect(runner.state).toBe('open');
  });

  it('tries at least as often as the driver says: a serial adapter recovers within 2 s, however long it was unplugged', async () => {
    const clock = new ManualClock();
    const tries: number[] = [];
    const { runner } = fakeRunner(
      clock,
      async () => {
        tries.push(clock.now());
        throw new DcsError('PORT_DOWN', 'not plugged in');
      },
      serial.reopenMs,
    );
    await runner.start();
    await clock.advance(60_000);
    const pauses = tries.slice(1).map((at, index) => at - (tries[index] ?? 0));
    expect(Math.max(...pauses)).toBe(1000);
    await runner.stop();
  });

  it('skips hardware that this machine does not have, and tells its pins why', async () => {
    const clock = new ManualClock();
    const { runner, readings } = fakeRunner(clock, async () => ({ kind: 'skipped', reason: 'no such chip here' }));
    await runner.start();
    expect(runner.state).toBe('skipped');
    expect(readings).toMatchObject([{ ok: false, error: { code: 'PORT_SKIPPED' } }]);
    await clock.advance(60_000);
    expect(runner.state).toBe('skipped');
    await expect(runner.handle(channel).write(true)).rejects.toMatchObject({ code: 'PORT_SKIPPED' });
  });

  it('tries again after a driver threw something that is no DcsError', async () => {
    const clock = new ManualClock();
    let tries = 0;
    const { runner } = fakeRunner(clock, async () => {
      tries++;
      throw new TypeError('undefined is not a function');
    });
    await runner.start();
    expect(runner.state).toBe('down');
    expect(runner.reason).toMatchObject({ code: 'INTERNAL' });
    await clock.advance(100);
    expect(tries).toBe(2);
  });

  it('gives up a driver that keeps failing with a defect, tells its pins, and refuses commands', async () => {
    const clock = new ManualClock();
    let tries = 0;
    const { runner, readings } = fakeRunner(clock, async () => {
      tries++;
      throw new TypeError('undefined is not a function');
    });
    await runner.start();
    await clock.advance(600_000);
    expect([tries, runner.state]).toEqual([10, 'failed']);
    expect(readings.at(-1)).toMatchObject({ ok: false, error: { code: 'FAILED' } });
    await expect(runner.handle(channel).write(true)).rejects.toMatchObject({ code: 'FAILED' });
  });

  it('tries an unstable port less and less often, until it has been stable for a while', async () => {
    const { hardware, clock, runner } = await pinBench([door]);
    const outage = async () => {
      hardware.unplug();
      const from = clock.now();
      hardware.plug();
      while (runner.state !== 'open') await clock.advance(50);
      return clock.now() - from;
    };
    const pauses: number[] = [];
    for (let time = 0; time < 7; time++) pauses.push(await outage());
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3000, 3000]);
    await clock.advance(10_000);
    expect(await outage()).toBe(100);
  });

  it('a port that goes down while it opens is closed and tried again', async () => {
    const clock = new ManualClock();
    let closed = 0;
    const port = deadPort(() => closed++);
    const { runner } = fakeRunner(clock, async (context) => {
      context.down(new DcsError('PORT_DOWN', 'went away'));
      return { kind: 'port', port };
    });
    await runner.start();
    expect(runner.state).toBe('down');
    expect(closed).toBe(1);
  });

  it('ignores what a port tells after it went down', async () => {
    const clock = new ManualClock();
    const contexts: PortContext[] = [];
    const { runner, readings } = fakeRunner(clock, async (context) => {
      contexts.push(context);
      if (contexts.length > 1) throw new DcsError('PORT_DOWN', 'still away');
      return { kind: 'port', port: deadPort(() => {}) };
    });
    await runner.start();
    contexts[0]?.changed(channel, { ok: true, value: true });
    contexts[0]?.down(new DcsError('PORT_DOWN', 'went away'));
    contexts[0]?.changed(channel, { ok: true, value: false });
    await clock.advance(100);
    expect(readings).toMatchObject([{ ok: true, value: true }, { ok: false }, { ok: false }]);
  });

  it('passes the last reading at once to a later listener, such as a pin that was restarted', async () => {
    const clock = new ManualClock();
    const { runner } = fakeRunner(clock, async () => ({ kind: 'skipped', reason: 'no such chip here' }));
    await runner.start();
    const late: unknown[] = [];
    runner.handle(channel).listen((reading) => late.push(reading));
    const stop = runner.handle(channel).listen(() => late.push('not any more'));
    stop();
    await clock.advance(0);
    expect(late).toMatchObject([{ ok: false, error: { code: 'PORT_SKIPPED' } }]);
  });

  it('opens a port again only after it has been closed, and waits for that when it stops', async () => {
    const clock = new ManualClock();
    const events: string[] = [];
    const contexts: PortContext[] = [];
    const close = () =>
      new Promise<void>((resolve) => {
        clock.after(300, () => {
          events.push('closed');
          resolve();
        });
      });
    const { runner } = fakeRunner(clock, async (context) => {
      events.push('open');
      contexts.push(context);
      return { kind: 'port', port: { ...deadPort(() => {}), close } };
    });
    await runner.start();
    contexts[0]?.down(new DcsError('PORT_DOWN', 'went away'));
    await clock.advance(1000);
    expect(events).toEqual(['open', 'closed', 'open']);
    contexts[1]?.down(new DcsError('PORT_DOWN', 'went away'));
    const stopped = runner.stop().then(() => events.push('stopped'));
    await clock.advance(1000);
    await stopped;
    expect(events).toEqual(['open', 'closed', 'open', 'closed', 'stopped']);
  });

  it('passes no outdated reading to a later listener', async () => {
    let context: PortContext | undefined;
    const { runner } = fakeRunner(new ManualClock(), async (given) => {
      context = given;
      return { kind: 'port', port: deadPort(() => {}) };
    });
    await runner.start();
    context?.changed(channel, { ok: true, value: true });
    const late: unknown[] = [];
    runner.handle(channel).listen((reading) => late.push(reading));
    context?.changed(channel, { ok: true, value: false });
    await Promise.resolve();
    expect(late.at(-1)).toEqual({ ok: true, value: false });
  });

  it('stops in bounded time although the port does not close', async () => {
    const clock = new ManualClock();
    const port: Port = { ...deadPort(() => {}), close: () => new Promise(() => {}) };
    const { runner } = fakeRunner(clock, async () => ({ kind: 'port', port }));
    await runner.start();
    let stopped = false;
    void runner.stop().then(() => {
      stopped = true;
    });
    await clock.advance(400);
    expect(stopped).toBe(true);
  });

  it('a port that opens after the stop is closed at once', async () => {
    const clock = new ManualClock();
    let closed = 0;
    let finish: (opened: OpenResult) => void = () => {};
    const { runner } = fakeRunner(clock, () => new Promise((resolve) => (finish = resolve)));
    const starting = runner.start();
    await runner.stop();
    finish({ kind: 'port', port: deadPort(() => closed++) });
    await starting;
    expect([closed, runner.state]).toEqual([1, 'stopped']);
  });
});

describe('writes of one moment', () => {
  const write = (runner: PortRunner, value: boolean) => runner.handle(channel).write(value);

  async function open(writeAll: NonNullable<Port['writeAll']>) {
    const alone: unknown[] = [];
    const port: Port = {
      ...deadPort(() => {}),
      write: async (_channel, value) => {
        alone.push(value);
        if (value === 'bad') throw new DcsError('BAD_VALUE', 'bad');
        return { readBack: value };
      },
      writeAll,
    };
    const { runner } = fakeRunner(new ManualClock(), async () => ({ kind: 'port', port }));
    await runner.start();
    return { runner, alone };
  }

  it('go to the hardware in one step, in order; later ones do not', async () => {
    const steps: unknown[][] = [];
    const { runner, alone } = await open(async (set) => {
      steps.push(set.map(({ value }) => value));
      return set.map(({ value }) => ({ readBack: value }));
    });
    const both = await Promise.all([write(runner, true), write(runner, false)]);
    expect(both).toEqual([{ readBack: true }, { readBack: false }]);
    await write(runner, true);
    expect([steps, alone]).toEqual([[[true, false]], [true]]);
  });

  it('are tried one by one when they are refused together, so that only the wrong one fails', async () => {
    const { runner, alone } = await open(async () => {
      throw new DcsError('BAD_VALUE', 'one of them');
    });
    const handle = runner.handle(channel);
    const came = await Promise.allSettled([handle.write('bad'), handle.write(true)]);
    expect(came).toMatchObject([{ reason: { code: 'BAD_VALUE' } }, { value: { readBack: true } }]);
    expect(alone).toEqual(['bad', true]);
  });

  it('are not sent again when it is unknown whether they arrived', async () => {
    const { runner, alone } = await open(async () => {
      throw new DcsError('TIMEOUT', 'no answer');
    });
    const came = await Promise.allSettled([write(runner, true), write(runner, false)]);
    expect(came).toMatchObject([{ reason: { code: 'TIMEOUT' } }, { reason: { code: 'TIMEOUT' } }]);
    expect(alone).toEqual([]);
  });

  it('passes readings from during the opening on once the port is open, and none after it went down', async () => {
    const clock = new ManualClock();
    let given: PortContext | undefined;
    const { runner, readings } = fakeRunner(clock, async (context) => {
      given ??= context;
      given.changed(channel, { ok: true, value: false });
      given.changed(channel, { ok: true, value: true });
      expect(runner.state).toBe('opening');
      return { kind: 'port', port: deadPort(() => {}) };
    });
    await runner.start();
    expect(readings).toEqual([{ ok: true, value: true }]);
    given?.changed(channel, { ok: true, value: false });
    expect(readings.at(-1)).toEqual({ ok: true, value: false });
    given?.down(new DcsError('PORT_DOWN', 'unplugged'));
    given?.changed(channel, { ok: true, value: true });
    expect(readings.at(-1)).toMatchObject({ ok: false, error: { code: 'PORT_DOWN' } });
    await runner.stop();
  });

  it('answers a write and does not tell it; a pin that is restarted begins with the written value', async () => {
    const { runner, readings } = fakeRunner(new ManualClock(), async (context) => {
      context.changed(channel, { ok: true, value: false });
      return { kind: 'port', port: { ...deadPort(() => {}), write: async () => ({ readBack: true }) } };
    });
    await runner.start();
    expect(await runner.handle(channel).write(true)).toEqual({ readBack: true });
    expect(readings).toEqual([{ ok: true, value: false }]);
    const later: unknown[] = [];
    runner.handle(channel).listen((reading) => later.push(reading));
    await Promise.resolve();
    expect(later).toEqual([{ ok: true, value: true }]);
    await runner.stop();
  });
});

const channel: Channel = { key: 'c', kind: 'digital', direction: 'out', address: {}, debounceMs: 0 };

function deadPort(onClose: () => void): Port {
  return {
    read: async () => [],
    write: async () => ({}),
    close: async () => onClose(),
  };
}

function fakeRunner(clock: ManualClock, open: (context: PortContext) => Promise<OpenResult>, reopenMs?: number) {
  const driver = {
    name: 'fake',
    ...(reopenMs !== undefined && { reopenMs }),
    open: (_options: unknown, _channels: unknown, context: PortContext) => open(context),
  };
  const readings: unknown[] = [];
  const runner = new PortRunner('p', fake(driver), {}, [{ channel, openingValue: () => undefined }], {
    clock,
    log: memoryLog(),
  });
  runner.handle(channel).listen((reading) => readings.push(reading));
  return { runner, readings };
}

function fake(part: Pick<Driver, 'name' | 'open' | 'reopenMs'>): Driver {
  const nothing = () => {
    throw new Error('not for this test');
  };
  return {
    ...part,
    contract: 1,
    summary: '',
    get options(): Driver['options'] {
      return nothing();
    },
    get pin(): Driver['pin'] {
      return nothing();
    },
    describe: nothing,
  };
}
