import type { Timer } from '../../src/clock/clock.ts';
import type {
  Channel,
  CrashPlan,
  Port,
  PortContext,
  Reading,
  ReadingListener,
  SafeWrite,
  WriteOptions,
  WriteResult,
} from '../../src/driver/contract.ts';
import { siblingModule } from '../../src/driver/crash-plan.ts';
import { SequentialQueue } from '../../src/driver/kit/sequential-queue.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import { fitsKind, type RawValue } from '../../src/pin/pin.ts';
import type { SysfsPlan } from './crash-plan.ts';
import type { SysfsAddress } from './driver.ts';
import { readAddress, writeAddress } from './files.ts';

interface Point {
  readonly channel: Channel<SysfsAddress>;
  readonly listeners: Set<ReadingListener>;
  last: Reading | undefined;
  timer: Timer | undefined;
  /** Writes: a later one must not be overtaken by an earlier one. */
  readonly writing: SequentialQueue;
}

/** Pins that are files of sysfs. A file that is not there makes its own pin bad, no other. */
export class SysfsPort implements Port {
  readonly #root: string;
  readonly #context: PortContext;
  readonly #points: ReadonlyMap<string, Point>;
  /** A 1-wire bus takes most of a second for one thermometer, and one at a time. */
  readonly #wire = new SequentialQueue();
  #ended: DcsError | undefined;

  constructor(root: string, channels: readonly Channel<SysfsAddress>[], context: PortContext) {
    this.#root = root;
    this.#context = context;
    this.#points = new Map(
      channels.map((channel) => {
        const idle = { last: undefined, timer: undefined, writing: new SequentialQueue() };
        return [channel.key, { channel, listeners: new Set(), ...idle }];
      }),
    );
  }

  /** Drives the start values and begins to poll. Rejects when a start value cannot be driven. */
  async begin(): Promise<void> {
    for (const { channel } of this.#points.values()) {
      if (channel.direction === 'out' && channel.openingValue !== undefined)
        await this.write(channel, channel.openingValue);
    }
    for (const point of this.#points.values()) this.#poll(point);
  }

  async read(channels: readonly Channel[]): Promise<Reading[]> {
    if (this.#ended) throw this.#ended;
    const readings = await Promise.all(
      channels.map(async ({ key }): Promise<Reading> => {
        const point = this.#points.get(key);
        if (point) return await this.#look(point);
        return { ok: false, error: new DcsError('NO_SUCH_CHANNEL', `${key} is none of this port`) };
      }),
    );
    const ended: DcsError | undefined = this.#ended;
    if (ended) throw ended;
    return readings;
  }

  async write(channel: Channel, value: RawValue, { expiresAt }: WriteOptions = {}): Promise<WriteResult> {
    if (this.#ended) throw this.#ended;
    const point = this.#points.get(channel.key);
    const address = point?.channel.address;
    if (!address || channel.direction !== 'out') throw new DcsError('READ_ONLY', `${channel.key} is an input`);
    if (!fitsKind(channel.kind, value)) {
      throw new DcsError('BAD_VALUE', `${channel.key} cannot hold ${JSON.stringify(value)}`, {
        found: value,
        expected: channel.kind,
      });
    }
    return point.writing.run(async () => {
      if (this.#ended) throw this.#ended;
      if (expiresAt !== undefined && this.#context.clock.now() > expiresAt) {
        throw new DcsError('EXPIRED', `${channel.key}: the command waited too long for its turn`);
      }
      await writeAddress(this.#root, address, value);
      return { readBack: (await readAddress(this.#root, address)).value };
    });
  }

  crashPlan(writes: readonly SafeWrite[]): CrashPlan {
    const plan: SysfsPlan = {
      root: this.#root,
      writes: writes.flatMap(({ channel: { key }, value }) => {
        const address = this.#points.get(key)?.channel.address;
        return address ? [{ address, value }] : [];
      }),
    };
    return { executor: siblingModule(import.meta.url, 'crash-plan'), plan };
  }

  subscribe(channel: Channel, listener: ReadingListener): () => void {
    const point = this.#points.get(channel.key);
    if (!point || this.#ended) return () => {};
    point.listeners.add(listener);
    const { last } = point;
    if (last) {
      queueMicrotask(() => {
        if (point.last === last && point.listeners.has(listener)) listener(last);
      });
    }
    return () => {
      point.listeners.delete(listener);
    };
  }

  async close(): Promise<void> {
    this.#ended ??= new DcsError('PORT_DOWN', 'the sysfs port is closed');
    for (const { timer, listeners } of this.#points.values()) {
      timer?.cancel();
      listeners.clear();
    }
  }

  #poll(point: Point): void {
    const turn = async () => {
      const before = point.last;
      const reading = await this.#look(point);
      if (this.#ended) return;
      point.last = reading;
      const same = before?.ok ? reading.ok && before.value === reading.value : before !== undefined && !reading.ok;
      if (!same) for (const listener of point.listeners) listener(reading);
      point.timer = this.#context.clock.after(point.channel.address.poll, () => void turn());
    };
    void turn();
  }

  #look({ channel: { address } }: Point): Promise<Reading> {
    const turn = async (): Promise<Reading> => {
      try {
        const found = await readAddress(this.#root, address);
        return { ok: true, ...found, sourceTime: this.#context.clock.unix() };
      } catch (error) {
        this.#context.count('read_failures');
        return { ok: false, error: toDcsError(error) };
      }
    };
    return address.kind === 'w1' ? this.#wire.run(turn) : turn();
  }
}
