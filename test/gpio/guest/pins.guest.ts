import { afterEach, describe, expect, it } from 'vitest';
import { gpio } from '../../../drivers/gpio/driver.ts';
import { Actor } from '../../../src/bus/actor.ts';
import { Bus } from '../../../src/bus/bus.ts';
import { Supervisor } from '../../../src/bus/supervisor.ts';
import { systemClock } from '../../../src/clock/clock.ts';
import type { Channel } from '../../../src/driver/driver.ts';
import { PinActor } from '../../../src/io/pin-actor.ts';
import { PortRunner } from '../../../src/io/port-runner.ts';
import type { PinSpec } from '../../../src/pin/pin.ts';
import { pinSpec } from '../../support/pin-bench.ts';
import { memoryLog } from '../../support/ports.ts';
import { bench } from './contract.ts';
import { drivingCalls } from './sim-chip.ts';

const on = bench('chardev', 'pins-sim');

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** Outputs of the chip as pins on a bus, as the agent makes them. */
async function pinsOnBus(backend: 'chardev' | 'onoff', lines: readonly (Partial<PinSpec> & { line: number })[]) {
  const bus = new Bus({ clock: systemClock });
  const log = memoryLog();
  const life = { clock: systemClock, log };
  const pins = lines.map(({ line, ...keys }) => {
    const spec = pinSpec({ name: `line${line}`, direction: 'out', initial: false, ...keys });
    const address = gpio.pin.parse({ gpio: line });
    const base = { kind: spec.kind, direction: spec.direction, address, debounceMs: 0 };
    const channel: Channel = { key: `line ${line}`, ...base };
    return { spec, channel };
  });
  const options = gpio.options.parse({ chip: on.chip.label, backend });
  const plans = pins.map(({ channel, spec }) => ({ channel, startAt: () => spec.initial }));
  const runner = new PortRunner('sim', gpio, options, plans, life);
  const supervisor = new Supervisor(bus, log);
  for (const { spec, channel } of pins) {
    await supervisor.add(spec.name, () => new PinActor(spec, runner.handle(channel), log));
  }
  await runner.start();
  const user = new Actor('user');
  bus.join(user);
  const stop = async () => {
    await supervisor.stop();
    await runner.stop();
    bus.close();
  };
  ends.push(stop);
  return { user, stop, supervisor };
}

describe('pins of a gpio port', () => {
  it('that are commanded in one go change in one system call, and answer one by one', async () => {
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
});
