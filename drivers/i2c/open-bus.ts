import { DcsError } from '../../src/errors/errors.ts';
import type { I2cBus } from './bus.ts';
import { openKernelBus } from './kernel-bus.ts';
import { openPackageBus } from './package-bus.ts';

/** By what a bus is opened; auto: the kernel's interface, and the package where that cannot be had. */
export type Backend = 'auto' | 'kernel' | 'i2c-bus';

/** Opens a bus of this machine. Rejects as openKernelBus and openPackageBus do. */
export async function openBus(path: string, backend: Backend): Promise<I2cBus> {
  if (backend === 'i2c-bus') return openPackageBus(path);
  try {
    return await openKernelBus(path);
  } catch (error) {
    if (backend === 'kernel' || !(error instanceof DcsError) || error.code !== 'NOT_SUPPORTED') throw error;
    return openPackageBus(path);
  }
}
