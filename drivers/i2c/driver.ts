import { existsSync, readdirSync } from 'node:fs';
import { z } from 'zod';
import type { DetectedPort, Driver } from '../../src/driver/contract.ts';
import { messageOf } from '../../src/errors/errors.ts';
import { type I2cAddress, pinSchema } from './address.ts';
import { BusOwner, hex, type I2cBus, type MuxChannel, type ScannedChip, scanBus } from './bus.ts';
import { DEFAULT_LIMITS } from './bus-chip.ts';
import { type Backend, openBus } from './open-bus.ts';
import { I2cPort } from './port.ts';

/** Opens a bus of this machine by its path. */
type OpenBus = (path: string) => Promise<I2cBus>;

/** The I2C buses of this machine, in the order of their numbers. */
export function i2cBuses(): string[] {
  const names = existsSync('/dev') ? readdirSync('/dev').filter((name) => /^i2c-\d+$/.test(name)) : [];
  return names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).map((name) => `/dev/${name}`);
}

/** Returns the chips that answer on a bus, or behind a channel of a mux on it. */
export async function scanChips(path: string, openBus: OpenBus, mux?: MuxChannel): Promise<ScannedChip[]> {
  const owner = new BusOwner(await openBus(path), []);
  try {
    return await scanBus({
      transfer: (address, write, length) => owner.transfer(mux, address, write, length),
    });
  } finally {
    // A transfer without a mux closes the channel that is open.
    if (mux) await owner.transfer(undefined, mux.address, Uint8Array.of(0), 0);
    await owner.close();
  }
}

/** Detects the buses of this machine with the chips that answer on them. */
export async function detectBuses(openBus: OpenBus): Promise<DetectedPort[]> {
  const found: DetectedPort[] = [];
  for (const path of i2cBuses()) {
    const port = { path, name: path.replace('/dev/', ''), about: '', options: { bus: path } };
    const chips = await scanChips(path, openBus).catch((error: unknown) => messageOf(error));
    if (typeof chips === 'string') found.push({ ...port, problem: chips });
    else found.push({ ...port, devices: chips.map(({ address, guesses }) => ({ address: hex(address), guesses })) });
  }
  return found;
}

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
  retries: z
    .int()
    .min(0)
    .max(10)
    .default(DEFAULT_LIMITS.retries)
    .describe('how often a transfer with a chip that failed is repeated at once'),
  misses: z
    .int()
    .min(1)
    .max(1000)
    .default(DEFAULT_LIMITS.misses)
    .describe(
      'failures in a row, each after its repetitions, after which a chip is lost: its pins are bad until it answers',
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
    keyDirections: { shift: 'in', zero: 'out' },
    describe: ({ key, kind, directions }) => ({ key, kind, directions }),
    // Two ports would switch each other's muxes and overwrite each other's bits.
    claims: ({ bus }) => bus,
    access: {
      groups: ['i2c'],
      devices: ['/dev/i2c-*'],
      hint: 'on a Raspberry Pi: raspi-config, Interface Options, I2C; else modprobe i2c-dev',
    },
    detect: () => detectBuses((path) => openBus(path, 'auto')),
    async open({ bus, backend, ...limits }, channels, context) {
      const port = new I2cPort(await openBus(bus, backend), channels, context, backend, limits);
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
