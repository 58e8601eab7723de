import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gpio } from '../../../drivers/gpio/driver.ts';
import { pwm } from '../../../drivers/pwm/driver.ts';
import { systemClock } from '../../../src/clock/clock.ts';
import { loadConfigText } from '../../../src/config/load.ts';
import type { Channel, Port } from '../../../src/driver/contract.ts';
import { conformance } from '../../../src/testing/conformance.ts';
import { machine } from '../../config/fakes.ts';
import { memoryLog, openPort, type PinKeys } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';
import { asUser, channelAt, GUEST_PATIENCE_MS, outcome } from './contract.ts';
import { gpiod, SimChip } from './sim-chip.ts';

/** The rig's own PWM chip, by the name of its device. */
const chip = 'pwm-sim';
const file = (channel: number, name: string) => `/sys/class/pwm/pwmchip0/pwm${channel}/${name}`;
const state = (channel: number) =>
  ['period', 'duty_cycle', 'enable'].map((name) => Number(readFileSync(file(channel, name), 'utf8')));
const output = (channel: number, start?: number, frequency = 1000): PinKeys => ({
  keys: { pwm: channel, frequency },
  direction: 'out',
  ...(start !== undefined && { start }),
});

conformance('pwm, the kernel’s', {
  driver: pwm,
  options: () => ({ chip }),
  output: {
    keys: { pwm: 0 },
    values: [0.25, 1],
    wrong: 'much',
    observe: async () => {
      const [period = 0, duty = 0] = state(0);
      return duty / period;
    },
  },
  patienceMs: GUEST_PATIENCE_MS,
});

/** A board whose P0 and P1 are lines of a simulated chip; the device tree says that the PWM comes out at P0. */
function boardWithPwm(chipLabel: string) {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-boards-'));
  mkdirSync(join(folder, 'pwm-lines'));
  const gpioChip = `{ label: ${chipLabel}, lines: 8, names: [{ from: 0, to: 7, as: [P#] }] }`;
  writeFileSync(
    join(folder, 'rig.yaml'),
    `title: rig\nmodels: [Rig]\nchips: { gpio: ${gpioChip} }\npwm: { lines: rig, chip: ${chip} }\n`,
  );
  const line = (channel: number) => `{ channel: ${channel}, function: 2, enable: "the overlay of P${channel}" }`;
  writeFileSync(join(folder, 'pwm-lines/rig.yaml'), `title: rig\nlines: { P0: ${line(0)}, P1: ${line(1)} }\n`);
  const cell = (number: number) => Buffer.from([0, 0, 0, number]);
  const tree = new Map([
    ['__symbols__/pwm', Buffer.from('/pwm\0')],
    ['__symbols__/gpio', Buffer.from('/gpio\0')],
    ['pwm/pinctrl-0', cell(7)],
    ['gpio/pwm_pins/phandle', cell(7)],
    ['gpio/pwm_pins/brcm,pins', cell(0)],
    ['gpio/pwm_pins/brcm,function', cell(2)],
  ]);
  const contents = new Map([...tree].map(([path, bytes]) => [`/proc/device-tree/${path}`, bytes]));
  return { dataFolder: folder, machine: machine({ model: 'Rig', contents }) };
}

describe('pwm: on a GPIO line', () => {
  it('is the kernel’s where the PWM comes out at the line, and software PWM elsewhere', async () => {
    const sim = new SimChip('pwm-lines', 8);
    const context = { drivers: [pwm, gpio], ...boardWithPwm(sim.label) };
    const text =
      'pins:\n  fan: { gpio: P0, direction: out, pwm: 1000, safe: 0 }\n  heater: { gpio: P1, direction: out, pwm: 10, safe: 0 }\n';
    const loaded = loadConfigText(text, 'dcs-io.yaml', context);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    expect(loaded.config.warnings.map(({ key, expected }) => `${key}: ${expected}`)).toEqual([
      'pins.heater.pwm: the overlay of P1, and a restart of the computer',
    ]);
    const said: string[] = [];
    const opened: Port[] = [];
    const log = memoryLog();
    for (const { name, driver, options } of loaded.config.ports) {
      const channels = loaded.config.pins.flatMap(({ port, key, address, spec }): Channel[] =>
        port === name ? [{ key, kind: spec.kind, direction: 'out', address, debounceMs: 0, openingValue: 0.25 }] : [],
      );
      const found = await driver.open(options, channels, {
        clock: systemClock,
        log,
        down() {},
        count() {},
        changed() {},
      });
      if (found.kind === 'skipped') throw new Error(found.reason);
      opened.push(found.port);
      said.push(`${name}: ${channels.map(({ key }) => key)}`);
    }
    expect(said).toEqual([`pwm.${chip}: pwm 0`, `gpio.${sim.label}: line 1 pwm`]);
    expect(state(0)).toEqual([1_000_000, 250_000, 1]);
    const levels = new Set<boolean>();
    await until('the heater to be on and off', () => levels.add(sim.level(1)).size === 2);
    expect(log.lines.map(({ message }) => message)).toEqual([
      'pwm 0 of pwmchip0: by the kernel, 1000 Hz',
      expect.stringContaining('gpio pwm-lines'),
      'line 1 pwm: software PWM, 10 Hz, each edge up to some 2 ms late',
    ]);
    // The kernel's line is not taken as GPIO: that would cut it off from its PWM.
    expect(gpiod('gpioinfo', sim.device)).toMatch(/line +0: .*unused/);
    for (const port of opened) await port.close();
    sim.remove();
  });
});

describe('pwm by /sys/class/pwm of a real kernel', () => {
  it('sets period, duty cycle and enable, and goes on when the port closes', async () => {
    const made = await openPort(pwm, { chip }, [output(1, 0.5, 2000)]);
    expect(state(1)).toEqual([500_000, 250_000, 1]);
    expect(await made.port.write(channelAt(made, 0), 0.1)).toEqual({ readBack: 0.1 });
    expect(state(1)).toEqual([500_000, 50_000, 1]);
    await made.port.close();
    expect(state(1)).toEqual([500_000, 50_000, 1]);
  });

  it('sets a shorter and a longer period in the order that the kernel requires', async () => {
    for (const [frequency, expected] of [
      [100, [10_000_000, 9_000_000, 1]],
      [5000, [200_000, 180_000, 1]],
      [50, [20_000_000, 18_000_000, 1]],
    ] as const) {
      const made = await openPort(pwm, { chip: 'pwmchip0' }, [output(1, 0.9, frequency)]);
      expect(outcome(await made.port.read(made.channels))).toEqual([0.9]);
      expect(state(1)).toEqual(expected);
      await made.port.close();
    }
  });

  it('on is on, also on a channel that was left inverted', async () => {
    const before = await openPort(pwm, { chip }, [output(1, 0.25)]);
    await before.port.close();
    writeFileSync(file(1, 'enable'), '0');
    writeFileSync(file(1, 'polarity'), 'inversed');
    writeFileSync(file(1, 'enable'), '1');
    const made = await openPort(pwm, { chip }, [output(1)]);
    expect(outcome(await made.port.read(made.channels))).toEqual([0.75]);
    expect(await made.port.write(channelAt(made, 0), 0.25)).toEqual({ readBack: 0.25 });
    expect([readFileSync(file(1, 'polarity'), 'utf8').trim(), state(1)]).toEqual(['normal', [1_000_000, 250_000, 1]]);
    await made.port.close();
  });

  it('reports a refusal of the kernel on that pin only', async () => {
    const made = await openPort(pwm, { chip }, [output(0, 0.5, 0.5), output(1, 0.5), output(2, 0.5)]);
    expect(outcome(await made.port.read(made.channels))).toEqual(['DEVICE_REFUSED', 0.5, 'NO_SUCH_CHANNEL']);
    await made.port.close();
  });

  it('reports when this user has no right to use it', async () => {
    const made = await openPort(pwm, { chip }, [output(1, 0.5)]);
    for (const name of ['period', 'duty_cycle', 'enable']) chmodSync(file(1, name), 0o644);
    await asUser([], async () => {
      await expect(made.port.write(channelAt(made, 0), 0.3)).rejects.toMatchObject({
        code: 'NO_PERMISSION',
        expected: expect.stringContaining('group'),
      });
    });
    expect(state(1)).toEqual([1_000_000, 500_000, 1]);
    await made.port.close();
  });
});
