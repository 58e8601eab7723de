import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { DurationMs, Timer } from '../../src/clock/clock.ts';
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
import { SequentialQueue } from '../../src/driver/kit/sequential-queue.ts';
import { DcsError, toDcsError, unconfirmedWrite } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { ChannelFiles, findChip } from './channel-files.ts';
import type { PwmPlan } from './crash-plan.ts';
import { pwmPlacer } from './place.ts';

const optionsSchema = z.strictObject({
  chip: z
    .string({ error: 'a PWM chip: pwmchip0, or the name of its device (fe20c000.pwm)' })
    .min(1)
    .describe('the chip, by the name of its device (fe20c000.pwm, which never changes) or by number (pwmchip0)'),
  root: z.string().min(1).default('/sys').describe('where sysfs is mounted'),
});
export type PwmOptions = z.infer<typeof optionsSchema>;

const pinSchema = z.strictObject({
  pwm: z.int().min(0).max(255).describe('the channel of the chip'),
  frequency: z.number().min(0.01).max(10_000_000).default(1000).describe('Hz'),
});
export type PwmAddress = z.infer<typeof pinSchema>;

/** PWM by the processor: exact, and it goes on when the agent ends. A value is the duty cycle, 0 to 1 (scale: 100 for %). */
export const pwm: Driver<PwmOptions, PwmAddress> = {
  contract: 1,
  name: 'pwm',
  summary: 'PWM outputs of the processor or of a PWM chip, by the Linux kernel (/sys/class/pwm)',
  options: optionsSchema,
  pin: pinSchema,
  placer: pwmPlacer,
  describe: ({ pwm }) => ({ key: `pwm ${pwm}`, kind: 'analog', directions: ['out'] }),
  // Two ports on one chip would not know each other's channels.
  claims: ({ chip }) => `PWM chip ${chip}`,
  access: {
    // Raspberry Pi OS gives the files to gpio, BeagleBoard's images give them to pwm.
    groups: ['gpio', 'pwm'],
    hint: 'it comes with its overlay: dtoverlay=pwm in config.txt on a Raspberry Pi',
  },
  async devicePaths({ chip, root }) {
    const folder = await findChip(root, chip);
    return folder === undefined ? [] : [join(folder, 'export')];
  },
  async open({ chip, root }, channels, context) {
    const folder = await findChip(root, chip);
    if (folder === undefined) {
      // While the system starts, the chip's device is there before its kernel module is loaded.
      if (existsSync(join(root, 'bus/platform/devices', chip)))
        throw new DcsError('PORT_DOWN', `the kernel has not taken the PWM chip ${chip} into use yet`);
      return { kind: 'skipped', reason: `this machine has no PWM chip ${chip}` };
    }
    const port = new PwmPort(folder, channels, context);
    await port.begin();
    return { kind: 'port', port };
  },
};

/** Pause before a channel that could not be opened is tried again; it doubles up to the longest. */
const FIRST_RETRY_MS: DurationMs = 500;
const LONGEST_RETRY_MS: DurationMs = 30_000;

interface Output {
  readonly channel: Channel<PwmAddress>;
  readonly files: ChannelFiles;
  /** Reads and writes in their order. */
  readonly queue: SequentialQueue;
  /** Why it could not be opened. */
  error: DcsError | undefined;
}

/** The channels of one PWM chip. When the port closes they go on as they are. */
export class PwmPort implements Port {
  readonly #chip: string;
  readonly #outputs: ReadonlyMap<string, Output>;
  readonly #context: PortContext;
  #retry: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;
  #ended: DcsError | undefined;

  /** `chip`: its folder in /sys/class/pwm. */
  constructor(chip: string, channels: readonly Channel<PwmAddress>[], context: PortContext) {
    this.#chip = chip;
    this.#context = context;
    this.#outputs = new Map(
      channels.map((channel): [string, Output] => {
        const files = new ChannelFiles(chip, channel.address.pwm, channel.address.frequency);
        return [channel.key, { channel, files, queue: new SequentialQueue(), error: undefined }];
      }),
    );
  }

  /**
   * Opens the channels and drives their opening values. A channel that cannot be opened affects no other, and is tried again.
   * Rejects when the chip is gone.
   */
  async begin(): Promise<void> {
    for (const output of this.#outputs.values()) {
      await output.queue.run(() => this.#openChannel(output));
      await this.#tell(output);
    }
    const ended: DcsError | undefined = this.#ended;
    if (ended) throw ended;
    this.#scheduleRetry();
  }

  async read(channels: readonly Channel[]): Promise<Reading[]> {
    if (this.#ended) throw this.#ended;
    const readings = await Promise.all(channels.map(({ key }) => this.#read(this.#output(key))));
    const ended: DcsError | undefined = this.#ended;
    if (ended) throw ended;
    return readings;
  }

  async write({ key }: Channel, value: RawValue, { expiresAt }: WriteOptions = {}): Promise<WriteResult> {
    if (this.#ended) throw this.#ended;
    const output = this.#output(key);
    const dutyCycle = dutyCycleOf(key, value);
    const readBack = await output.queue.run(async () => {
      if (this.#ended) throw this.#ended;
      if (expiresAt !== undefined && this.#context.clock.now() > expiresAt) {
        throw new DcsError('EXPIRED', `${key}: the command waited too long in the queue`);
      }
      try {
        if (output.error) await output.files.export(this.#context.clock);
        await output.files.set(dutyCycle);
      } catch (thrown) {
        throw this.#failed(thrown);
      }
      return await output.files.dutyCycle().catch((thrown: unknown) => {
        throw unconfirmedWrite(key, this.#failed(thrown));
      });
    });
    if (this.#ended) throw this.#ended;
    output.error = undefined;
    return { readBack };
  }

  resolution({ key }: Channel): number | undefined {
    return this.#outputs.get(key)?.files.resolution;
  }

  crashPlan(writes: readonly SafeWrite[]): CrashPlan {
    const outputs = writes.map(({ channel: { key }, value }) => {
      const { pwm, frequency } = this.#output(key).channel.address;
      return { pwm, frequency, dutyCycle: dutyCycleOf(key, value) };
    });
    const plan: PwmPlan = { chip: this.#chip, outputs };
    return { executor: siblingModule(import.meta.url, 'crash-plan'), plan };
  }

  async close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', 'the pwm port is closed'));
  }

  #output(key: string): Output {
    const output = this.#outputs.get(key);
    if (output) return output;
    throw new DcsError('NO_SUCH_CHANNEL', `${key} was not opened with this port`, { found: key });
  }

  async #openChannel(output: Output): Promise<void> {
    const { files, channel } = output;
    const { key, openingValue, address } = channel;
    try {
      await files.export(this.#context.clock);
      if (openingValue !== undefined) await files.set(dutyCycleOf(key, openingValue));
      output.error = undefined;
      const { log } = this.#context;
      log.info({ channel: key }, `${key} of ${basename(this.#chip)}: by the kernel, ${address.frequency} Hz`);
    } catch (thrown) {
      const error = this.#failed(thrown);
      // Logged once for each reason: the retries must not fill the log.
      if (error.message !== output.error?.message) this.#context.log.warn({ err: error }, error.message);
      output.error = error;
    }
  }

  #scheduleRetry(): void {
    const missing = [...this.#outputs.values()].filter(({ error }) => error?.retryable);
    if (this.#ended || missing.length === 0) return;
    this.#retry = this.#context.clock.after(this.#retryMs, () => void this.#retryChannels(missing));
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
  }

  async #retryChannels(missing: readonly Output[]): Promise<void> {
    for (const output of missing) {
      const opened = await output.queue.run(async () => {
        // A command may have opened the channel meanwhile.
        if (this.#ended || !output.error) return false;
        await this.#openChannel(output);
        return !output.error;
      });
      if (opened) await this.#tell(output);
    }
    this.#scheduleRetry();
  }

  async #tell(output: Output): Promise<void> {
    const reading = await this.#read(output);
    if (!this.#ended) this.#context.changed(output.channel, reading);
  }

  async #read(output: Output): Promise<Reading> {
    try {
      return await output.queue.run(async (): Promise<Reading> => {
        if (output.error) throw output.error;
        return { ok: true, value: await output.files.dutyCycle() };
      });
    } catch (thrown) {
      return { ok: false, error: this.#failed(thrown) };
    }
  }

  #failed(thrown: unknown): DcsError {
    const error = toDcsError(thrown);
    if (error.code !== 'PORT_DOWN' || this.#ended || existsSync(this.#chip)) return error;
    const gone = new DcsError('PORT_DOWN', `the PWM chip ${basename(this.#chip)} is gone`, { cause: error });
    this.#end(gone);
    this.#context.down(gone);
    return gone;
  }

  #end(error: DcsError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#retry?.cancel();
  }
}

function dutyCycleOf(key: string, value: RawValue): number {
  if (typeof value !== 'number') throw new DcsError('BAD_VALUE', `${key} takes a number`, { found: value });
  if (value >= 0 && value <= 1) return value;
  throw new DcsError('OUT_OF_RANGE', `${key}: a duty cycle is 0 to 1`, { found: value, expected: '0 to 1' });
}
