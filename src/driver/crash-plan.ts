import type { Clock } from '../clock/clock.ts';
import type { Log } from '../log/log.ts';
import type { HeldDescriptors } from './contract.ts';

/** The environment of an executor. */
export interface ExecutorContext {
  readonly clock: Clock;
  readonly log: Log;
}

/** Executes one crash plan, in the guardian process. Before the first attempt it drives nothing and takes no hardware. */
export interface SafeStateExecutor {
  /** The executor holds hardware that must stay held until `release`. */
  readonly holds: boolean;
  /**
   * Drives the outputs that are not safe yet. Resolves when all are in their safe state; rejects when one is not, and may then
   * be called again. Calls do not overlap. An output that fails does not delay the others.
   */
  attempt(): Promise<void>;
  /** Returns what it holds, for another process to take over; it goes on holding it. `undefined` when nothing can be passed. */
  handOver?(): HeldDescriptors;
  /** Releases all hardware. Idempotent, never rejects. */
  release(): Promise<void>;
}

/**
 * Loads everything that an attempt will need, while the agent is well: at the time of the crash memory may be short and the disk
 * gone. The executor owns the descriptors. Rejects with a DcsError when the plan cannot be executed on this machine.
 */
export type Prepare = (
  plan: unknown,
  context: ExecutorContext,
  descriptors: readonly number[],
) => Promise<SafeStateExecutor>;

/** Returns the URL of a module beside `module` (its `import.meta.url`), in the sources as in the built package. */
export function siblingModule(module: string, name: string): string {
  return new URL(`./${name}${module.slice(module.lastIndexOf('.'))}`, module).href;
}
