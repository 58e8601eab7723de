import { closeSync, openSync } from 'node:fs';
import type { Libc } from 'dcs-io/driver';

// linux/spi/spidev.h
const SPI_IOC_WR_MODE = 0x40016b01;
const SPI_IOC_WR_MAX_SPEED_HZ = 0x40046b04;
/** SPI_IOC_MESSAGE(1): one transfer. */
const SPI_IOC_MESSAGE_1 = 0x40206b00;
/** sizeof(struct spi_ioc_transfer) */
const TRANSFER_BYTES = 32;
const SPI_MODE_0 = 0;

/** The calls of the C library that an SPI device needs. */
export type SpiLibc = Pick<Libc, 'ioctl' | 'ioctlAsync' | 'addressOf'>;

/** A device on an SPI bus, through the kernel's spidev. Every method throws, or rejects with, a SystemCallError. */
export class SpiDevice {
  readonly #libc: SpiLibc;
  readonly #fd: number;

  /** Opens `/dev/spidevX.Y`. Throws Node's error of open(2) when that fails. */
  constructor(libc: SpiLibc, path: string, speedHz: number) {
    this.#libc = libc;
    this.#fd = openSync(path, 'r+');
    try {
      libc.ioctl(this.#fd, SPI_IOC_WR_MODE, Uint8Array.of(SPI_MODE_0));
      const speed = Buffer.alloc(4);
      speed.writeUInt32LE(speedHz);
      libc.ioctl(this.#fd, SPI_IOC_WR_MAX_SPEED_HZ, speed);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** Sends bytes and receives as many at the same time. Waits in a thread, so that the event loop goes on. */
  async transfer(sent: Uint8Array): Promise<Buffer> {
    const received = Buffer.alloc(sent.length);
    const transfer = Buffer.alloc(TRANSFER_BYTES);
    transfer.writeBigUInt64LE(this.#libc.addressOf(sent), 0);
    transfer.writeBigUInt64LE(this.#libc.addressOf(received), 8);
    transfer.writeUInt32LE(sent.length, 16);
    await this.#libc.ioctlAsync(this.#fd, SPI_IOC_MESSAGE_1, transfer);
    return received;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
