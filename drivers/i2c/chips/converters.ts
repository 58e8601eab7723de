import { sleep } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import type { RawValue } from '../../../src/pin/pin.ts';
import { type ChipAccess, hex } from '../bus.ts';
import { type Chip, type ChipKind, measured, oneShot, voltsOf } from './chip.ts';

const ADS_CONVERSION = 0x00;
const ADS_CONFIG = 0x01;
const ADS_READY = 0x8000;
/** Start one conversion, ±4.096 V, single-shot, 128 samples a second, comparator off. */
const ADS_SINGLE_SHOT = 0x8000 | 0x0200 | 0x0100 | 0x0080 | 0x0003;
const ADS_FULL_SCALE_V = 4.096;
/** 1/128 s, with the tenth that the chip's clock may be off. */
const ADS_CONVERSION_MS = 9;
const ADS_READY_CHECKS = 5;

const ADS_INPUTS: Readonly<Record<string, number>> = {
  a0: 4,
  a1: 5,
  a2: 6,
  a3: 7,
  'a0-a1': 0,
  'a0-a3': 1,
  'a1-a3': 2,
  'a2-a3': 3,
};

/** Texas Instruments ADS1115 (and ADS1113, ADS1114 for a0-a1). Datasheet SBAS444. */
export const ads1115: ChipKind = {
  title: 'ADS1115: four analog inputs, ±4.096 V',
  values: Object.fromEntries(Object.keys(ADS_INPUTS).map((name) => [name, measured('V')])),
  make: (access) => oneShot((name) => convertAds1115(access, ADS_INPUTS[name] ?? 0)),
};

async function convertAds1115(access: ChipAccess, mux: number): Promise<number | undefined> {
  const config = ADS_SINGLE_SHOT | (mux << 12);
  await access.write(ADS_CONFIG, [config >> 8, config & 0xff]);
  await sleep(access.clock, ADS_CONVERSION_MS);
  for (let look = 0; look < ADS_READY_CHECKS; look++) {
    const now = (await access.read(ADS_CONFIG, 2)).readUInt16BE();
    if (((now ^ config) & ~ADS_READY) !== 0) {
      // Another program uses the chip, or it was reset: it converts something else.
      throw new DcsError('BAD_REPLY', `the ADS1115 at ${hex(access.address)} has other settings than asked`, {
        found: now.toString(16),
        expected: config.toString(16),
      });
    }
    if ((now & ADS_READY) !== 0) {
      return voltsOf((await access.read(ADS_CONVERSION, 2)).readInt16BE(), ADS_FULL_SCALE_V / 32768);
    }
    await sleep(access.clock, 1);
  }
  throw new DcsError('BAD_REPLY', `the ADS1115 at ${hex(access.address)} does not finish converting`);
}

/** Written: start one conversion. Read: it is not done yet. */
const MCP_BUSY = 0x80;
/** One conversion at a time, 16 bits (15 a second), gain 1. */
const MCP_16_BITS = 0x08;
/** Steps of 62.5 µV: ±2.048 V. */
const MCP_STEP_V = 2.048 / 32768;
/** 1/15 s, with the tenth that the chip's clock may be off. */
const MCP_CONVERSION_MS = 74;
const MCP_READY_CHECKS = 5;
const MCP_CHECK_PAUSE_MS = 5;

const MCP_CHANNELS: Readonly<Record<string, number>> = { ch1: 0, ch2: 1, ch3: 2, ch4: 3 };

/** Microchip MCP3424 (MCP3421 to MCP3423 have fewer channels). Datasheet DS22088, chapter 5. */
export const mcp3424: ChipKind = {
  title: 'Microchip MCP3424: four differential analog inputs, ±2.048 V, 16 bits',
  values: Object.fromEntries(Object.keys(MCP_CHANNELS).map((name) => [name, measured('V')])),
  make: (access) => oneShot((name) => convertMcp3424(access, MCP_CHANNELS[name] ?? 0)),
};

async function convertMcp3424(access: ChipAccess, channel: number): Promise<number | undefined> {
  const { clock, address } = access;
  const config = MCP_16_BITS | (channel << 5);
  await access.send([MCP_BUSY | config]);
  await sleep(clock, MCP_CONVERSION_MS);
  for (let look = 0; look < MCP_READY_CHECKS; look++) {
    const data = await access.receive(3);
    const now = data.readUInt8(2);
    if ((now & ~MCP_BUSY) !== config) {
      throw new DcsError('BAD_REPLY', `the MCP3424 at ${hex(address)} has other settings than asked`, {
        found: hex(now),
        expected: hex(config),
      });
    }
    if ((now & MCP_BUSY) === 0) return voltsOf(data.readInt16BE(), MCP_STEP_V);
    await sleep(clock, MCP_CHECK_PAUSE_MS);
  }
  throw new DcsError('BAD_REPLY', `the MCP3424 at ${hex(address)} does not finish converting`);
}

const DAC_STEPS = 4096;
/** Bits of the first byte: switched off, its output at ground by a resistor. */
const DAC_POWER_DOWN = 0x06;

/** Microchip MCP4725, one analog output. Datasheet DS22039D, chapter 6: fast mode, the EEPROM is not written. */
export const mcp4725: ChipKind = {
  title: 'Microchip MCP4725: one analog output, 0 to 1 of its supply, 12 bits',
  values: { out: { kind: 'analog', direction: 'out', uom: '' } },
  make: (access) => new Mcp4725(access),
};

class Mcp4725 implements Chip {
  readonly resolution = 1 / (DAC_STEPS - 1);
  readonly #access: ChipAccess;

  constructor(access: ChipAccess) {
    this.#access = access;
  }

  async setUp(): Promise<void> {
    // Writing a value wakes it.
  }

  async read(): Promise<ReadonlyMap<string, number>> {
    return new Map([['out', await this.#share()]]);
  }

  async write(_name: string, value: RawValue): Promise<number> {
    const share = Number(value);
    if (!(share >= 0 && share <= 1)) {
      throw new DcsError('OUT_OF_RANGE', `${value} is no share of the supply`, { found: value, expected: '0 to 1' });
    }
    const step = Math.round(share * (DAC_STEPS - 1));
    await this.#access.send([step >> 8, step & 0xff]);
    const shown = await this.#share();
    if (Math.round(shown * (DAC_STEPS - 1)) === step) return shown;
    throw new DcsError('BAD_REPLY', `the MCP4725 at ${hex(this.#access.address)} has another value than was written`, {
      found: shown,
      expected: String(value),
    });
  }

  /** Returns the output as a share of the supply; 0 while it is switched off. */
  async #share(): Promise<number> {
    const data = await this.#access.receive(3);
    return (data.readUInt8(0) & DAC_POWER_DOWN) === 0 ? (data.readUInt16BE(1) >> 4) / (DAC_STEPS - 1) : 0;
  }
}
