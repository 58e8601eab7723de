import { chmodSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { pwm } from '../../../drivers/pwm/driver.ts';
import { conformance } from '../../conformance/suite.ts';
import { openPort, type PinText } from '../../support/ports.ts';
import { asUser, channelAt, outcome } from './contract.ts';

/** The rig's own PWM chip, by the name of its device. */
const chip = 'pwm-sim';
const file = (channel: number, name: string) => `/sys/class/pwm/pwmchip0/pwm${channel}/${name}`;
const state = (channel: number) =>
  ['period', 'duty_cycle', 'enable'].map((name) => Number(readFileSync(file(channel, name), 'utf8')));
const output = (channel: number, start?: number, frequency = 1000): PinText => ({
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
  patienceMs: 4000,
});

describe('pwm by /sys/class/pwm of a real kernel', () => {
  it('drives period, duty and enable, and goes on when the port closes', async () => {
    const made = await openPort(pwm, { chip }, [output(1, 0.5, 2000)]);
    expect(state(1)).toEqual([500_000, 250_000, 1]);
    expect(await made.port.write(channelAt(made, 0), 0.1)).toEqual({ readBack: 0.1 });
    expect(state(1)).toEqual([500_000, 50_000, 1]);
    await made.port.close();
    expect(state(1)).toEqual([500_000, 50_000, 1]);
  });

  it('goes to a shorter and to a longer period, in the only order the kernel takes', async () => {
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

  it('says what the kernel refuses, on that pin only', async () => {
    const made = await openPort(pwm, { chip }, [output(0, 0.5, 0.5), output(1, 0.5), output(2, 0.5)]);
    expect(outcome(await made.port.read(made.channels))).toEqual(['DEVICE_REFUSED', 0.5, 'NO_SUCH_CHANNEL']);
    await made.port.close();
  });

  it('says so when this user may not use it', async () => {
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
