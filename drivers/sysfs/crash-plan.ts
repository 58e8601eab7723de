import type { Prepare } from '../../src/driver/crash-plan.ts';
import { DcsError, messageOf } from '../../src/errors/errors.ts';
import { isRecord } from '../../src/message/envelope.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { SysfsAddress } from './driver.ts';
import { writeAddress } from './files.ts';

/** Values to write into the kernel's files, which keep what they have when a process ends. */
export interface SysfsPlan {
  readonly root: string;
  readonly writes: readonly { readonly address: SysfsAddress; readonly value: RawValue }[];
}

export const prepare: Prepare = async (plan) => {
  if (!isPlan(plan)) throw new DcsError('INTERNAL', 'no last will of a sysfs port', { found: plan });
  return {
    holds: false,
    async attempt() {
      let trouble = '';
      for (const { address, value } of plan.writes) {
        try {
          await writeAddress(plan.root, address, value);
        } catch (error) {
          trouble = messageOf(error);
        }
      }
      if (trouble !== '') throw new DcsError('PORT_DOWN', trouble);
    },
    release: async () => undefined,
  };
};

function isPlan(plan: unknown): plan is SysfsPlan {
  return isRecord(plan) && typeof plan['root'] === 'string' && Array.isArray(plan['writes']);
}
