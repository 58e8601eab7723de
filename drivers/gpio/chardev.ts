import { withDeadline } from '../../src/clock/clock.ts';
import type { PortContext } from '../../src/driver/driver.ts';
import { DcsError, messageOf, systemCode } from '../../src/errors/errors.ts';
import type { GpioBackend, GpioChannel, Line, Taken, Wish } from './backend.ts';
import type { ChardevChip } from './chardev-chip.ts';
import { type EventTime, monotonic, realtime } from './event-time.ts';
import { kernelError } from './kernel-errors.ts';
import type { GpioPlan, PlannedLine } from './last-will.ts';
import type { Libc } from './libc.ts';
import { type Located, lineFlags, onePlan, planRequests, type RequestPlan } from './line-plan.ts';
import { LineRequest } from './line-request.ts';
import * as uapi from './uapi.ts';

/** What gpioinfo shows as the consumer of our lines. */
const CONSUMER = 'dcs-io';
const CLOSE_LIMIT_MS = 300;

/** GPIO through the character device: numbered, time-stamped edges, bias, drive and debouncing in the kernel. */
export class ChardevBackend implements GpioBackend {
  readonly name = 'chardev';
  readonly debounces = true;
  readonly #libc: Libc;
  readonly #chip: ChardevChip;
  readonly #context: PortContext;
  readonly #requests = new Set<LineRequest>();
  #closed = false;

  constructor(libc: Libc, chip: ChardevChip, context: PortContext) {
    this.#libc = libc;
    this.#chip = chip;
    this.#context = context;
  }

  async take(wishes: readonly Wish[]): Promise<Taken[]> {
    const gone = this.missing();
    if (gone) throw gone;
    await this.#context.reclaim?.();
    const results: Taken[] = [];
    const located: Located[] = [];
    const offsets = new Map<number, string>();
    wishes.forEach((wish, at) => {
      try {
        const offset = this.#locate(wish, offsets);
        offsets.set(offset, wish.channel.key);
        located.push({ wish, offset, at });
      } catch (error) {
        results[at] = { ok: false, error: this.#explain(error, wish.channel.key) };
      }
    });
    for (const plan of planRequests(located)) this.#request(plan, results);
    return results;
  }

  write(levels: ReadonlyMap<Line, boolean>): Map<Line, boolean> {
    const found = new Map<Line, boolean>();
    for (const request of this.#requests) {
      for (const [line, level] of request.write(levels)) found.set(line, level);
    }
    return found;
  }

  lastWill(levels: readonly { readonly channel: GpioChannel; readonly high: boolean }[]): GpioPlan {
    const lines = levels.map(({ channel, high }): PlannedLine => {
      return { offset: this.#chip.offsetOf(channel.address.gpio), flags: lineFlags({ channel, edges: 'both' }), high };
    });
    return { by: 'chardev', chip: this.#chip.info.label, name: this.#chip.info.name, lines };
  }

  missing(): DcsError | undefined {
    return this.#closed ? undefined : this.#chip.missing();
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
        () => new DcsError('TIMEOUT', 'the lines were not given back'),
      );
    } catch (error) {
      log.warn({ err: error }, `gpio ${this.#chip.info.label}: ${messageOf(error)}`);
    }
    this.#chip.close();
  }

  /** The line of a wish, once it is known to exist and to be free. */
  #locate({ channel }: Wish, alsoWanted: ReadonlyMap<number, string>): number {
    const offset = this.#chip.offsetOf(channel.address.gpio);
    const other = alsoWanted.get(offset);
    if (other !== undefined) {
      throw new DcsError('BAD_CONFIG', `${channel.key} and ${other} are the same line of ${this.#chip.info.label}`);
    }
    const info = this.#chip.line(offset);
    if ((info.flags & uapi.flags.used) === 0) return offset;
    throw new DcsError('BUSY', `${this.#chip.info.label} ${channel.key} is held by ${info.consumer || 'the kernel'}`, {
      found: info.consumer,
    });
  }

  /** Takes the lines of a plan; when the kernel refuses them together, one by one, so that only the guilty one fails. */
  #request(plan: RequestPlan, results: Taken[]): void {
    try {
      const request = this.#take(plan);
      plan.lines.forEach(({ at }, index) => {
        const line = request.lines[index];
        if (line) results[at] = { ok: true, line };
      });
    } catch (error) {
      const [first, ...more] = plan.lines;
      if (more.length > 0) {
        for (const line of plan.lines) this.#request(onePlan([line]), results);
      } else if (first) results[first.at] = { ok: false, error: this.#explain(error, first.wish.channel.key) };
    }
  }

  #take(plan: RequestPlan): LineRequest {
    const { fd, time } = this.#getLines(plan);
    const source = { libc: this.#libc, fd, path: this.#chip.path, time };
    const request = new LineRequest(source, plan, this.#context, (one) => this.#requests.delete(one));
    this.#requests.add(request);
    try {
      if (plan.direction === 'out') request.drives(plan.keep ? this.#keepLevels(fd, plan) : startLevels(plan));
      else request.begin();
    } catch (error) {
      void request.close();
      throw error;
    }
    return request;
  }

  /** One GET_LINE: lines, direction, levels and everything else in one step, so that nothing glitches. */
  #getLines(plan: RequestPlan): { fd: number; time: EventTime } {
    const offsets = plan.lines.map(({ offset }) => offset);
    const get = (flags: number): number => {
      const values = plan.direction === 'out' && !plan.keep ? { values: startLevels(plan) } : {};
      const config = { flags, debounceUs: plan.debounceUs, ...values };
      const request = uapi.lineRequest(offsets, CONSUMER, config);
      this.#chip.ioctl(uapi.GET_LINE, request);
      return uapi.requestedFd(request);
    };
    if (plan.direction === 'out') return { fd: get(plan.keep ? 0 : plan.flags), time: realtime };
    if (plan.timed) return { fd: get(plan.flags), time: monotonic(this.#context.clock) };
    try {
      return { fd: get(plan.flags | uapi.flags.realtimeClock), time: realtime };
    } catch (error) {
      if (systemCode(error) !== 'EINVAL') throw error;
      // Linux 5.10 does not know the flag; if that was not the reason, this fails the same way.
      return { fd: get(plan.flags), time: monotonic(this.#context.clock) };
    }
  }

  /** Lines taken as they are become outputs that drive what they already show. */
  #keepLevels(fd: number, plan: RequestPlan): bigint {
    const count = plan.lines.length;
    const values = uapi.lineValues(0n, uapi.allLines(count));
    this.#libc.ioctl(fd, uapi.GET_VALUES, values);
    let levels = values.readBigUInt64LE(0);
    plan.lines.forEach(({ offset, wish }, at) => {
      const { drive } = wish.channel.address;
      if (drive === undefined || drive === 'push-pull') return;
      if (this.#chip.line(offset).flags & uapi.flags.output) return;
      // Not driven so far: it stays so, whatever others do to the wire. Open-drain lets go with high, open-source with low.
      const bit = 1n << BigInt(at);
      levels = drive === 'open-drain' ? levels | bit : levels & ~bit;
    });
    this.#libc.ioctl(fd, uapi.SET_CONFIG, uapi.lineConfig(count, { flags: plan.flags, values: levels }));
    return levels;
  }

  #explain(error: unknown, key: string): DcsError {
    return kernelError(error, `${this.#chip.info.label} ${key}`, this.#chip.path);
  }
}

function startLevels(plan: RequestPlan): bigint {
  return plan.lines.reduce(
    (bits, { wish }, at) => (wish.channel.start === true ? bits | (1n << BigInt(at)) : bits),
    0n,
  );
}
