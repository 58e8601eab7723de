import type { Prepare } from '../../src/driver/crash-plan.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { isRecord } from '../../src/message/envelope.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { WriteLog } from './device.ts';

/** Levels for the file that stands for the hardware. */
export interface MockPlan {
  readonly record: string;
  readonly levels: readonly { readonly key: string; readonly value: RawValue }[];
}

export const prepare: Prepare = async (plan) => {
  if (!isPlan(plan)) throw new DcsError('INTERNAL', 'this is not the crash plan of a mock port', { found: plan });
  const record = new WriteLog(plan.record);
  return {
    holds: false,
    async attempt() {
      for (const { key, value } of plan.levels) record.write(key, value);
    },
    release: async () => undefined,
  };
};

function isPlan(plan: unknown): plan is MockPlan {
  return isRecord(plan) && typeof plan['record'] === 'string' && Array.isArray(plan['levels']);
}
