import { afterEach, describe, expect, it } from 'vitest';
import { gpio } from '../../../drivers/gpio/driver.ts';
import { Actor } from '../../../src/bus/actor.ts';
import { Bus } from '../../../src/bus/bus.ts';
import { Supervisor } from '../../../src/bus/supervisor.ts';
import { systemClock } from '../../../src/clock/clock.ts';
import type { Channel } from '../../../src/driver/contract.ts';
import { createPin, openingValue } from '../../../src/io/create-pin.ts';
import { PortRunner } from '../../../src/io/port-runner.ts';
import type { PinSpec, RawValue } from '../../../src/pin/pin.ts';
import { pinSpec } from '../../support/pin-bench.ts';
import { pinEnvironment } from '../../support/pin-environment.ts';
import { memoryLog, openPort } from '../../support/ports.ts';
import { bench, output, undisturbed } from './contract.ts';
import { drivenEdges, drivingCalls, gpiod } from './sim-chip.ts';

const on = bench('chardev', 'pins-sim');

const info = (offset: number) =>
  gpiod('gpioinfo', on.chip.device)
    .split('\n')
    .find((line) => new RegExp(`line +${offset}:`).test(line)) ?? '';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** Outputs of the chip as pins on a bus, as the agent makes them. */
async function pinsOnBus(backend: 'chardev' | 'onoff', lines: readonly (Partial<PinSpec> & { line: number })[]) {
  const bus = new Bus({ clock: systemClock });
  const log = memoryLog();
  const shared = pinEnvironment(bus, log);
  const pins = lines.map(({ line, ...keys }) => {
    const spec = pinSpec({ name: `line${line}`, direction: 'out', initial: false, ...keys });
    const address = gpio.pin.parse({ gpio: line });
    const base = { kind: spec.kind, direction: spec.direction, address, debounceMs: 0 };
    const channel: Channel = { key: `line ${line}`, ...base };
    return { entry: shared.table.add(spec, { port: 'sim', key: channel.key }, initialOf(spec)), channel };
  });
  const options = gpio.options.parse({ chip: on.chip.label, backend });
  const plans = pins.map(({ channel, entry }) => ({ channel, openingValue: () => openingValue(entry, true) }));
  const runner = new PortRunner('sim', gpio, options, plans, { clock: systemClock, log });
  const supervisor = new Supervisor(bus, log);
  for (const { entry, channel } of pins) {
    await supervisor.add(entry.spec.name, () => createPin(entry, runner.handle(channel), shared));
  }
  await runner.start();
  const user = new Actor('user');
  bus.join(user);
  const stop = async () => {
    await supervisor.stop();
    await runner.stop();
    shared.nodes.close();
    bus.close();
  };
  ends.push(stop);
  return { user, stop, supervisor };
}

function initialOf({ initial }: PinSpec): RawValue | undefined {
  return typeof initial === 'object' ? undefined : initial;
}

describe('pins of a gpio port', () => {
  it('that get their commands together change in one system call, and answer one by one', async () => {
    const { user } = await pinsOnBus('chardev', [{ line: 3 }, { line: 4 }, { line: 5, initial: true }]);
    let answers: unknown[] = [];
    const calls = await drivingCalls(on.chip, async () => {
      const command = (pin_name: string, val: boolean) => user.request({ IoMessage: { pin_name, val } });
      answers = await Promise.all([command('line3', true), command('line4', true), command('line5', false)]);
    });
    expect(calls).toEqual([['3=1', '4=1', '5=0']]);
    expect(answers).toMatchObject([
      { payload: { IoMessage: { pin_name: 'line3', val: true } } },
      { payload: { IoMessage: { pin_name: 'line4', val: true } } },
      { payload: { IoMessage: { pin_name: 'line5', val: false } } },
    ]);
  });

  it.each(['chardev', 'onoff'] as const)(
    'are left as their on_exit says when they stop, the others untouched (%s)',
    async (backend) => {
      const { user, stop } = await pinsOnBus(backend, [
        { line: 3, onExit: 'input' },
        { line: 4, onExit: 'hold' },
        { line: 5, safe: false, onExit: 'safe' },
      ]);
      const command = (pin_name: string) => user.request({ IoMessage: { pin_name, val: true } });
      await Promise.all([command('line3'), command('line4'), command('line5')]);
      expect([3, 4, 5].map((line) => on.chip.level(line))).toEqual([true, true, true]);
      let stopped: string[] = [];
      const reports: unknown[] = [];
      user.onReport('line3', (report) => {
        reports.push(report);
        stopped = [3, 4, 5].map((line) => info(line));
      });
      await stop();
      expect(stopped[0]).toMatch(/"(dcs-io|sysfs)" +input/);
      expect(stopped[1]).toMatch(/"(dcs-io|sysfs)" +output/);
      expect(info(3)).toMatch(/unused +input/);
      expect(info(4)).toMatch(/unused +output/);
      expect(info(5)).toMatch(/unused +output/);
      expect(reports).toMatchObject([{ quality: 'bad', reason: expect.stringContaining('driven by nobody') }]);
    },
  );

  it.each(['chardev', 'onoff'] as const)('that were made inputs are driven again by a write (%s)', async (backend) => {
    const { port, channels } = await openPort(gpio, { chip: on.chip.label, backend }, [
      output(3, true),
      output(4, true),
    ]);
    const [first, second] = channels;
    if (!first || !second || !port.float) throw new Error('no port that can let go');
    await port.float(first);
    expect([info(3), on.chip.level(4)]).toEqual([expect.stringMatching(/ input/), true]);
    await port.write(second, false);
    expect([info(3), on.chip.level(4)]).toEqual([expect.stringMatching(/ input/), false]);
    expect(await port.write(first, true)).toEqual({ readBack: true });
    expect([info(3), on.chip.level(3), on.chip.level(4)]).toEqual([expect.stringMatching(/ output/), true, false]);
    await port.close();
  });

  it('are switched with the frequency and duty cycle of the command, as late as the metric says, and left off', async () => {
    const pin = { keys: { gpio: 6, pwm: 10 }, direction: 'out', start: 0.25 } as const;
    let edges: { level: string; at: number }[] = [];
    let lateMs = Number.NaN;
    // After a standstill of a whole period those missed are not made up for: then there is no one time they are due at.
    await undisturbed(80, async () => {
      edges = await drivenEdges(on.chip, 6, async () => {
        const { port } = await openPort(gpio, { chip: on.chip.label }, [pin]);
        await new Promise((resolve) => setTimeout(resolve, 3000));
        lateMs = port.metrics?.()['pwm_late_max_ms'] ?? Number.NaN;
        await port.close();
      });
      return lateMs;
    });
    expect(edges.at(-1)?.level).toBe('0');
    const switched = edges.slice(
      edges.findIndex(({ level }) => level === '1'),
      -1,
    );
    expect(switched.map(({ level }) => level)).toEqual(switched.map((_, at) => (at % 2 === 0 ? '1' : '0')));
    expect(switched.length).toBeGreaterThan(50);
    const begun = switched[0]?.at ?? 0;
    const offBy = switched.map(({ at }, edge) => at - begun - Math.floor(edge / 2) * 0.1 - (edge % 2) * 0.025);
    process.stdout.write(
      `software PWM: off by ${offBy.map((one) => (one * 1000).toFixed(1)).join(' ')} ms; says ${lateMs} ms\n`,
    );
    // The first one may have been interrupted between its time and the kernel's note of it; so may one in ten of the others.
    const slack = 0.005;
    expect(Math.min(...offBy)).toBeGreaterThan(-lateMs / 1000 - slack);
    const late = offBy.filter((one) => one > lateMs / 1000 + slack);
    expect(late.length, `of ${offBy.length}: ${late}; it says ${lateMs} ms`).toBeLessThan(offBy.length / 10);
  });
});
