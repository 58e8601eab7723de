import type { Prepare } from '../../src/driver/crash-plan.ts';
import { DcsError, messageOf } from '../../src/errors/errors.ts';
import { isRecord } from '../../src/message/envelope.ts';
import { ChannelFiles } from './channel-files.ts';

/** Safe duty cycles; the channels go on when a process ends. */
export interface PwmPlan {
  readonly chip: string;
  readonly outputs: readonly { readonly pwm: number; readonly frequency: number; readonly dutyCycle: number }[];
}

export const prepare: Prepare = async (plan, { clock }) => {
  if (!isPlan(plan)) throw new DcsError('INTERNAL', 'this is not the crash plan of a pwm port', { found: plan });
  return {
    holds: false,
    async attempt() {
      let failure = '';
      for (const { pwm, frequency, dutyCycle } of plan.outputs) {
        const files = new ChannelFiles(plan.chip, pwm, frequency);
        try {
          await files.export(clock);
          await files.set(dutyCycle);
        } catch (error) {
          failure = messageOf(error);
        }
      }
      if (failure !== '') throw new DcsError('PORT_DOWN', failure);
    },
    release: async () => undefined,
  };
};

function isPlan(plan: unknown): plan is PwmPlan {
  return isRecord(plan) && typeof plan['chip'] === 'string' && Array.isArray(plan['outputs']);
}
