import { sleep } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { type ChipAccess, hex } from '../bus.ts';
import { type Chip, type ChipKind, measured } from './chip.ts';

/** One measurement of high repeatability, without clock stretching. */
const MEASURE = [0x24, 0x00] as const;
/** Longest time it takes (ms). */
const CONVERSION_MS = 16;

/** Sensirion SHT30, SHT31, SHT35. Datasheet version 7. */
export const sht3x: ChipKind = {
  title: 'Sensirion SHT3x: air temperature and humidity',
  values: { temperature: measured('°C'), humidity: measured('%') },
  make: (access) => new Sht3x(access),
};

class Sht3x implements Chip {
  readonly #access: ChipAccess;

  constructor(access: ChipAccess) {
    this.#access = access;
  }

  async setUp(): Promise<void> {
    // Nothing to set: each measurement is asked for by itself.
  }

  async read(): Promise<ReadonlyMap<string, number>> {
    await this.#access.send(MEASURE);
    await sleep(this.#access.clock, CONVERSION_MS);
    const data = await this.#access.receive(6);
    return new Map([
      ['temperature', -45 + (175 * this.#word(data, 0)) / 65535],
      ['humidity', (100 * this.#word(data, 3)) / 65535],
    ]);
  }

  #word(data: Buffer, at: number): number {
    const word = data.subarray(at, at + 2);
    if (sensirionCrc(word) === data.readUInt8(at + 2)) return word.readUInt16BE();
    throw new DcsError('BAD_REPLY', `wrong checksum from the SHT3x at ${hex(this.#access.address)}`, {
      found: data.toString('hex'),
    });
  }
}

/** CRC-8 with the polynomial 0x31, starting at 0xFF (datasheet 4.12: 0xBEEF gives 0x92). */
export function sensirionCrc(bytes: Uint8Array): number {
  let crc = 0xff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x80 ? (crc << 1) ^ 0x31 : crc << 1) & 0xff;
  }
  return crc;
}
