import { DcsError, type Driver, durationSchema, loadLibc, systemCode, z } from 'dcs-io/driver';
import { Mcp3008Port } from './port.ts';
import { SpiDevice, type SpiLibc } from './spi.ts';

const optionsSchema = z.strictObject({
  device: z
    .string()
    .regex(/^\//, 'the path of an SPI device: /dev/spidev0.0')
    .describe('SPI device, /dev/spidev<bus>.<chip select>'),
  poll: durationSchema.prefault('100ms').describe('how often all channels are read'),
  speed: z.number().int().min(10_000).max(3_600_000).default(1_000_000).describe('clock of the bus (Hz)'),
});
export type Options = z.output<typeof optionsSchema>;

const addressSchema = z.strictObject({
  channel: z.number().int().min(0).max(7).describe('input CH0 to CH7, against AGND'),
});
export type Address = z.output<typeof addressSchema>;

/** Makes the driver. A test passes the C library of a simulated device. */
export function createMcp3008(libc: () => Promise<SpiLibc> = () => loadLibc('SPI')): Driver<Options, Address> {
  return {
    contract: 1,
    name: 'mcp3008',
    summary: 'MCP3008, an analog-to-digital converter with eight inputs on SPI; values 0 to 1023',
    options: optionsSchema,
    pin: addressSchema,
    access: {
      groups: ['spi'],
      devices: ['/dev/spidev*'],
      hint: 'on a Raspberry Pi, dtparam=spi=on in config.txt enables the bus',
    },
    describe: ({ channel }) => ({ key: `CH${channel}`, kind: 'analog', directions: ['in'] }),
    claims: ({ device }) => device,
    async open(options, channels, context) {
      const { device, speed } = options;
      try {
        const spi = new SpiDevice(await libc(), device, speed);
        return { kind: 'port', port: new Mcp3008Port(spi, options, channels, context) };
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return { kind: 'skipped', reason: `there is no ${device} on this machine` };
        throw openError(device, error);
      }
    },
  };
}

function openError(device: string, cause: unknown): unknown {
  const found = systemCode(cause);
  if (found === undefined) return cause;
  const refused = found === 'EACCES' || found === 'EPERM';
  return new DcsError(refused ? 'NO_PERMISSION' : 'PORT_DOWN', `${device} cannot be opened: ${found}`, {
    found,
    expected: refused ? 'a user in the group spi' : 'an SPI device of the kernel (spidev)',
    cause,
  });
}

export default createMcp3008();
