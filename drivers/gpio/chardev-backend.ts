import { closeSync } from 'node:fs';
import { withDeadline } from '../../src/clock/clock.ts';
import type { PortContext } from '../../src/driver/contract.ts';
import { DcsError, messageOf, systemCode } from '../../src/errors/errors.ts';
import type { GpioBackend, GpioChannel, GpioPlan, Line, LineRequestSpec, LineResult, SafeLine } from './backend.ts';
import type { ChardevChip } from './chardev-chip.ts';
import { type EventTime, monotonic, realtime } from './edges.ts';
import {
  type AdoptionPlan,
  adoptedLevels,
  currentLevels,
  type HandedOverLines,
  handedOverLines,
  type LocatedLine,
  lineFlags,
  openingLevels,
  planAdoption,
  planRequest,
  planRequests,
  type RequestPlan,
  UNUSED,
} from './line-plan.ts';
import { LineRequest } from './line-request.ts';
import * as uapi from './uapi.ts';
import { kernelError, type LineLibc } from './uapi.ts';

/** The consumer of our lines, as gpioinfo shows it. */
const CONSUMER = 'dcs-io';
const CLOSE_LIMIT_MS = 300;

/** GPIO through the character device: numbered, time-stamped edges, bias, drive and debouncing in the kernel. */
export class ChardevBackend implements GpioBackend {
  readonly name = 'chardev';
  readonly debounces = true;
  readonly #libc: LineLibc;
  readonly #chip: ChardevChip;
  readonly #context: PortContext;
  readonly #requests = new Set<LineRequest>();
  #closed = false;

  constructor(libc: LineLibc, chip: ChardevChip, context: PortContext) {
    this.#libc = libc;
    this.#chip = chip;
    this.#context = context;
  }

  async requestLines(specs: readonly LineRequestSpec[]): Promise<LineResult[]> {
    const gone = this.chipGone();
    if (gone) throw gone;
    const handedOver = handedOverLines((await this.#context.reclaim?.()) ?? [], this.#chip.info);
    const results: LineResult[] = [];
    const located: LocatedLine[] = [];
    const offsets = new Map<number, string>();
    specs.forEach((spec, index) => {
      try {
        const offset = this.#locateLine(spec, offsets, handedOver);
        offsets.set(offset, spec.channel.key);
        located.push({ spec, offset, index });
      } catch (error) {
        results[index] = { ok: false, error: this.#kernelError(error, spec.channel.key) };
      }
    });
    const adopted = this.#adoptLines(handedOver, located, results);
    for (const plan of planRequests(located.filter(({ index }) => !adopted.has(index))))
      this.#requestOrSplit(plan, results);
    if (specs.some(({ channel }) => channel.direction === 'out')) this.#context.crashPlanChanged?.();
    return results;
  }

  write(levels: ReadonlyMap<Line, boolean>): Map<Line, boolean> {
    const found = new Map<Line, boolean>();
    for (const request of this.#requests) {
      for (const [line, level] of request.write(levels)) found.set(line, level);
    }
    return found;
  }

  crashPlan(levels: readonly { readonly channel: GpioChannel; readonly high: boolean }[]): {
    plan: GpioPlan;
    descriptors: readonly number[];
  } {
    const lines = levels.map(({ channel, high }): SafeLine => {
      return { offset: this.#chip.offsetOf(channel.address.gpio), flags: lineFlags({ channel, edges: 'both' }), high };
    });
    const { label: chip, name } = this.#chip.info;
    const kept = [...this.#requests].flatMap((request) => request.heldOutputs ?? []);
    const plan = { by: 'chardev', chip, name, lines, held: kept.map(({ held }) => held) } as const;
    return { plan, descriptors: kept.map(({ fd }) => fd) };
  }

  chipGone(): DcsError | undefined {
    return this.#closed ? undefined : this.#chip.goneError();
  }

  inspect(): void {
    for (const request of [...this.#requests]) request.inspect();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { clock, log } = this.#context;
    try {
      const closing = Promise.all([...this.#requests].map((request) => request.close()));
      await withDeadline(
        clock,
        CLOSE_LIMIT_MS,
        closing,
        () => new DcsError('TIMEOUT', 'the lines were not released in time'),
      );
    } catch (error) {
      log.warn({ err: error }, `gpio ${this.#chip.info.label}: ${messageOf(error)}`);
    }
    this.#chip.close();
  }

  /** Returns the offset of a line that exists and is free. Throws a DcsError. */
  #locateLine(
    { channel }: LineRequestSpec,
    offsetsSoFar: ReadonlyMap<number, string>,
    handedOver: readonly HandedOverLines[],
  ): number {
    const offset = this.#chip.offsetOf(channel.address.gpio);
    const other = offsetsSoFar.get(offset);
    if (other !== undefined) {
      throw new DcsError('BAD_CONFIG', `${channel.key} and ${other} are the same line of ${this.#chip.info.label}`);
    }
    const info = this.#chip.line(offset);
    if ((info.flags & uapi.flags.used) === 0) return offset;
    if (handedOver.some(({ offsets }) => offsets.includes(offset))) return offset;
    throw new DcsError('BUSY', `${this.#chip.info.label} ${channel.key} is held by ${info.consumer || 'the kernel'}`, {
      found: info.consumer,
      ...(info.consumer.startsWith(CONSUMER) && {
        expected: 'no other agent, and no guardian of one (dcs-io release)',
      }),
    });
  }

  /**
   * Goes on with handed-over lines, which have been held and driven all along. Closes those that do not fit any more: they are
   * requested again. Returns the indices of the lines that are served.
   */
  #adoptLines(
    handedOver: readonly HandedOverLines[],
    located: readonly LocatedLine[],
    results: LineResult[],
  ): Set<number> {
    const served = new Set<number>();
    for (const one of handedOver) {
      const adoption = planAdoption(one, located);
      try {
        if (!adoption) throw new DcsError('BAD_CONFIG', 'the configuration uses them in another way now');
        const { lines } = this.#adoptRequest(one, adoption);
        adoption.plan.lines.forEach(({ index }, bit) => {
          const line = lines[bit];
          if (index === UNUSED) line?.release();
          else if (line) results[index] = { ok: true, line };
          served.add(index);
        });
      } catch (error) {
        closeSync(one.fd);
        const { message } = this.#kernelError(error, `lines ${one.offsets.join(', ')}`);
        this.#context.log.info(
          { lines: one.offsets },
          `lines held since the previous run are requested again: ${message}`,
        );
      }
    }
    return served;
  }

  #storeLines(request: LineRequest, lines: readonly LocatedLine[], results: LineResult[]): void {
    lines.forEach(({ index }, bit) => {
      const line = request.lines[bit];
      if (line) results[index] = { ok: true, line };
    });
  }

  /** Requests the lines of a plan. When the kernel refuses them, requests each alone, so that only the wrong one fails. */
  #requestOrSplit(plan: RequestPlan, results: LineResult[]): void {
    try {
      this.#storeLines(this.#requestPlan(plan), plan.lines, results);
    } catch (error) {
      const [first, ...more] = plan.lines;
      if (more.length > 0) {
        for (const line of plan.lines) this.#requestOrSplit(planRequest([line]), results);
      } else if (first) results[first.index] = { ok: false, error: this.#kernelError(error, first.spec.channel.key) };
    }
  }

  #requestPlan(plan: RequestPlan): LineRequest {
    const { fd, time } = this.#getLine(plan);
    const request = this.#trackRequest(fd, time, plan);
    try {
      if (plan.direction === 'in') request.startEvents();
      else if (!plan.keepLevel) request.setDriven(openingLevels(plan));
      else {
        // The lines were requested unchanged; now they become outputs that drive their present level.
        const levels = currentLevels(this.#libc, this.#chip, fd, plan);
        this.#configure(fd, plan, levels);
        request.setDriven(levels);
      }
    } catch (error) {
      void request.close();
      throw error;
    }
    return request;
  }

  /** Goes on with the lines of a descriptor. Throws; the descriptor then still belongs to the caller. */
  #adoptRequest({ fd, flags, floating }: HandedOverLines, { plan, idle }: AdoptionPlan): LineRequest {
    const levels = adoptedLevels(this.#libc, this.#chip, fd, plan);
    const unchanged = plan.lines.every(({ spec }) => spec.channel.openingValue === undefined);
    if (!unchanged || idle || flags !== plan.flags || floating.length > 0) this.#configure(fd, plan, levels, idle);
    const request = this.#trackRequest(fd, realtime, plan);
    request.setDriven(levels, idle);
    if (idle) {
      const lines = plan.lines.flatMap(({ index, offset }) => (index === UNUSED ? offset : []));
      this.#context.log.info({ lines }, `lines ${lines.join(', ')} are no longer driven; dcs-io release releases them`);
    }
    return request;
  }

  #trackRequest(fd: number, time: EventTime, plan: RequestPlan): LineRequest {
    const source = { libc: this.#libc, fd, path: this.#chip.path, time };
    const request = new LineRequest(source, plan, this.#context, (one) => this.#requests.delete(one));
    this.#requests.add(request);
    return request;
  }

  /** Sets settings and levels in one step. `idle`: bits of the lines that become inputs. */
  #configure(fd: number, { lines, flags }: RequestPlan, values: bigint, idle = 0n): void {
    const except = { flags: uapi.inputFlags(flags), mask: idle };
    this.#libc.ioctl(fd, uapi.SET_CONFIG, uapi.lineConfig(lines.length, { flags, values, ...(idle && { except }) }));
  }

  /** One GET_LINE: requests lines with direction, levels and settings in one step, so that no output glitches. */
  #getLine(plan: RequestPlan): { fd: number; time: EventTime } {
    const offsets = plan.lines.map(({ offset }) => offset);
    const get = (flags: number): number => {
      const values = plan.direction === 'out' && !plan.keepLevel ? { values: openingLevels(plan) } : {};
      const config = { flags, debounceUs: plan.debounceUs, ...values };
      const request = uapi.lineRequest(offsets, CONSUMER, config);
      this.#chip.ioctl(uapi.GET_LINE, request);
      return uapi.requestedFd(request);
    };
    if (plan.direction === 'out') return { fd: get(plan.keepLevel ? 0 : plan.flags), time: realtime };
    if (plan.timed) return { fd: get(plan.flags), time: monotonic(this.#context.clock) };
    try {
      return { fd: get(plan.flags | uapi.flags.realtimeClock), time: realtime };
    } catch (error) {
      if (systemCode(error) !== 'EINVAL') throw error;
      // Linux 5.10 does not know the flag; any other reason fails again below.
      return { fd: get(plan.flags), time: monotonic(this.#context.clock) };
    }
  }

  #kernelError(error: unknown, key: string): DcsError {
    return kernelError(error, `${this.#chip.info.label} ${key}`, this.#chip.path);
  }
}
