import { sleep } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { type ChipAccess, hex } from '../bus.ts';
import { type Chip, type ChipKind, measured } from './chip.ts';

/** Factors burned into each chip; names as in the datasheet. */
export interface Calibration {
  readonly t: readonly number[];
  readonly p: readonly number[];
  readonly h: readonly number[];
}

const ID = 0xd0;
const BME280_ID = 0x60;
const BMP280_ID = 0x58;
const CTRL_HUM = 0xf2;
const STATUS = 0xf3;
const CTRL_MEAS = 0xf4;
const DATA = 0xf7;
/** Once over, one measurement in forced mode. */
const FORCED_MODE = 0b001_001_01;
/** One measurement of everything takes at most this long (ms; datasheet 9.1: 1.25 + 3 × 2.3 + 2 × 0.575). */
const BME_CONVERSION_MS = 10;

/** Bosch BME280 (temperature, pressure, humidity) and BMP280 (without humidity). Datasheet BST-BME280-DS002. */
export const bme280: ChipKind = {
  title: 'Bosch BME280 or BMP280: air temperature, pressure, humidity',
  values: { temperature: measured('°C'), pressure: measured('hPa'), humidity: measured('%') },
  make: (access) => new Bme280(access),
};

class Bme280 implements Chip {
  readonly #access: ChipAccess;
  #calibration: Calibration | undefined;
  #hasHumidity = false;

  constructor(access: ChipAccess) {
    this.#access = access;
  }

  async setUp(): Promise<void> {
    const id = (await this.#access.read(ID, 1)).readUInt8();
    if (id !== BME280_ID && id !== BMP280_ID) {
      throw new DcsError('BAD_REPLY', `the chip at ${hex(this.#access.address)} is no BME280`, {
        found: `id ${hex(id)}`,
        expected: `id ${hex(BME280_ID)} (BME280) or ${hex(BMP280_ID)} (BMP280)`,
      });
    }
    this.#hasHumidity = id === BME280_ID;
    this.#calibration = await readCalibration(this.#access, this.#hasHumidity);
  }

  async read(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    if (names.includes('humidity') && !this.#hasHumidity) {
      throw new DcsError('NOT_SUPPORTED', `the chip at ${hex(this.#access.address)} is a BMP280: it has no humidity`);
    }
    const calibration = this.#calibration;
    if (!calibration) throw new DcsError('INTERNAL', 'the BME280 has not been set up');
    if (this.#hasHumidity) await this.#access.write(CTRL_HUM, [1]);
    await this.#access.write(CTRL_MEAS, [FORCED_MODE]);
    await sleep(this.#access.clock, BME_CONVERSION_MS);
    if (((await this.#access.read(STATUS, 1)).readUInt8() & 0b1000) !== 0) {
      throw new DcsError('BAD_REPLY', `the BME280 at ${hex(this.#access.address)} does not finish measuring`);
    }
    const data = await this.#access.read(DATA, this.#hasHumidity ? 8 : 6);
    const raw = {
      pressure: data.readUIntBE(0, 3) >> 4,
      temperature: data.readUIntBE(3, 3) >> 4,
      humidity: this.#hasHumidity ? data.readUInt16BE(6) : undefined,
    };
    return compensate(raw, calibration);
  }
}

async function readCalibration(access: ChipAccess, hasHumidity: boolean): Promise<Calibration> {
  const low = await access.read(0x88, 26);
  const t = [low.readUInt16LE(0), low.readInt16LE(2), low.readInt16LE(4)];
  const p = [low.readUInt16LE(6), ...Array.from({ length: 8 }, (_, at) => low.readInt16LE(8 + 2 * at))];
  if (!hasHumidity) return { t, p, h: [] };
  const high = await access.read(0xe1, 7);
  const shared = high.readUInt8(4);
  const h = [
    low.readUInt8(25),
    high.readInt16LE(0),
    high.readUInt8(2),
    (high.readInt8(3) << 4) | (shared & 0x0f),
    (high.readInt8(5) << 4) | (shared >> 4),
    high.readInt8(6),
  ];
  return { t, p, h };
}

/** Raw values of a skipped measurement: temperature and pressure, and humidity. */
const SKIPPED = 0x80000;
const HUMIDITY_SKIPPED = 0x8000;

/** Compensation in floating point, datasheet appendix 8.1: °C, hPa, % relative humidity. */
export function compensate(
  raw: { readonly temperature: number; readonly pressure: number; readonly humidity: number | undefined },
  { t, p, h }: Calibration,
): ReadonlyMap<string, number> {
  const [t1 = 0, t2 = 0, t3 = 0] = t;
  if (raw.temperature === SKIPPED) throw new DcsError('BAD_REPLY', 'the BME280 has measured nothing');
  const part = raw.temperature / 131072 - t1 / 8192;
  const fine = (raw.temperature / 16384 - t1 / 1024) * t2 + part * part * t3;
  const values = new Map([['temperature', fine / 5120]]);
  const pressure = pressureOf(raw.pressure, fine, p);
  if (pressure !== undefined) values.set('pressure', pressure / 100);
  if (raw.humidity !== undefined && raw.humidity !== HUMIDITY_SKIPPED)
    values.set('humidity', humidityOf(raw.humidity, fine, h));
  return values;
}

function pressureOf(raw: number, fine: number, factors: readonly number[]): number | undefined {
  const [p1 = 0, p2 = 0, p3 = 0, p4 = 0, p5 = 0, p6 = 0, p7 = 0, p8 = 0, p9 = 0] = factors;
  if (raw === SKIPPED) return undefined;
  const a = fine / 2 - 64000;
  const b = ((a * a * p6) / 32768 + a * p5 * 2) / 4 + p4 * 65536;
  const c = (1 + ((p3 * a * a) / 524288 + p2 * a) / 524288 / 32768) * p1;
  if (c === 0) return undefined;
  const pressure = ((1048576 - raw - b / 4096) * 6250) / c;
  return pressure + ((p9 * pressure * pressure) / 2147483648 + (pressure * p8) / 32768 + p7) / 16;
}

function humidityOf(raw: number, fine: number, factors: readonly number[]): number {
  const [h1 = 0, h2 = 0, h3 = 0, h4 = 0, h5 = 0, h6 = 0] = factors;
  const a = fine - 76800;
  const b =
    (raw - (h4 * 64 + (h5 / 16384) * a)) * ((h2 / 65536) * (1 + (h6 / 67108864) * a * (1 + (h3 / 67108864) * a)));
  return Math.min(100, Math.max(0, b * (1 - (h1 * b) / 524288)));
}

/** One measurement of high repeatability, without clock stretching. */
const SHT_MEASURE = [0x24, 0x00] as const;
/** Longest time it takes (ms). */
const SHT_CONVERSION_MS = 16;

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
    await this.#access.send(SHT_MEASURE);
    await sleep(this.#access.clock, SHT_CONVERSION_MS);
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
