import type { MonotonicMs, UnixSeconds } from '../../src/clock/clock.ts';
import type { Channel } from '../../src/driver/contract.ts';
import type { DcsError } from '../../src/errors/errors.ts';
import type { EdgeKind, GpioAddress } from './address.ts';

/** A channel of this driver: a line, its wiring and its opening value. */
export type GpioChannel = Channel<GpioAddress>;

/** One edge, for counters and measurements. */
export interface Edge {
  readonly rising: boolean;
  /** Watched edges that were lost just before this one. */
  readonly lost: number;
  /** Time on a monotonic clock of this line: the kernel's time stamp, or the time of the reading (backend onoff). */
  readonly at: MonotonicMs;
}

/** Receives the events of a requested line. Called from the event loop. */
export interface LineEvents {
  /** A level, after an edge or a check. `sourceTime`: the kernel's time stamp of the edge. */
  level(high: boolean, sourceTime?: UnixSeconds): void;
  /** An edge; `level` follows it. */
  edge?(edge: Edge): void;
  /** The line was lost. It has been released and must be requested again. */
  lost(error: DcsError): void;
}

/** A line that this process holds. Calls are synchronous: one system call, microseconds on a processor's own pins. */
export interface Line {
  /** Reads the level. Throws a DcsError. */
  read(): boolean;
  /** Makes an output an input until it is written again. Throws a DcsError. */
  float(): void;
  /** Releases the line. Idempotent, never throws. */
  release(): void;
}

/** The result of requesting one line: an error affects no other line. */
export type LineResult = { readonly ok: true; readonly line: Line } | { readonly ok: false; readonly error: DcsError };

/** A line to request, and the receiver of its events. */
export interface LineRequestSpec {
  readonly channel: GpioChannel;
  /** Inputs: the edges to watch; `both` when a channel needs the level. */
  readonly edges: EdgeKind;
  /** The time between edges is measured: time stamps must come from a monotonic clock. */
  readonly timed: boolean;
  readonly events: LineEvents;
}

/** One chip through one kernel interface. The port does retries and bindings. */
export interface GpioBackend {
  readonly name: 'chardev' | 'onoff';
  /** The kernel debounces the inputs. */
  readonly debounces: boolean;
  /**
   * Requests lines. An output drives its opening value from the first moment, else the level it has. One result for each line,
   * in order. Rejects only when the chip is gone (PORT_DOWN).
   */
  requestLines(specs: readonly LineRequestSpec[]): Promise<LineResult[]>;
  /**
   * Drives lines, those of one request in one step. Returns the levels they then have. Throws a DcsError; lines of other
   * requests may then have been driven.
   */
  write(levels: ReadonlyMap<Line, boolean>): Map<Line, boolean>;
  /**
   * Returns how another process drives these lines to these levels when this one has ended, and the descriptors through which
   * outputs stay held until then.
   */
  crashPlan(levels: readonly { readonly channel: GpioChannel; readonly high: boolean }[]): {
    readonly plan: GpioPlan;
    readonly descriptors?: readonly number[];
  };
  /** The reason when the chip is gone. One cheap system call. */
  chipGone(): DcsError | undefined;
  /**
   * Called every second: checks every input. A line that another process has taken is lost. A level without an edge (one was
   * lost below this process) is counted as `levels_missed` and told.
   */
  inspect(): void;
  /** Releases all lines and the chip. Idempotent, never rejects. */
  close(): Promise<void>;
}

/** The result of looking for a chip. */
export type ChipSearch<Chip> =
  | { readonly kind: 'found'; readonly chip: Chip }
  | { readonly kind: 'absent'; readonly reason: string };

/** Outputs that one descriptor holds, in the order of their request. */
export interface HeldLines {
  readonly offsets: readonly number[];
  /** Flags of their request: output, with drive and bias. */
  readonly flags: number;
  /** Offsets of those that are inputs at present, so that nothing drives them. */
  readonly floating: readonly number[];
}

/** Content of the descriptors of one chip, one entry for each descriptor. */
export interface HeldChipLines {
  readonly chip: string;
  readonly name: string;
  readonly held: readonly HeldLines[];
}

/** A line and its safe level. */
export interface SafeLine {
  readonly offset: number;
  /** Flags of its request: output, with its drive and bias. */
  readonly flags: number;
  readonly high: boolean;
}

/** The crash plan of a GPIO port. */
export type GpioPlan =
  /** `held`: what the descriptors hold that come with the plan. */
  | ({ readonly by: 'chardev'; readonly lines: readonly SafeLine[] } & HeldChipLines)
  /** Lines exported by sysfs stay exported when a process ends, and keep their level. */
  | { readonly by: 'sysfs'; readonly lines: readonly { readonly number: number; readonly high: boolean }[] };
