import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { gpio } from '../../../drivers/gpio/driver.ts';
import { i2c } from '../../../drivers/i2c/driver.ts';
import { Actor } from '../../../src/bus/actor.ts';
import { Bus } from '../../../src/bus/bus.ts';
import { Supervisor } from '../../../src/bus/supervisor.ts';
import { systemClock } from '../../../src/clock/clock.ts';
import type { Channel, Driver } from '../../../src/driver/contract.ts';
import { PinActor } from '../../../src/io/pin-actor.ts';
import { PortRunner } from '../../../src/io/port-runner.ts';
import { SimChip } from '../../gpio/guest/sim-chip.ts';
import { pinSpec } from '../../support/pin-bench.ts';
import { pinEnvironment } from '../../support/pin-environment.ts';
import { memoryLog } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';

const adapters = '/sys/class/i2c-dev';
const stub = readdirSync(adapters).find((name) => readFileSync(`${adapters}/${name}/name`, 'utf8').includes('stub'));

it('an edge of a real GPIO line makes the agent read the chip on a real bus, long before the next poll', async () => {
  const set = (legs: string) => execFileSync('i2cset', ['-y', stub?.replace('i2c-', '') ?? '', '0x20', '0x13', legs]);
  const line = new SimChip('i2c-int', 4);
  const bus = new Bus({ clock: systemClock });
  const log = memoryLog();
  const life = pinEnvironment(bus, log);
  const supervisor = new Supervisor(bus, log);
  const runners: PortRunner[] = [];
  const add = async (name: string, driver: Driver, text: object, keys: object, more: object) => {
    const options = driver.options.parse(text);
    const address = driver.pin.parse(keys);
    const { key = name, kind } = driver.describe(address, options);
    const channel: Channel = { key, kind, direction: 'in', address, debounceMs: 0 };
    const plan = { channel, openingValue: () => undefined, returnValue: () => undefined };
    const runner = new PortRunner(name, driver, options, [plan], { clock: systemClock, log });
    await supervisor.add(name, () => new PinActor(pinSpec({ name, kind, ...more }), runner.handle(channel), life));
    runners.push(runner);
  };
  const seen: unknown[] = [];
  const user = new Actor('user');
  user.onReport('door', ({ val, quality }) => {
    if (quality === 'good') seen.push(val);
  });
  bus.join(user);
  try {
    set('0x00');
    line.pull(1, true);
    await add('io-int', gpio, { chip: line.label }, { gpio: 1 }, { invert: true });
    const keys = { address: 0x20, register: 0x13, bit: 2, poll: '1h' };
    await add('door', i2c, { bus: `/dev/${stub}` }, keys, { readOn: 'io-int' });
    for (const runner of runners) await runner.start();
    await until('the first value', () => seen.at(-1) === false);
    set('0x04');
    line.pull(1, false);
    await until('the change', () => seen.at(-1) === true);
    expect(seen.filter((value, at) => value !== seen[at - 1])).toEqual([false, true]);
  } finally {
    for (const runner of runners) await runner.stop();
    line.remove();
  }
});
