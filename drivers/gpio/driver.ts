import type { Driver, OpenResult, PortContext, Remark } from '../../src/driver/contract.ts';
import { DcsError, messageOf } from '../../src/errors/errors.ts';
import { type Libc, loadLibc } from '../../src/linux/libc.ts';
import { channelFacts, type GpioAddress, type GpioOptions, optionsSchema, pinSchema } from './address.ts';
import type { ChipSearch, GpioBackend, GpioChannel } from './backend.ts';
import { reviewLines } from './bind-channels.ts';
import { ChardevBackend } from './chardev-backend.ts';
import { chipDevices, findChardevChip } from './chardev-chip.ts';
import { findSysfsChip, openOnoff } from './onoff.ts';
import { gpioPlacer } from './place.ts';
import { GpioPort } from './port.ts';

/** Lines of a processor or expander as the Linux kernel offers them. One port is one gpiochip. */
export const gpio: Driver<GpioOptions, GpioAddress> = {
  contract: 1,
  name: 'gpio',
  summary: 'lines of a gpiochip: inputs with edges, counters and encoders, outputs that start without a glitch',
  options: optionsSchema,
  pin: pinSchema,
  keyDirections: { drive: 'out' },
  describe: channelFacts,
  placer: gpioPlacer,
  // Two ports on one chip would not know each other's lines.
  claims: ({ chip }) => `gpiochip ${chip}`,
  access: {
    groups: ['gpio'],
    devices: ['/dev/gpiochip*'],
    hint: 'the kernel needs the driver of the GPIO chip; a Raspberry Pi has it',
  },
  async devicePaths() {
    const chips = chipDevices().map((name) => `/dev/${name}`);
    // Kernels before 5.10 may have the interface of sysfs alone.
    return chips.length > 0 ? chips : ['/sys/class/gpio/export'];
  },
  review: (options, channels) => [...reviewLines(channels), ...reviewBackend(options, channels)],
  open,
};

/** Keys of a line that sysfs cannot set. */
function reviewBackend({ backend }: GpioOptions, channels: readonly GpioChannel[]): Remark[] {
  if (backend !== 'onoff') return [];
  return channels.flatMap(({ key, address: { bias, drive } }): Remark[] => {
    const found = bias !== undefined ? 'bias' : drive !== undefined && drive !== 'push-pull' ? 'drive' : undefined;
    if (found === undefined) return [];
    const message = `${key}: backend onoff cannot set ${found}`;
    return [{ channel: key, key: found, message, expected: 'backend: chardev, or a resistor outside', fatal: true }];
  });
}

/** Options of the ports that were opened before in this process. */
const openedBefore = new WeakSet<GpioOptions>();

async function open(options: GpioOptions, channels: readonly GpioChannel[], context: PortContext): Promise<OpenResult> {
  const found = await findBackend(options, context);
  if (found.kind === 'absent') {
    // A chip that was there before (a USB adapter) may come back; one that never was belongs to another machine.
    if (openedBefore.has(options)) throw new DcsError('PORT_DOWN', found.reason);
    return { kind: 'skipped', reason: found.reason };
  }
  openedBefore.add(options);
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

/** Opens the chip with the best kernel interface that the options allow. */
async function findBackend({ chip, backend }: GpioOptions, context: PortContext): Promise<ChipSearch<GpioBackend>> {
  if (backend === 'onoff') return findOnoff(chip, context);
  const found = await findChardev(chip, context, backend === 'auto');
  if (found.kind === 'found' || backend === 'chardev') return found;
  const older = await findOnoff(chip, context);
  return older.kind === 'found' ? older : found;
}

async function findChardev(chip: string, context: PortContext, fallBack: boolean): Promise<ChipSearch<GpioBackend>> {
  // First: no native library is loaded on a machine without such a device.
  if (chipDevices().length === 0) return { kind: 'absent', reason: 'this machine has no /dev/gpiochip*' };
  let libc: Libc;
  try {
    libc = await loadLibc('backend chardev', 'a 64-bit or ARMv7 Linux, or backend: onoff');
  } catch (error) {
    if (!fallBack) throw error;
    return { kind: 'absent', reason: messageOf(error) };
  }
  const found = findChardevChip(libc, chip);
  return found.kind === 'absent' ? found : { kind: 'found', chip: new ChardevBackend(libc, found.chip, context) };
}

async function findOnoff(chip: string, context: PortContext): Promise<ChipSearch<GpioBackend>> {
  const found = await findSysfsChip(chip);
  return found.kind === 'absent' ? found : { kind: 'found', chip: await openOnoff(found.chip, context) };
}
