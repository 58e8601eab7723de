import { z } from 'zod';
import type { Driver } from '../../src/driver/contract.ts';
import { type I2cAddress, pinSchema } from './address.ts';
import type { I2cBus } from './bus.ts';
import { detectBuses } from './detect.ts';
import { type Backend, openBus } from './open-bus.ts';
import { I2cPort } from './port.ts';

const optionsSchema = z.strictObject({
  bus: z
    .union([z.int().min(0), z.string().min(1)])
    .transform((bus) => (typeof bus === 'number' ? `/dev/i2c-${bus}` : bus))
    .describe('number of the bus, as in /dev/i2c-1, or its path'),
  backend: z
    .enum(['auto', 'kernel', 'i2c-bus'])
    .default('auto')
    .describe(
      'kernel: i2c-dev by ioctl; i2c-bus: the npm package; auto: kernel, and the package where that cannot load',
    ),
});
export type I2cOptions = z.infer<typeof optionsSchema>;

/** Creates the driver; a test passes its own function to open a bus. */
export function createI2c(
  openBus: (path: string, backend: Backend) => Promise<I2cBus>,
): Driver<I2cOptions, I2cAddress> {
  return {
    contract: 1,
    name: 'i2c',
    summary: 'chips on an I2C bus: registers and bits as data, and chips that compute',
    options: optionsSchema,
    pin: pinSchema,
    describe: ({ key, kind, directions }) => ({ key, kind, directions }),
    // Two ports would switch each other's muxes and overwrite each other's bits.
    claims: ({ bus }) => bus,
    access: {
      groups: ['i2c'],
      devices: ['/dev/i2c-*'],
      hint: 'on a Raspberry Pi: raspi-config, Interface Options, I2C; else modprobe i2c-dev',
    },
    detect: () => detectBuses((path) => openBus(path, 'auto')),
    async open({ bus, backend }, channels, context) {
      const port = new I2cPort(await openBus(bus, backend), channels, context, backend);
      try {
        await port.begin();
      } catch (error) {
        await port.close();
        throw error;
      }
      return { kind: 'port', port };
    },
  };
}

/** Chips on an I2C bus of this machine. */
export const i2c = createI2c(openBus);
