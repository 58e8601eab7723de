import type { Channel, Port, WriteOptions, WriteResult } from '../driver/contract.ts';
import { toDcsError } from '../errors/errors.ts';
import type { RawValue } from '../pin/pin.ts';

interface QueuedWrite {
  readonly channel: Channel;
  readonly value: RawValue;
  readonly options: WriteOptions | undefined;
  readonly resolve: (written: WriteResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Combines the writes of one turn of the event loop. Commands that an actor sends from one handler reach the pins in one
 * turn, and the hardware in one step where the port has `writeAll`. Each write still has its own outcome.
 */
export class WriteBatch {
  readonly port: Port;
  #queued: QueuedWrite[] = [];

  constructor(port: Port) {
    this.port = port;
  }

  write(channel: Channel, value: RawValue, options: WriteOptions | undefined): Promise<WriteResult> {
    if (!this.port.writeAll) return this.port.write(channel, value, options);
    return new Promise((resolve, reject) => {
      this.#queued.push({ channel, value, options, resolve, reject });
      // The microtask runs after all pins of this turn, because the bus runs their inboxes without a pause.
      if (this.#queued.length === 1) queueMicrotask(() => void this.#flush());
    });
  }

  async #flush(): Promise<void> {
    const set = this.#queued;
    this.#queued = [];
    if (set.length > 1 && (await this.#writeAll(set))) return;
    for (const { channel, value, options, resolve, reject } of set) {
      this.port.write(channel, value, options).then(resolve, reject);
    }
  }

  /** Returns false when nothing was sent: each value is then written alone, so that only the refused one fails. */
  async #writeAll(set: readonly QueuedWrite[]): Promise<boolean> {
    try {
      const written = await this.port.writeAll?.(set);
      for (const [at, { resolve }] of set.entries()) resolve(written?.[at] ?? {});
      return true;
    } catch (thrown) {
      const error = toDcsError(thrown);
      // The values may have been sent: the sender of the command decides whether to repeat it.
      if (error.code !== 'TIMEOUT') return false;
      for (const { reject } of set) reject(error);
      return true;
    }
  }
}
