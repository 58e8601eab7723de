import { z } from 'zod';
import type { Timer } from '../../src/clock/clock.ts';
import type {
  Channel,
  CrashPlan,
  Driver,
  Port,
  PortContext,
  Reading,
  ReadingListener,
  SafeWrite,
  WriteOptions,
  WriteResult,
} from '../../src/driver/contract.ts';
import { siblingModule } from '../../src/driver/crash-plan.ts';
import { durationSchema } from '../../src/driver/kit/schemas.ts';
import { SequentialQueue } from '../../src/driver/kit/sequential-queue.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import { fitsKind, type RawValue } from '../../src/pin/pin.ts';
import type { SysfsPlan } from './crash-plan.ts';
import { readAddress, writeAddress } from './files.ts';

const optionsSchema = z.strictObject({
  root: z.string().min(1).default('/sys').describe('where sysfs is mounted'),
});
export type SysfsOptions = z.infer<typeof optionsSchema>;

const name = z
  .string()
  .min(1)
  .regex(/^[^/\0]+$/, { error: 'a name in sysfs, without /' })
  .refine((text) => text !== '.' && text !== '..', { error: 'a name in sysfs' });

const keys = z.strictObject({
  w1: name.optional().describe('a 1-wire thermometer: 28-0316a4e5c8ff, a folder of /sys/bus/w1/devices'),
  iio: name.optional().describe('a device of the kernel’s industrial I/O: its name (bme280) or iio:device0'),
  channel: name.optional().describe('with iio: in_temp, in_voltage0, in_humidityrelative; out_voltage0 for outputs'),
  led: name.optional().describe('a light of the LED class: a folder of /sys/class/leds'),
  poll: durationSchema.prefault('1s').describe('how often it is read'),
});

export type SysfsAddress =
  | { readonly kind: 'w1'; readonly id: string; readonly poll: number }
  | { readonly kind: 'iio'; readonly device: string; readonly channel: string; readonly poll: number }
  | { readonly kind: 'led'; readonly name: string; readonly poll: number };

const pinSchema = keys.transform(({ w1, iio, channel, led, poll }, context): SysfsAddress => {
  const given = [w1, iio, led].filter((one) => one !== undefined).length;
  if (given === 1 && w1 !== undefined && channel === undefined) return { kind: 'w1', id: w1, poll };
  if (given === 1 && led !== undefined && channel === undefined) return { kind: 'led', name: led, poll };
  if (given === 1 && iio !== undefined && channel !== undefined) return { kind: 'iio', device: iio, channel, poll };
  const message = given === 1 ? 'iio and channel go together' : 'a pin is one of w1, iio with channel, led';
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** Sensors and lights that the kernel has drivers for: many HATs come as those. */
export const sysfs: Driver<SysfsOptions, SysfsAddress> = {
  contract: 1,
  name: 'sysfs',
  summary: 'what the kernel has drivers for: 1-wire thermometers, industrial I/O, lights of the LED class',
  options: optionsSchema,
  pin: pinSchema,
  describe(address) {
    if (address.kind === 'w1') return { key: `w1 ${address.id}`, kind: 'analog', directions: ['in'] };
    if (address.kind === 'led') return { key: `led ${address.name}`, kind: 'digital', directions: ['out'] };
    const out = address.channel.startsWith('out_');
    return { key: `${address.device} ${address.channel}`, kind: 'analog', directions: [out ? 'out' : 'in'] };
  },
  async open({ root }, channels, context) {
    const port = new SysfsPort(root, channels, context);
    await port.begin();
    return { kind: 'port', port };
  },
};

interface SysfsPin {
  readonly channel: Channel<SysfsAddress>;
  readonly listeners: Set<ReadingListener>;
  last: Reading | undefined;
  timer: Timer | undefined;
  /** Writes: a later one must not be overtaken by an earlier one. */
  readonly writes: SequentialQueue;
}

/** Pins that are files of sysfs. A file that is not there makes its own pin bad, no other. */
export class SysfsPort implements Port {
  readonly #root: string;
  readonly #context: PortContext;
  readonly #pins: ReadonlyMap<string, SysfsPin>;
  /** A 1-wire bus takes most of a second for one thermometer, and one at a time. */
  readonly #oneWireBus = new SequentialQueue();
  #ended: DcsError | undefined;

  constructor(root: string, channels: readonly Channel<SysfsAddress>[], context: PortContext) {
    this.#root = root;
    this.#context = context;
    this.#pins = new Map(
      channels.map((channel) => {
        const idle = { last: undefined, timer: undefined, writes: new SequentialQueue() };
        return [channel.key, { channel, listeners: new Set(), ...idle }];
      }),
    );
  }

  /** Drives the start values and begins to poll. Rejects when a start value cannot be driven. */
  async begin(): Promise<void> {
    for (const { channel } of this.#pins.values()) {
      if (channel.direction === 'out' && channel.openingValue !== undefined)
        await this.write(channel, channel.openingValue);
    }
    for (const point of this.#pins.values()) this.#poll(point);
  }

  async read(channels: readonly Channel[]): Promise<Reading[]> {
    if (this.#ended) throw this.#ended;
    const readings = await Promise.all(
      channels.map(async ({ key }): Promise<Reading> => {
        const point = this.#pins.get(key);
        if (point) return await this.#read(point);
        return { ok: false, error: new DcsError('NO_SUCH_CHANNEL', `${key} is none of this port`) };
      }),
    );
    const ended: DcsError | undefined = this.#ended;
    if (ended) throw ended;
    return readings;
  }

  async write(channel: Channel, value: RawValue, { expiresAt }: WriteOptions = {}): Promise<WriteResult> {
    if (this.#ended) throw this.#ended;
    const point = this.#pins.get(channel.key);
    const address = point?.channel.address;
    if (!address || channel.direction !== 'out') throw new DcsError('READ_ONLY', `${channel.key} is an input`);
    if (!fitsKind(channel.kind, value)) {
      throw new DcsError('BAD_VALUE', `${channel.key} cannot hold ${JSON.stringify(value)}`, {
        found: value,
        expected: channel.kind,
      });
    }
    return point.writes.run(async () => {
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
        const address = this.#pins.get(key)?.channel.address;
        return address ? [{ address, value }] : [];
      }),
    };
    return { executor: siblingModule(import.meta.url, 'crash-plan'), plan };
  }

  subscribe(channel: Channel, listener: ReadingListener): () => void {
    const point = this.#pins.get(channel.key);
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
    for (const { timer, listeners } of this.#pins.values()) {
      timer?.cancel();
      listeners.clear();
    }
  }

  #poll(point: SysfsPin): void {
    const turn = async () => {
      const before = point.last;
      const reading = await this.#read(point);
      if (this.#ended) return;
      point.last = reading;
      const same = before?.ok ? reading.ok && before.value === reading.value : before !== undefined && !reading.ok;
      if (!same) for (const listener of point.listeners) listener(reading);
      point.timer = this.#context.clock.after(point.channel.address.poll, () => void turn());
    };
    void turn();
  }

  #read({ channel: { address } }: SysfsPin): Promise<Reading> {
    const turn = async (): Promise<Reading> => {
      try {
        const found = await readAddress(this.#root, address);
        return { ok: true, ...found, sourceTime: this.#context.clock.unix() };
      } catch (error) {
        this.#context.count('read_failures');
        return { ok: false, error: toDcsError(error) };
      }
    };
    return address.kind === 'w1' ? this.#oneWireBus.run(turn) : turn();
  }
}
