import { z } from 'zod';
import type { Driver } from '../../src/driver/driver.ts';
import { type I2cAddress, pinSchema } from './address.ts';
import type { I2cBus } from './bus.ts';
import { openKernelBus } from './kernel-bus.ts';
import { I2cPort } from './port.ts';

const optionsSchema = z.strictObject({
  bus: z
    .union([z.int().min(0), z.string().min(1)])
    .transform((bus) => (typeof bus === 'number' ? `/dev/i2c-${bus}` : bus))
    .describe('number of the bus, as in /dev/i2c-1, or its path'),
});
export type I2cOptions = z.infer<typeof optionsSchema>;

/** Makes the driver; a test passes its own way to open a bus. */
export function createI2c(openBus: (path: string) => Promise<I2cBus>): Driver<I2cOptions, I2cAddress> {
  return {
    name: 'i2c',
    summary: 'chips on an I2C bus: registers and bits as data, and chips that compute',
    options: optionsSchema,
    pin: pinSchema,
    describe: ({ key, kind, chip }) => ({ key, kind, directions: chip ? ['in'] : ['in', 'out'] }),
    async open({ bus }, channels, context) {
      return { kind: 'port', port: new I2cPort(await openBus(bus), channels, context) };
    },
  };
}

/** Chips on an I2C bus of this machine, by the kernel's i2c-dev. */
export const i2c = createI2c(openKernelBus);
