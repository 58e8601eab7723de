import type { Driver, Opened, PortContext } from '../../src/driver/driver.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { type GpioAddress, type GpioOptions, lineKey, optionsSchema, pinSchema } from './address.ts';
import type { Found, GpioBackend, GpioChannel } from './backend.ts';
import { openOnoff } from './onoff.ts';
import { GpioPort } from './port.ts';
import { findSysfsChip } from './sysfs-chip.ts';

/** Lines of a processor or expander as the Linux kernel offers them. One port is one gpiochip. */
export const gpio: Driver<GpioOptions, GpioAddress> = {
  name: 'gpio',
  summary: 'lines of a gpiochip: inputs with edges, outputs that start without a glitch',
  options: optionsSchema,
  pin: pinSchema,
  describe: ({ gpio: line }) => ({ key: lineKey(line), kind: 'digital', directions: ['in', 'out'] }),
  open,
};

async function open(options: GpioOptions, channels: readonly GpioChannel[], context: PortContext): Promise<Opened> {
  const found = await findBackend(options, context);
  if (found.kind === 'absent') return { kind: 'skipped', reason: found.reason };
  const backend = found.chip;
  context.log.info({ chip: options.chip, backend: backend.name }, `gpio ${options.chip}: ${backend.name}`);
  const port = new GpioPort(backend, channels, context);
  try {
    await port.start();
  } catch (error) {
    await port.close();
    throw error;
  }
  return { kind: 'port', port };
}

async function findBackend({ chip, backend }: GpioOptions, context: PortContext): Promise<Found<GpioBackend>> {
  if (backend === 'chardev') {
    throw new DcsError('NOT_SUPPORTED', 'backend chardev is not there yet', { expected: 'backend: onoff' });
  }
  const found = await findSysfsChip(chip);
  return found.kind === 'absent' ? found : { kind: 'found', chip: await openOnoff(found.chip, context) };
}
