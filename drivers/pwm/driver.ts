import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Driver } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { findChip } from './channel-files.ts';
import { pwmPlacer } from './place.ts';
import { PwmPort } from './port.ts';

const optionsSchema = z.strictObject({
  chip: z
    .string({ error: 'a PWM chip: pwmchip0, or the name of its device (fe20c000.pwm)' })
    .min(1)
    .describe('the chip, by the name of its device (fe20c000.pwm, which never changes) or by number (pwmchip0)'),
  root: z.string().min(1).default('/sys').describe('where sysfs is mounted'),
});
export type PwmOptions = z.infer<typeof optionsSchema>;

const pinSchema = z.strictObject({
  pwm: z.int().min(0).max(255).describe('the channel of the chip'),
  frequency: z.number().min(0.01).max(10_000_000).default(1000).describe('Hz'),
});
export type PwmAddress = z.infer<typeof pinSchema>;

/** The processor's own PWM: exact, and it goes on by itself. Its pins are shares of on-time, 0 to 1 (scale: 100 for %). */
export const pwm: Driver<PwmOptions, PwmAddress> = {
  contract: 1,
  name: 'pwm',
  summary: 'PWM outputs of the processor or of a PWM chip, by the Linux kernel (/sys/class/pwm)',
  options: optionsSchema,
  pin: pinSchema,
  placer: pwmPlacer,
  describe: ({ pwm }) => ({ key: `pwm ${pwm}`, kind: 'analog', directions: ['out'] }),
  // Two ports on one chip would not know of each other's channels.
  claims: ({ chip }) => `PWM chip ${chip}`,
  async open({ chip, root }, channels, context) {
    const folder = await findChip(root, chip);
    if (folder === undefined) {
      // While the system starts its modules come one after the other.
      if (existsSync(join(root, 'bus/platform/devices', chip)))
        throw new DcsError('PORT_DOWN', `the kernel has not taken the PWM chip ${chip} into use yet`);
      return { kind: 'skipped', reason: `this machine has no PWM chip ${chip}` };
    }
    const port = new PwmPort(folder, channels, context);
    await port.begin();
    return { kind: 'port', port };
  },
};
