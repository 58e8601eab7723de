import { sleep } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { type ChipAccess, hex } from '../bus.ts';
import { type Chip, type ChipKind, measured } from './chip.ts';

const CONVERSION = 0x00;
const CONFIG = 0x01;
const READY = 0x8000;
/** Start one conversion, ±4.096 V, single-shot, 128 samples a second, comparator off. */
const ONCE = 0x8000 | 0x0200 | 0x0100 | 0x0080 | 0x0003;
const FULL_SCALE_V = 4.096;
/** 1/128 s, with the tenth that the chip's clock may be off. */
const CONVERSION_MS = 9;
const LOOKS = 5;

const MUX: Readonly<Record<string, number>> = {
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
  values: Object.fromEntries(Object.keys(MUX).map((name) => [name, measured('V')])),
  make: (access) => new Ads1115(access),
};

class Ads1115 implements Chip {
  readonly #access: ChipAccess;

  constructor(access: ChipAccess) {
    this.#access = access;
  }

  async setUp(): Promise<void> {
    // Nothing to set: each conversion is asked for with all its settings.
  }

  async read(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const values = new Map<string, number>();
    for (const name of names) values.set(name, await this.#convert(MUX[name] ?? 0));
    return values;
  }

  async #convert(mux: number): Promise<number> {
    const config = ONCE | (mux << 12);
    await this.#access.write(CONFIG, [config >> 8, config & 0xff]);
    await sleep(this.#access.clock, CONVERSION_MS);
    for (let look = 0; look < LOOKS; look++) {
      const now = (await this.#access.read(CONFIG, 2)).readUInt16BE();
      if (((now ^ config) & ~READY) !== 0) {
        // Somebody else uses the chip, or it was reset: what it converts is not what was asked.
        throw new DcsError('BAD_REPLY', `the ADS1115 at ${hex(this.#access.address)} has other settings than asked`, {
          found: now.toString(16),
          expected: config.toString(16),
        });
      }
      if ((now & READY) !== 0) {
        return ((await this.#access.read(CONVERSION, 2)).readInt16BE() * FULL_SCALE_V) / 32768;
      }
      await sleep(this.#access.clock, 1);
    }
    throw new DcsError('BAD_REPLY', `the ADS1115 at ${hex(this.#access.address)} does not finish converting`);
  }
}
