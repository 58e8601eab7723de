import type { Clock } from '../clock/clock.ts';
import type { RawValue } from '../pin/pin.ts';
import type { Channel, Log } from './driver.ts';

/** An output and its safe value. */
export interface SafeWrite {
  readonly channel: Channel;
  readonly value: RawValue;
}

/**
 * What puts a port's outputs in their safe state when the agent itself cannot: told to the guardian while all is well,
 * carried out by it when the agent has crashed or hangs.
 */
export interface LastWill {
  /** URL of the module that carries it out; it exports `prepare: Prepare`. */
  readonly executor: string;
  /** What that module needs to know. It is copied to another process: data only (numbers, text, lists, Buffers). */
  readonly plan: unknown;
  /**
   * Descriptors through which this process holds hardware. The guardian gets duplicates: the hardware stays held, and as it
   * is, when this process has gone.
   */
  readonly descriptors?: readonly number[];
}

/** Hardware that stays held while it goes from one process to another. */
export interface Estate {
  /** What the descriptors are, in the driver's own words, as JSON has it. May come from another version of the driver. */
  readonly plan: unknown;
  /** Open ones of this process. Who is given them closes them. */
  readonly descriptors: readonly number[];
}

/** What an executor lives on. */
export interface ExecutorContext {
  readonly clock: Clock;
  readonly log: Log;
}

/** Carries out one last will. Nothing is driven before the first attempt, and nothing held but what it was given. */
export interface Executor {
  /** It holds hardware that is to be held, until it is released. */
  readonly holds: boolean;
  /**
   * Drives what has not been driven yet. Resolves when all of it is in its safe state; rejects when something is missing,
   * and may then be called again. Calls do not overlap. An output that cannot be had keeps no other waiting.
   */
  attempt(): Promise<void>;
  /** All that it holds, for another process to take over; it goes on holding it. Absent: nothing can be passed on. */
  estate?(): Estate;
  /** Lets go of all hardware it holds. Idempotent, never rejects. */
  release(): Promise<void>;
}

/**
 * Loads everything an attempt will need, while the agent is well: at the time of the crash memory may be short and the disk
 * gone. The executor owns the descriptors. Rejects with a DcsError when the plan cannot be carried out on this machine.
 */
export type Prepare = (plan: unknown, context: ExecutorContext, descriptors: readonly number[]) => Promise<Executor>;

/** The URL of a module beside the one that asks, in the sources as in the built package. */
export function besides(module: string, name: string): string {
  return new URL(`./${name}${module.slice(module.lastIndexOf('.'))}`, module).href;
}
