import { closeSync } from 'node:fs';
import type { PortContext } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { Line, LineEvents } from './backend.ts';
import { type EdgeEvent, type EventSink, EventStream } from './event-stream.ts';
import { type EventTime, stampMs } from './event-time.ts';
import type { HeldLines } from './held-lines.ts';
import { kernelError } from './kernel-errors.ts';
import { LevelWatch } from './level-watch.ts';
import type { RequestPlan } from './line-plan.ts';
import type { LineLibc } from './uapi.ts';
import * as uapi from './uapi.ts';

/** Slack after the kernel's debounce period before the settled level is read: its timer may be late. */
const SETTLE_SLACK_MS = 10;

interface Member {
  readonly what: string;
  readonly bit: bigint;
  readonly watch: LevelWatch;
  readonly events: LineEvents;
  held: boolean;
}

/** Lines held through one descriptor. */
export class LineRequest implements EventSink {
  readonly lines: readonly Line[];
  readonly #libc: LineLibc;
  #fd: number;
  readonly #path: string;
  readonly #members: readonly Member[];
  readonly #byOffset = new Map<number, Member>();
  readonly #context: PortContext;
  readonly #time: EventTime;
  readonly #debounceMs: number;
  readonly #values = uapi.lineValues(0n, 0n);
  readonly #closed: (request: LineRequest) => void;
  #events: EventStream | undefined;
  #held: number;
  #closing: Promise<void> | undefined;
  /** A look at the levels is due: after a loss, or once a debounced line has settled. */
  #resync = false;
  #settling = false;
  readonly #flags: number;
  readonly #output: boolean;
  /** Outputs: the levels they are driven to, and those that are let go for the time being. */
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
    this.#closed = closed;
    this.#flags = plan.flags;
    this.#output = plan.direction === 'out';
    this.#debounceMs = plan.debounceUs / 1000;
    this.#held = plan.lines.length;
    this.#members = plan.lines.map(({ wish, offset }, at): Member => {
      const watch = new LevelWatch(wish.events, context.count, plan.bothEdges);
      const member = { what: wish.channel.key, bit: 1n << BigInt(at), watch, events: wish.events, held: true };
      this.#byOffset.set(offset, member);
      return member;
    });
    this.lines = this.#members.map((member) => this.#line(member));
  }

  /** The descriptor and what it holds; undefined for inputs, whose edges are for one reader, and when nothing is driven. */
  get kept(): { readonly fd: number; readonly held: HeldLines } | undefined {
    const all = uapi.allLines(this.#members.length);
    if (!this.#output || this.#closing || this.#floating === all) return undefined;
    const offsets = [...this.#byOffset.keys()];
    const floating = offsets.filter((_, at) => (this.#floating & (1n << BigInt(at))) !== 0n);
    return { fd: this.#fd, held: { offsets, flags: this.#flags, floating } };
  }

  /** Outputs: the levels they were taken with, and those of them that are let go. */
  drives(levels: bigint, floating = 0n): void {
    this.#driven = levels;
    this.#floating = floating;
  }

  /**
   * Inputs: hears edges from now on, and those the kernel has kept. The levels of now are what the first are compared
   * with. Throws a SystemCallError.
   */
  begin(): void {
    const bits = this.#get(uapi.allLines(this.#members.length));
    for (const { bit, watch } of this.#members) watch.begin((bits & bit) !== 0n);
    this.#events = new EventStream(this.#libc, this.#fd, this);
    this.#fd = this.#events.fd;
  }

  event({ offset, rising, lineSeqno, nsHigh, nsLow }: EdgeEvent): void {
    const member = this.#byOffset.get(offset);
    if (!member?.held) return;
    if (member.watch.edge(rising, lineSeqno, this.#time(nsHigh, nsLow), stampMs(nsHigh, nsLow)) > 0)
      this.#resyncSoon(member);
    if (this.#debounceMs > 0) this.#settleSoon();
  }

  ended(thrown: Error): void {
    const error = kernelError(thrown, this.#members.map(({ what }) => what).join(', '), this.#path);
    const listeners = this.#members.filter(({ held }) => held).map(({ events }) => events);
    // Given back first: who hears of the loss may take the lines anew.
    void this.close();
    for (const events of listeners) events.lost(error);
  }

  /** Looks at every input, and reads the levels nobody told of. */
  inspect(): boolean {
    if (this.#closing || !this.#events) return false;
    let bits: bigint;
    try {
      bits = this.#get(uapi.allLines(this.#members.length));
    } catch (error) {
      this.ended(toError(error));
      return false;
    }
    let again = false;
    for (const { held, bit, watch } of this.#members) {
      if (held && watch.inspect((bits & bit) !== 0n)) again = true;
    }
    return again;
  }

  /** Sets those of the lines that are of this request, in one step. Returns the levels they then have. */
  write(levels: ReadonlyMap<Line, boolean>): [Line, boolean][] {
    const own: [Line, Member, boolean][] = [];
    this.lines.forEach((line, at) => {
      const level = levels.get(line);
      const member = this.#members[at];
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
      const found = this.#get(mask);
      return own.map(([line, { bit }]) => [line, (found & bit) !== 0n]);
    } catch (error) {
      throw kernelError(error, own.map(([, { what }]) => what).join(', '), this.#path);
    }
  }

  /** Gives all lines back. Resolves when the kernel has them. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed(this);
    for (const member of this.#members) member.held = false;
    if (this.#events) await this.#events.close();
    else closeSync(this.#fd);
  }

  #line(member: Member): Line {
    const own = <T>(work: () => T): T => {
      if (!member.held) throw new DcsError('PORT_DOWN', `${member.what} has been given back`);
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
        this.#held--;
        if (this.#held === 0) void this.close();
      },
    };
  }

  #resyncSoon({ what }: Member): void {
    this.#context.log.warn({ line: what }, `${what}: the kernel dropped edges that came faster than they were read`);
    if (this.#resync) return;
    this.#resync = true;
    // After everything that is waiting has been told: the level read now is the newest.
    setImmediate(() => {
      this.#resync = false;
      if (this.#closing) return;
      try {
        const bits = this.#get(uapi.allLines(this.#members.length));
        for (const { held, bit, watch } of this.#members) if (held) watch.resync((bits & bit) !== 0n);
      } catch (error) {
        this.ended(toError(error));
      }
    });
  }

  /** After the last edge of a debounced line its settled level is looked at: the last edge is the one that counts. */
  #settleSoon(): void {
    if (this.#settling) return;
    this.#settling = true;
    this.#context.clock.after(this.#debounceMs + SETTLE_SLACK_MS, () => {
      this.#settling = false;
      if (this.inspect()) this.#settleSoon();
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
    // Not before: what was refused must not be driven with the next change of all lines.
    this.#driven = driven;
  }

  /** All lines anew in one step; those that are driven already keep their level throughout. */
  #configure(driven: bigint, floating: bigint): void {
    const except = { flags: uapi.inputFlags(this.#flags), mask: floating };
    const config = { flags: this.#flags, values: driven, except };
    this.#libc.ioctl(this.#fd, uapi.SET_CONFIG, uapi.lineConfig(this.#members.length, config));
    this.#driven = driven;
    if (this.#floating === floating) return;
    this.#floating = floating;
    this.#context.crashPlanChanged?.();
  }
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
