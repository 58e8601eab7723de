import { describe, expect, it } from 'vitest';
import { createI2c } from '../../drivers/i2c/driver.ts';
import { MockDevice } from '../../drivers/mock/device.ts';
import { createMock } from '../../drivers/mock/driver.ts';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { Supervisor } from '../../src/bus/supervisor.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { Channel, Driver } from '../../src/driver/contract.ts';
import { PinActor } from '../../src/io/pin-actor.ts';
import { PortRunner } from '../../src/io/port-runner.ts';
import { pinSpec } from '../support/pin-bench.ts';
import { pinEnvironment } from '../support/pin-environment.ts';
import { memoryLog } from '../support/ports.ts';
import { SimBus, type SimChip } from './sim-bus.ts';

/** A PCF8574: a change of its legs pulls its interrupt line until they are read. */
class Expander implements SimChip {
  readonly #line: (pulled: boolean) => void;
  #legs = 0xff;
  #latched = 0xff;
  /** Called while the chip is being read, after it has sampled its legs. */
  meanwhile: () => void = () => {};

  constructor(line: (pulled: boolean) => void) {
    this.#line = line;
  }

  set legs(legs: number) {
    this.#legs = legs;
    this.#line(legs !== this.#latched);
  }

  transfer(_write: Uint8Array, length: number): number[] {
    if (length === 0) return [];
    this.#latched = this.#legs;
    this.#line(false);
    this.meanwhile();
    return [this.#latched];
  }
}

async function bench() {
  const clock = new ManualClock();
  const bus = new Bus({ clock });
  const log = memoryLog();
  const hardware = new MockDevice();
  const i2c = new SimBus();
  const chip = new Expander((pulled) => hardware.set('int', pulled));
  i2c.chips.set(0x20, chip);
  const supervisor = new Supervisor(bus, log);
  const life = pinEnvironment(bus, log);
  const runners: PortRunner[] = [];
  const add = async (name: string, driver: Driver, keys: object, more: object) => {
    const options = driver.options.parse(driver.name === 'i2c' ? { bus: 1 } : {});
    const address = driver.pin.parse(keys);
    const { key = name, kind } = driver.describe(address, options);
    const channel: Channel = { key, kind, direction: 'in', address, debounceMs: 0 };
    const plan = { channel, openingValue: () => undefined, returnValue: () => undefined };
    const runner = new PortRunner(name, driver, options, [plan], { clock, log });
    await supervisor.add(name, () => new PinActor(pinSpec({ name, kind, ...more }), runner.handle(channel), life));
    runners.push(runner);
  };
  await add('io-int', createMock(hardware), { channel: 'int' }, {});
  const keys = { address: 0x20, bit: 3, poll: '1h' };
  await add(
    'door',
    createI2c(async () => i2c),
    keys,
    { readOn: 'io-int' },
  );
  const seen: unknown[] = [];
  const user = new Actor('user');
  user.onReport('door', ({ val, quality }) => {
    seen.push(quality === 'good' ? val : quality);
  });
  bus.join(user);
  for (const runner of runners) await runner.start();
  await clock.advance(10);
  return { clock, i2c, chip, seen };
}

describe('interrupt line of a chip', () => {
  it('reads its pins at once, long before the next poll', async () => {
    const { clock, chip, seen } = await bench();
    expect(seen).toEqual([true]);
    chip.legs = 0xf7;
    await clock.advance(5);
    expect(seen).toEqual([true, false]);
    chip.legs = 0xff;
    await clock.advance(5);
    expect(seen).toEqual([true, false, true]);
  });

  it('does not lose a change during the read that it caused', async () => {
    const { clock, chip, seen } = await bench();
    chip.meanwhile = () => {
      chip.meanwhile = () => {};
      chip.legs = 0xff;
    };
    chip.legs = 0xf7;
    await clock.advance(5);
    expect(seen).toEqual([true, false, true]);
  });

  it('makes the pin bad when the chip is absent, and good again with the next interrupt', async () => {
    const { clock, chip, i2c, seen } = await bench();
    i2c.chips.delete(0x20);
    chip.legs = 0xf7;
    // It is asked again after half a second, whatever its poll period is.
    await clock.advance(1100);
    expect(seen).toEqual([true, 'bad']);
    i2c.chips.set(0x20, chip);
    chip.legs = 0xff;
    await clock.advance(5);
    expect(seen).toEqual([true, 'bad', true]);
  });
});
