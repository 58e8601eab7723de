import type { MonotonicMs, UnixSeconds } from '../../src/clock/clock.ts';
import type { Channel } from '../../src/driver/contract.ts';
import type { DcsError } from '../../src/errors/errors.ts';
import type { EdgeKind, GpioAddress } from './address.ts';
import type { GpioPlan } from './crash-plan.ts';

/** A channel of this driver: which line, how wired, with which start value. */
export type GpioChannel = Channel<GpioAddress>;

/** One edge, for what counts and measures. */
export interface Edge {
  readonly rising: boolean;
  /** Watched edges just before it that are known to have been lost. */
  readonly lost: number;
  /** When, on a monotonic clock of this line's own; as good as the backend can: the kernel's stamp, or the reading's. */
  readonly at: MonotonicMs;
}

/** What the kernel says about a line that has been taken, as it happens. Called from the event loop. */
export interface LineEvents {
  /** A level, after an edge or a look. `sourceTime`: when the kernel saw the edge. */
  level(high: boolean, sourceTime?: UnixSeconds): void;
  /** An edge; `level` follows it. */
  edge?(edge: Edge): void;
  /** The line can no longer be trusted; it has been released and must be taken anew. */
  lost(error: DcsError): void;
}

/** A line this process holds. Calls are synchronous: one system call, microseconds on a processor's own pins. */
export interface Line {
  /** The level now. Throws a DcsError. */
  read(): boolean;
  /** An output becomes an input, until it is written again. Throws a DcsError. */
  float(): void;
  /** Gives the line back. Idempotent, never throws. */
  release(): void;
}

/** What trying to take a line came to: one line's trouble is its own. */
export type LineResult = { readonly ok: true; readonly line: Line } | { readonly ok: false; readonly error: DcsError };

/** A line to take, and who wants to hear of it. */
export interface LineRequestSpec {
  readonly channel: GpioChannel;
  /** Inputs: the edges of interest; anything but `both` only if nobody wants the level. */
  readonly edges: EdgeKind;
  /** The time between edges matters: stamps must not follow a wall clock that is being set. */
  readonly timed: boolean;
  readonly events: LineEvents;
}

/** One chip through one kernel interface. The port above it does subscriptions, retries and the contract. */
export interface GpioBackend {
  readonly name: 'chardev' | 'onoff';
  /** Whether the kernel does the debouncing. */
  readonly debounces: boolean;
  /**
   * Takes lines: an input with both edges watched; an output driving `start` from the first moment, or the level it has
   * when there is no start. One result a wish, in order. Rejects only when the chip itself is gone (PORT_DOWN).
   */
  requestLines(wishes: readonly LineRequestSpec[]): Promise<LineResult[]>;
  /**
   * Drives lines of this backend, and says which levels they then have; those of one request in one step. Throws a
   * DcsError; lines of other requests may then have been driven.
   */
  write(levels: ReadonlyMap<Line, boolean>): Map<Line, boolean>;
  /**
   * How these lines are driven to these levels by another process when this one is gone, and the descriptors through which
   * outputs stay held till then.
   */
  crashPlan(levels: readonly { readonly channel: GpioChannel; readonly high: boolean }[]): {
    readonly plan: GpioPlan;
    readonly descriptors?: readonly number[];
  };
  /** Whether the chip is still there; a reason when it is not. One cheap system call. */
  chipGone(): DcsError | undefined;
  /**
   * Called every second: looks at every input. A line that has been taken from us is lost; a level nobody told of (an
   * edge was swallowed below us) is counted as `levels_missed` and told.
   */
  inspect(): void;
  /** Gives all lines and the chip back. Idempotent, never rejects. */
  close(): Promise<void>;
}

/** What looking for a chip came to. */
export type ChipSearch<Chip> =
  | { readonly kind: 'found'; readonly chip: Chip }
  | { readonly kind: 'absent'; readonly reason: string };
