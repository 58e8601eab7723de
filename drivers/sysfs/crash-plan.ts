import type { Prepare } from '../../src/driver/crash-plan.ts';
import { DcsError, messageOf } from '../../src/errors/errors.ts';
import { isRecord } from '../../src/message/envelope.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { type SysfsAddress, writeAddress } from './files.ts';

/** Values for the kernel's files, which keep them when a process ends. */
export interface SysfsPlan {
  readonly root: string;
  readonly writes: readonly { readonly address: SysfsAddress; readonly value: RawValue }[];
}

export const prepare: Prepare = async (plan) => {
  if (!isPlan(plan)) throw new DcsError('INTERNAL', 'this is not the crash plan of a sysfs port', { found: plan });
  return {
    holds: false,
    async attempt() {
      let failure = '';
      for (const { address, value } of plan.writes) {
        try {
          await writeAddress(plan.root, address, value);
        } catch (error) {
          failure = messageOf(error);
        }
      }
      if (failure !== '') throw new DcsError('PORT_DOWN', failure);
    },
    release: async () => undefined,
  };
};

function isPlan(plan: unknown): plan is SysfsPlan {
  return isRecord(plan) && typeof plan['root'] === 'string' && Array.isArray(plan['writes']);
}
