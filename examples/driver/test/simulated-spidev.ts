import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemCallError } from 'dcs-io/driver';
import type { SpiLibc } from '../src/spi.ts';

const SPI_IOC_MESSAGE_1 = 0x40206b00;

/** An MCP3008 behind spidev, as the kernel and the datasheet describe them: what ioctl would do with the driver's bytes. */
export class SimulatedSpidev implements SpiLibc {
  /** Counts at CH0 to CH7. */
  readonly values = new Array<number>(8).fill(0);
  plugged = true;
  /** A file in place of the device node. */
  readonly path: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'spidev-'));
  readonly #buffers = new Map<bigint, Uint8Array>();

  constructor() {
    this.path = join(this.#folder, 'spidev0.0');
    writeFileSync(this.path, '');
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  addressOf(buffer: Uint8Array): bigint {
    const address = 0x7000_0000n + BigInt(this.#buffers.size) * 4096n;
    this.#buffers.set(address, buffer);
    return address;
  }

  ioctl(): void {
    if (!this.plugged) throw new SystemCallError('ioctl', constants.errno.ENODEV);
  }

  async ioctlAsync(_fd: number, request: number, argument: Uint8Array): Promise<void> {
    await new Promise(setImmediate);
    this.ioctl();
    if (request !== SPI_IOC_MESSAGE_1) throw new SystemCallError('ioctl', constants.errno.ENOTTY);
    // struct spi_ioc_transfer: tx_buf, rx_buf (64 bit each), len (32 bit).
    const transfer = Buffer.from(argument.buffer, argument.byteOffset, argument.byteLength);
    const sent = this.#take(transfer.readBigUInt64LE(0));
    const received = this.#take(transfer.readBigUInt64LE(8));
    const [start, config] = sent;
    if (transfer.readUInt32LE(16) !== 3 || start !== 1 || config === undefined || (config & 0x80) === 0) {
      throw new SystemCallError('ioctl', constants.errno.EINVAL);
    }
    const value = this.values[(config >> 4) & 7] ?? 0;
    // What comes before the ten bits is undefined: the line floats.
    received.set([0xff, 0xf8 | (value >> 8), value & 0xff]);
  }

  #take(address: bigint): Uint8Array {
    const buffer = this.#buffers.get(address);
    if (!buffer) throw new SystemCallError('ioctl', constants.errno.EFAULT);
    this.#buffers.delete(address);
    return buffer;
  }
}
