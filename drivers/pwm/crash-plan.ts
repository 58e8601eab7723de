import type { Prepare } from '../../src/driver/crash-plan.ts';
import { DcsError, messageOf } from '../../src/errors/errors.ts';
import { isRecord } from '../../src/message/envelope.ts';
import { ChannelFiles } from './channel-files.ts';

/** Shares of on-time that are safe; the channels go on by themselves when a process ends. */
export interface PwmPlan {
  readonly chip: string;
  readonly outputs: readonly { readonly pwm: number; readonly frequency: number; readonly share: number }[];
}

export const prepare: Prepare = async (plan, { clock }) => {
  if (!isPlan(plan)) throw new DcsError('INTERNAL', 'no last will of a pwm port', { found: plan });
  return {
    holds: false,
    async attempt() {
      let trouble = '';
      for (const { pwm, frequency, share } of plan.outputs) {
        const files = new ChannelFiles(plan.chip, pwm, frequency);
        try {
          await files.export(clock);
          await files.set(share);
        } catch (error) {
          trouble = messageOf(error);
        }
      }
      if (trouble !== '') throw new DcsError('PORT_DOWN', trouble);
    },
    release: async () => undefined,
  };
};

function isPlan(plan: unknown): plan is PwmPlan {
  return isRecord(plan) && typeof plan['chip'] === 'string' && Array.isArray(plan['outputs']);
}
