import { SequentialQueue } from '../../src/driver/kit/sequential-queue.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { I2cBus, MuxChannel } from './bus.ts';

/**
 * The one owner of a bus: its chips take turns, a transfer each, and only the chip that is meant is within reach. Chips
 * behind muxes may have the address of others: a mux that nobody uses just now is closed.
 */
export class BusOwner {
  readonly #bus: I2cBus;
  /** Muxes that may have a channel open. One never used since the bus was opened may, from earlier. */
  readonly #open: Set<number>;
  readonly #turns = new SequentialQueue();
  #ended: DcsError | undefined;

  constructor(bus: I2cBus, muxes: Iterable<number>) {
    this.#bus = bus;
    this.#open = new Set(muxes);
  }

  get name(): string {
    return this.#bus.name;
  }

  /** One transfer, in its turn. Rejects as I2cBus does; a mux that fails is named instead of the chip. */
  transfer(mux: MuxChannel | undefined, address: number, write: Uint8Array, length: number): Promise<Buffer> {
    return this.#turns.run(async () => {
      if (this.#ended) throw this.#ended;
      await this.#reach(mux);
      return await this.#bus.transfer(address, write, length);
    });
  }

  /** Closes the bus after the transfer under way; those that wait are rejected. Idempotent. */
  close(): Promise<void> {
    this.#ended ??= new DcsError('PORT_DOWN', `${this.#bus.name} is closed`);
    return this.#turns.run(async () => this.#bus.close());
  }

  async #reach(mux: MuxChannel | undefined): Promise<void> {
    for (const other of this.#open) if (other !== mux?.address) await this.#shut(other);
    if (!mux) return;
    this.#open.add(mux.address);
    // Each time, although it may be open: a mux that was reset has closed its channels.
    await this.#bus.transfer(mux.address, Uint8Array.of(1 << mux.channel), 0);
  }

  async #shut(mux: number): Promise<void> {
    try {
      await this.#bus.transfer(mux, Uint8Array.of(0), 0);
    } catch (error) {
      // One that is not there connects nobody, and comes up with all channels closed.
      if (!(error instanceof DcsError) || error.code !== 'NO_DEVICE') throw error;
    }
    this.#open.delete(mux);
  }
}
