import { closeSync } from 'node:fs';
import type { PortContext } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { HeldLines, Line, LineEvents } from './backend.ts';
import { type EdgeEvent, type EdgeListener, EdgeStream, type EventTime, LevelTracker, stampMs } from './edges.ts';
import type { RequestPlan } from './line-plan.ts';
import type { LineLibc } from './uapi.ts';
import * as uapi from './uapi.ts';
import { kernelError } from './uapi.ts';

/** Wait after the kernel's debounce period before the stable level is read: the kernel's timer may be late. */
const SETTLE_SLACK_MS = 10;

interface RequestedLine {
  readonly what: string;
  readonly bit: bigint;
  readonly tracker: LevelTracker;
  readonly events: LineEvents;
  held: boolean;
}

/** Lines held through one descriptor. */
export class LineRequest implements EdgeListener {
  readonly lines: readonly Line[];
  readonly #libc: LineLibc;
  #fd: number;
  readonly #path: string;
  readonly #requested: readonly RequestedLine[];
  readonly #byOffset = new Map<number, RequestedLine>();
  readonly #context: PortContext;
  readonly #time: EventTime;
  readonly #debounceMs: number;
  readonly #values = uapi.lineValues(0n, 0n);
  readonly #onClosed: (request: LineRequest) => void;
  #events: EdgeStream | undefined;
  #heldCount: number;
  #closing: Promise<void> | undefined;
  /** The levels will be read: after lost edges, or once a debounced line is stable. */
  #resyncScheduled = false;
  #settledCheckScheduled = false;
  readonly #flags: number;
  readonly #output: boolean;
  /** Outputs: the levels they are driven to, and the bits of those that are inputs at present. */
  #driven = 0n;
  #floating = 0n;

  constructor(
    { libc, fd, path, time }: { libc: LineLibc; fd: number; path: string; time: EventTime },
    plan: RequestPlan,
    context: PortContext,
    closed: (request: LineRequest) => void,
  ) {
    this.#libc = libc;
    this.#fd = fd;
    this.#path = path;
    this.#time = time;
    this.#context = context;
    this.#onClosed = closed;
    this.#flags = plan.flags;
    this.#output = plan.direction === 'out';
    this.#debounceMs = plan.debounceUs / 1000;
    this.#heldCount = plan.lines.length;
    this.#requested = plan.lines.map(({ spec, offset }, at): RequestedLine => {
      const tracker = new LevelTracker(spec.events, context.count, plan.bothEdges);
      const line = { what: spec.channel.key, bit: 1n << BigInt(at), tracker, events: spec.events, held: true };
      this.#byOffset.set(offset, line);
      return line;
    });
    this.lines = this.#requested.map((member) => this.#lineOf(member));
  }

  /** The descriptor and what it holds; `undefined` for inputs, whose edges only one process can read, and when nothing is driven. */
  get heldOutputs(): { readonly fd: number; readonly held: HeldLines } | undefined {
    const all = uapi.allLines(this.#requested.length);
    if (!this.#output || this.#closing || this.#floating === all) return undefined;
    const offsets = [...this.#byOffset.keys()];
    const floating = offsets.filter((_, at) => (this.#floating & (1n << BigInt(at))) !== 0n);
    return { fd: this.#fd, held: { offsets, flags: this.#flags, floating } };
  }

  /** Outputs: notes the levels they were requested with, and the bits of those that are inputs. */
  setDriven(levels: bigint, floating = 0n): void {
    this.#driven = levels;
    this.#floating = floating;
  }

  /**
   * Inputs: receives edges from now on, and those that the kernel has kept. The first edges are compared with the present
   * levels. Throws a SystemCallError.
   */
  startEvents(): void {
    const bits = this.#get(uapi.allLines(this.#requested.length));
    for (const { bit, tracker } of this.#requested) tracker.start((bits & bit) !== 0n);
    this.#events = new EdgeStream(this.#libc, this.#fd, this);
    this.#fd = this.#events.fd;
  }

  event({ offset, rising, lineSeqno, nsHigh, nsLow }: EdgeEvent): void {
    const member = this.#byOffset.get(offset);
    if (!member?.held) return;
    if (member.tracker.edge(rising, lineSeqno, this.#time(nsHigh, nsLow), stampMs(nsHigh, nsLow)) > 0)
      this.#scheduleResync(member);
    if (this.#debounceMs > 0) this.#scheduleSettledCheck();
  }

  ended(thrown: Error): void {
    const error = kernelError(thrown, this.#requested.map(({ what }) => what).join(', '), this.#path);
    const listeners = this.#requested.filter(({ held }) => held).map(({ events }) => events);
    // Released first: a listener may request the lines again at once.
    void this.close();
    for (const events of listeners) events.lost(error);
  }

  /** Checks the level of every input. Returns whether to check again soon. */
  inspect(): boolean {
    if (this.#closing || !this.#events) return false;
    let bits: bigint;
    try {
      bits = this.#get(uapi.allLines(this.#requested.length));
    } catch (error) {
      this.ended(toError(error));
      return false;
    }
    let checkAgain = false;
    for (const { held, bit, tracker } of this.#requested) {
      if (held && tracker.inspect((bits & bit) !== 0n)) checkAgain = true;
    }
    return checkAgain;
  }

  /** Sets the lines that belong to this request in one step. Returns the levels they then have. */
  write(levels: ReadonlyMap<Line, boolean>): [Line, boolean][] {
    const own: [Line, RequestedLine, boolean][] = [];
    this.lines.forEach((line, at) => {
      const level = levels.get(line);
      const member = this.#requested[at];
      if (level !== undefined && member?.held) own.push([line, member, level]);
    });
    const [first] = own;
    if (!first) return [];
    const mask = own.reduce((bits, [, { bit }]) => bits | bit, 0n);
    try {
      this.#set(
        own.reduce((bits, [, { bit }, level]) => (level ? bits | bit : bits), 0n),
        mask,
      );
      const levelsNow = this.#get(mask);
      return own.map(([line, { bit }]) => [line, (levelsNow & bit) !== 0n]);
    } catch (error) {
      throw kernelError(error, own.map(([, { what }]) => what).join(', '), this.#path);
    }
  }

  /** Releases all lines. Resolves when the kernel has them. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#onClosed(this);
    for (const member of this.#requested) member.held = false;
    if (this.#events) await this.#events.close();
    else closeSync(this.#fd);
  }

  #lineOf(member: RequestedLine): Line {
    const own = <T>(work: () => T): T => {
      if (!member.held) throw new DcsError('PORT_DOWN', `${member.what} has been released`);
      try {
        return work();
      } catch (error) {
        throw kernelError(error, member.what, this.#path);
      }
    };
    return {
      read: () => own(() => this.#get(member.bit) !== 0n),
      float: () => own(() => this.#configure(this.#driven, this.#floating | member.bit)),
      release: () => {
        if (!member.held) return;
        member.held = false;
        this.#heldCount--;
        if (this.#heldCount === 0) void this.close();
      },
    };
  }

  #scheduleResync({ what }: RequestedLine): void {
    this.#context.log.warn({ line: what }, `${what}: the kernel dropped edges: they came faster than they were read`);
    if (this.#resyncScheduled) return;
    this.#resyncScheduled = true;
    // After all waiting events, so that the level read now is the newest.
    setImmediate(() => {
      this.#resyncScheduled = false;
      if (this.#closing) return;
      try {
        const bits = this.#get(uapi.allLines(this.#requested.length));
        for (const { held, bit, tracker } of this.#requested) if (held) tracker.resync((bits & bit) !== 0n);
      } catch (error) {
        this.ended(toError(error));
      }
    });
  }

  /** Reads the stable level of a debounced line after its last edge: the last edge is the one that counts. */
  #scheduleSettledCheck(): void {
    if (this.#settledCheckScheduled) return;
    this.#settledCheckScheduled = true;
    this.#context.clock.after(this.#debounceMs + SETTLE_SLACK_MS, () => {
      this.#settledCheckScheduled = false;
      if (this.inspect()) this.#scheduleSettledCheck();
    });
  }

  #get(mask: bigint): bigint {
    const values = this.#values;
    values.writeBigUInt64LE(0n, 0);
    values.writeBigUInt64LE(mask, 8);
    this.#libc.ioctl(this.#fd, uapi.GET_VALUES, values);
    return values.readBigUInt64LE(0) & mask;
  }

  #set(bits: bigint, mask: bigint): void {
    const driven = (this.#driven & ~mask) | bits;
    if (this.#floating & mask) {
      this.#configure(driven, this.#floating & ~mask);
      return;
    }
    const values = this.#values;
    values.writeBigUInt64LE(bits, 0);
    values.writeBigUInt64LE(mask, 8);
    this.#libc.ioctl(this.#fd, uapi.SET_VALUES, values);
    // Only now: a refused level must not be driven with the next change of all lines.
    this.#driven = driven;
  }

  /** Configures all lines again in one step; lines that are driven already keep their level throughout. */
  #configure(driven: bigint, floating: bigint): void {
    const except = { flags: uapi.inputFlags(this.#flags), mask: floating };
    const config = { flags: this.#flags, values: driven, except };
    this.#libc.ioctl(this.#fd, uapi.SET_CONFIG, uapi.lineConfig(this.#requested.length, config));
    this.#driven = driven;
    if (this.#floating === floating) return;
    this.#floating = floating;
    this.#context.crashPlanChanged?.();
  }
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
