import {
  type Channel,
  DcsError,
  type Port,
  type PortContext,
  type Reading,
  SequentialQueue,
  type Timer,
  toDcsError,
  type WriteResult,
} from 'dcs-io/driver';
import type { Address, Options } from './driver.ts';
import type { SpiDevice } from './spi.ts';

/** One converter. It reads every channel each `poll` and tells the values that differ from the last ones. */
export class Mcp3008Port implements Port {
  readonly #spi: SpiDevice;
  readonly #channels: readonly Channel<Address>[];
  readonly #poll: number;
  readonly #context: PortContext;
  readonly #queue = new SequentialQueue();
  readonly #last = new Map<string, number>();
  #timer: Timer | undefined;
  #ended: DcsError | undefined;
  #closed: Promise<void> | undefined;

  constructor(spi: SpiDevice, { poll }: Options, channels: readonly Channel<Address>[], context: PortContext) {
    this.#spi = spi;
    this.#channels = channels;
    this.#poll = poll;
    this.#context = context;
    void this.#pollOnce();
  }

  async read(channels: readonly Channel<Address>[]): Promise<Reading[]> {
    const readings: Reading[] = [];
    for (const channel of channels) {
      const value = await this.#convert(channel);
      readings.push({ ok: true, value, sourceTime: this.#context.clock.unix() });
    }
    return readings;
  }

  async write({ key }: Channel<Address>): Promise<WriteResult> {
    throw this.#ended ?? new DcsError('READ_ONLY', `${key} is an input`);
  }

  close(): Promise<void> {
    this.#end(new DcsError('PORT_DOWN', 'the port is closed'));
    // After a transfer under way: the kernel still writes into its buffer.
    this.#closed ??= this.#queue.run(async () => this.#spi.close());
    return this.#closed;
  }

  async #pollOnce(): Promise<void> {
    try {
      for (const channel of this.#channels) {
        const value = await this.#convert(channel);
        if (this.#ended) return;
        if (this.#last.get(channel.key) === value) continue;
        this.#last.set(channel.key, value);
        this.#context.changed(channel, { ok: true, value, sourceTime: this.#context.clock.unix() });
      }
      this.#timer = this.#context.clock.after(this.#poll, () => void this.#pollOnce());
    } catch {
      // #convert has told that the port is down.
    }
  }

  /** One conversion: 0 to 1023 for 0 to the reference voltage. Rejects with PORT_DOWN when the kernel refuses. */
  #convert({ address, key }: Channel<Address>): Promise<number> {
    return this.#queue.run(async () => {
      if (this.#ended) throw this.#ended;
      try {
        // Datasheet DS21295D, figure 6-1: start bit; single-ended, channel; ten bits come back in the last two bytes.
        const received = await this.#spi.transfer(Uint8Array.of(1, 0x80 | (address.channel << 4), 0));
        return received.readUInt16BE(1) & 0x3ff;
      } catch (error) {
        throw this.#down(toDcsError(error, 'PORT_DOWN', `${key}: `));
      }
    });
  }

  #down(error: DcsError): DcsError {
    if (this.#ended) return this.#ended;
    this.#end(error);
    this.#context.down(error);
    return error;
  }

  #end(error: DcsError): void {
    this.#ended ??= error;
    this.#timer?.cancel();
  }
}
