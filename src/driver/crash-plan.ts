import type { Clock } from '../clock/clock.ts';
import type { Log } from '../log/log.ts';
import type { HeldDescriptors } from './contract.ts';

/** What an executor lives on. */
export interface ExecutorContext {
  readonly clock: Clock;
  readonly log: Log;
}

/** Carries out one last will. Nothing is driven before the first attempt, and nothing held but what it was given. */
export interface SafeStateExecutor {
  /** It holds hardware that is to be held, until it is released. */
  readonly holds: boolean;
  /**
   * Drives what has not been driven yet. Resolves when all of it is in its safe state; rejects when something is missing,
   * and may then be called again. Calls do not overlap. An output that cannot be had keeps no other waiting.
   */
  attempt(): Promise<void>;
  /** All that it holds, for another process to take over; it goes on holding it. Absent: nothing can be passed on. */
  handOver?(): HeldDescriptors;
  /** Lets go of all hardware it holds. Idempotent, never rejects. */
  release(): Promise<void>;
}

/**
 * Loads everything an attempt will need, while the agent is well: at the time of the crash memory may be short and the disk
 * gone. The executor owns the descriptors. Rejects with a DcsError when the plan cannot be carried out on this machine.
 */
export type Prepare = (
  plan: unknown,
  context: ExecutorContext,
  descriptors: readonly number[],
) => Promise<SafeStateExecutor>;

/** The URL of a module beside the one that asks, in the sources as in the built package. */
export function siblingModule(module: string, name: string): string {
  return new URL(`./${name}${module.slice(module.lastIndexOf('.'))}`, module).href;
}
