import type { Channel } from '../../src/driver/contract.ts';
import type { Prepare } from '../../src/driver/crash-plan.ts';
import { DcsError, messageOf } from '../../src/errors/errors.ts';
import { isRecord } from '../../src/message/envelope.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { I2cAddress } from './address.ts';
import { type Backend, openBus } from './open-bus.ts';
import { I2cPort } from './port.ts';

/** Safe values by channel key; chips keep their outputs when a process ends. */
export interface I2cPlan {
  readonly path: string;
  readonly backend: Backend;
  readonly channels: readonly Channel<I2cAddress>[];
  readonly safe: ReadonlyMap<string, RawValue>;
}

/** Writes through a port with the same channels, which sets up its chips and never polls. */
export const prepare: Prepare = async (plan, context) => {
  if (!isPlan(plan)) throw new DcsError('INTERNAL', 'this is not the crash plan of an i2c port', { found: plan });
  // Opened once as a check, and to have the library in memory when it is needed.
  (await openBus(plan.path, plan.backend)).close();
  const ignore = () => undefined;
  return {
    holds: false,
    async attempt() {
      const bus = await openBus(plan.path, plan.backend);
      const port = new I2cPort(
        bus,
        plan.channels,
        { ...context, count: ignore, down: ignore, changed: ignore },
        plan.backend,
      );
      let failure = '';
      for (const channel of plan.channels) {
        const value = plan.safe.get(channel.key);
        try {
          if (value !== undefined) await port.write(channel, value);
        } catch (error) {
          failure = messageOf(error);
        }
      }
      await port.close();
      if (failure !== '') throw new DcsError('PORT_DOWN', failure);
    },
    release: async () => undefined,
  };
};

function isPlan(plan: unknown): plan is I2cPlan {
  return isRecord(plan) && Array.isArray(plan['channels']) && plan['safe'] instanceof Map;
}
