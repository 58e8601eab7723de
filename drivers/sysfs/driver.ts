import { z } from 'zod';
import type { Driver } from '../../src/driver/contract.ts';
import { durationSchema } from '../../src/driver/kit/schemas.ts';
import { SysfsPort } from './port.ts';

const optionsSchema = z.strictObject({
  root: z.string().min(1).default('/sys').describe('where sysfs is mounted'),
});
export type SysfsOptions = z.infer<typeof optionsSchema>;

const name = z
  .string()
  .min(1)
  .regex(/^[^/\0]+$/, { error: 'a name in sysfs, without /' })
  .refine((text) => text !== '.' && text !== '..', { error: 'a name in sysfs' });

const keys = z.strictObject({
  w1: name.optional().describe('a 1-wire thermometer: 28-0316a4e5c8ff, a folder of /sys/bus/w1/devices'),
  iio: name.optional().describe('a device of the kernel’s industrial I/O: its name (bme280) or iio:device0'),
  channel: name.optional().describe('with iio: in_temp, in_voltage0, in_humidityrelative; out_voltage0 for outputs'),
  led: name.optional().describe('a light of the LED class: a folder of /sys/class/leds'),
  poll: durationSchema.prefault('1s').describe('how often it is read'),
});

export type SysfsAddress =
  | { readonly kind: 'w1'; readonly id: string; readonly poll: number }
  | { readonly kind: 'iio'; readonly device: string; readonly channel: string; readonly poll: number }
  | { readonly kind: 'led'; readonly name: string; readonly poll: number };

const pinSchema = keys.transform(({ w1, iio, channel, led, poll }, context): SysfsAddress => {
  const given = [w1, iio, led].filter((one) => one !== undefined).length;
  if (given === 1 && w1 !== undefined && channel === undefined) return { kind: 'w1', id: w1, poll };
  if (given === 1 && led !== undefined && channel === undefined) return { kind: 'led', name: led, poll };
  if (given === 1 && iio !== undefined && channel !== undefined) return { kind: 'iio', device: iio, channel, poll };
  const message = given === 1 ? 'iio and channel go together' : 'a pin is one of w1, iio with channel, led';
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** Sensors and lights that the kernel has drivers for: many HATs come as those. */
export const sysfs: Driver<SysfsOptions, SysfsAddress> = {
  contract: 1,
  name: 'sysfs',
  summary: 'what the kernel has drivers for: 1-wire thermometers, industrial I/O, lights of the LED class',
  options: optionsSchema,
  pin: pinSchema,
  describe(address) {
    if (address.kind === 'w1') return { key: `w1 ${address.id}`, kind: 'analog', directions: ['in'] };
    if (address.kind === 'led') return { key: `led ${address.name}`, kind: 'digital', directions: ['out'] };
    const out = address.channel.startsWith('out_');
    return { key: `${address.device} ${address.channel}`, kind: 'analog', directions: [out ? 'out' : 'in'] };
  },
  async open({ root }, channels, context) {
    const port = new SysfsPort(root, channels, context);
    await port.begin();
    return { kind: 'port', port };
  },
};
