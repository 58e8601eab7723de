import type { Channel, Port, PortContext, Reading, ReadingListener, Written } from '../../src/driver/driver.ts';
import { besides, type LastWill, type SafeWrite } from '../../src/driver/last-will.ts';
import { Turns } from '../../src/driver/turns.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { ChannelFiles } from './channel-files.ts';
import type { PwmAddress } from './driver.ts';
import type { PwmPlan } from './last-will.ts';

interface Output {
  readonly files: ChannelFiles;
  readonly listeners: Set<ReadingListener>;
  /** Why it could not be taken. */
  error: DcsError | undefined;
  /** Writes and looks. */
  readonly turns: Turns;
}

/** The channels of one PWM chip. They stay with the kernel when the port closes, and go on as they were. */
export class PwmPort implements Port {
  readonly #outputs: ReadonlyMap<string, Output>;
  readonly #channels: readonly Channel<PwmAddress>[];
  readonly #context: PortContext;
  readonly #chip: string;
  #ended: DcsError | undefined;

  constructor(chip: string, channels: readonly Channel<PwmAddress>[], context: PortContext) {
    this.#chip = chip;
    this.#channels = channels;
    this.#context = context;
    this.#outputs = new Map(
      channels.map(({ key, address }): [string, Output] => {
        const files = new ChannelFiles(chip, address.pwm, address.frequency);
        return [key, { files, listeners: new Set(), error: undefined, turns: new Turns() }];
      }),
    );
  }

  /** Takes the channels and drives those that have a start. One that cannot be had harms no other. */
  async begin(): Promise<void> {
    for (const { key, start } of this.#channels) {
      const output = this.#output(key);
      try {
        await output.files.take(this.#context.clock);
        if (start !== undefined) await output.files.set(shareOf(key, start));
      } catch (thrown) {
        output.error = toDcsError(thrown);
        this.#context.log.warn({ err: output.error }, output.error.message);
      }
    }
  }

  async read(channels: readonly Channel[]): Promise<Reading[]> {
    if (this.#ended) throw this.#ended;
    return Promise.all(channels.map(({ key }) => this.#look(this.#output(key))));
  }

  async write({ key }: Channel, value: RawValue): Promise<Written> {
    if (this.#ended) throw this.#ended;
    const output = this.#output(key);
    const share = shareOf(key, value);
    const readBack = await output.turns.take(async () => {
      if (this.#ended) throw this.#ended;
      await output.files.set(share);
      return output.files.share();
    });
    if (this.#ended) throw this.#ended;
    output.error = undefined;
    for (const listener of output.listeners) listener({ ok: true, value: readBack });
    return { readBack };
  }

  lastWill(writes: readonly SafeWrite[]): LastWill {
    const outputs = writes.flatMap(({ channel: { key }, value }) => {
      const channel = this.#channels.find((one) => one.key === key);
      if (!channel) return [];
      const { pwm, frequency } = channel.address;
      return [{ pwm, frequency, share: shareOf(key, value) }];
    });
    const plan: PwmPlan = { chip: this.#chip, outputs };
    return { executor: besides(import.meta.url, 'last-will'), plan };
  }

  subscribe({ key }: Channel, listener: ReadingListener): () => void {
    if (this.#ended) return () => {};
    const { listeners } = this.#output(key);
    const own: ReadingListener = (reading) => listener(reading);
    listeners.add(own);
    void this.#look(this.#output(key)).then((reading) => {
      if (listeners.has(own)) own(reading);
    });
    return () => {
      listeners.delete(own);
    };
  }

  async close(): Promise<void> {
    this.#ended ??= new DcsError('PORT_DOWN', 'the pwm port is closed');
    for (const { listeners } of this.#outputs.values()) listeners.clear();
  }

  #output(key: string): Output {
    const output = this.#outputs.get(key);
    if (output) return output;
    throw new DcsError('NO_SUCH_CHANNEL', `${key} was not opened with this port`, { found: key });
  }

  async #look(output: Output): Promise<Reading> {
    if (output.error) return { ok: false, error: output.error };
    try {
      return { ok: true, value: await output.turns.take(() => output.files.share()) };
    } catch (thrown) {
      return { ok: false, error: toDcsError(thrown) };
    }
  }
}

function shareOf(key: string, value: RawValue): number {
  if (typeof value !== 'number') throw new DcsError('BAD_VALUE', `${key} takes a number`, { found: value });
  if (value >= 0 && value <= 1) return value;
  throw new DcsError('OUT_OF_RANGE', `${key}: a share of on-time is 0 to 1`, { found: value, expected: '0 to 1' });
}
