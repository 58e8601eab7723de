import { z } from 'zod';
import type { Timer } from '../../src/clock/clock.ts';
import type {
  Channel,
  CrashPlan,
  Driver,
  Port,
  PortContext,
  Reading,
  SafeWrite,
  WriteOptions,
  WriteResult,
} from '../../src/driver/contract.ts';
import { siblingModule } from '../../src/driver/crash-plan.ts';
import { durationSchema } from '../../src/driver/kit/schemas.ts';
import { SequentialQueue } from '../../src/driver/kit/sequential-queue.ts';
import { DcsError, toDcsError, unconfirmedWrite } from '../../src/errors/errors.ts';
import { fitsKind, type RawValue } from '../../src/pin/pin.ts';
import type { SysfsPlan } from './crash-plan.ts';
import { readAddress, type SysfsAddress, writeAddress } from './files.ts';

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
  /** The value last told, or last answered to a write. */
  last: Reading | undefined;
  /** Resolution of an IIO output, once it has been written; see Port.resolution. */
  resolution: number | undefined;
  timer: Timer | undefined;
  /** Writes and polls in their order: a reading from before a write is not told during or after it. */
  readonly queue: SequentialQueue;
}

/** Pins that are files of sysfs. A missing file affects its own pin only. */
export class SysfsPort implements Port {
  readonly #root: string;
  readonly #context: PortContext;
  readonly #pins: ReadonlyMap<string, SysfsPin>;
  /** A 1-wire bus reads one thermometer at a time, and takes up to 750 ms for it. */
  readonly #oneWireBus = new SequentialQueue();
  #ended: DcsError | undefined;

  constructor(root: string, channels: readonly Channel<SysfsAddress>[], context: PortContext) {
    this.#root = root;
    this.#context = context;
    this.#pins = new Map(
      channels.map((channel): [string, SysfsPin] => {
        const idle = {
          last: undefined,
          resolution: undefined,
          timer: undefined,
          queue: new SequentialQueue(),
        };
        return [channel.key, { channel, ...idle }];
      }),
    );
  }

  /** Drives the opening values and begins to poll. Rejects when an opening value cannot be driven. */
  async begin(): Promise<void> {
    for (const { channel } of this.#pins.values()) {
      if (channel.direction === 'out' && channel.openingValue !== undefined)
        await this.write(channel, channel.openingValue);
    }
    for (const pin of this.#pins.values()) {
      // The opening value is told as the first value, like any other.
      pin.last = undefined;
      void this.#poll(pin);
    }
  }

  async read(channels: readonly Channel[]): Promise<Reading[]> {
    if (this.#ended) throw this.#ended;
    const readings = await Promise.all(
      channels.map(async ({ key }): Promise<Reading> => {
        const pin = this.#pins.get(key);
        if (pin) return await this.#read(pin);
        return { ok: false, error: new DcsError('NO_SUCH_CHANNEL', `this port has no channel ${key}`) };
      }),
    );
    const ended: DcsError | undefined = this.#ended;
    if (ended) throw ended;
    return readings;
  }

  async write(channel: Channel, value: RawValue, { expiresAt }: WriteOptions = {}): Promise<WriteResult> {
    if (this.#ended) throw this.#ended;
    const pin = this.#pins.get(channel.key);
    if (!pin || channel.direction !== 'out') throw new DcsError('READ_ONLY', `${channel.key} is an input`);
    if (!fitsKind(channel.kind, value)) {
      throw new DcsError('BAD_VALUE', `${channel.key} cannot hold ${JSON.stringify(value)}`, {
        found: value,
        expected: channel.kind,
      });
    }
    const { address } = pin.channel;
    return pin.queue.run(async () => {
      if (this.#ended) throw this.#ended;
      if (expiresAt !== undefined && this.#context.clock.now() > expiresAt) {
        throw new DcsError('EXPIRED', `${channel.key}: the command waited too long in the queue`);
      }
      // The value from before is uncertain from now on, whether or not the write succeeds.
      pin.last = undefined;
      pin.resolution = await writeAddress(this.#root, address, value);
      const { value: readBack } = await readAddress(this.#root, address).catch((thrown: unknown) => {
        throw unconfirmedWrite(channel.key, toDcsError(thrown));
      });
      pin.last = { ok: true, value: readBack };
      return { readBack };
    });
  }

  resolution({ key }: Channel): number | undefined {
    return this.#pins.get(key)?.resolution;
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

  async close(): Promise<void> {
    this.#ended ??= new DcsError('PORT_DOWN', 'the sysfs port is closed');
    for (const { timer } of this.#pins.values()) timer?.cancel();
  }

  /** Reads a pin now and then at its own rate, and tells what has changed. */
  async #poll(pin: SysfsPin): Promise<void> {
    await pin.queue.run(async () => {
      const reading = await this.#read(pin);
      if (this.#ended) return;
      const before = pin.last;
      pin.last = reading;
      const same = before?.ok ? reading.ok && before.value === reading.value : before !== undefined && !reading.ok;
      if (!same) this.#context.changed(pin.channel, reading);
    });
    if (this.#ended) return;
    pin.timer = this.#context.clock.after(pin.channel.address.poll, () => void this.#poll(pin));
  }

  #read({ channel: { address } }: SysfsPin): Promise<Reading> {
    const readNow = async (): Promise<Reading> => {
      try {
        const found = await readAddress(this.#root, address);
        return { ok: true, ...found, sourceTime: this.#context.clock.unix() };
      } catch (error) {
        this.#context.count('read_failures');
        return { ok: false, error: toDcsError(error) };
      }
    };
    return address.kind === 'w1' ? this.#oneWireBus.run(readNow) : readNow();
  }
}
