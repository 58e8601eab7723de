import { sleep } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { type ChipAccess, hex } from '../bus.ts';
import { type ChipKind, measured, oneShot } from './chip.ts';

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
  make: (access) => oneShot((name) => convert(access, MUX[name] ?? 0)),
};

async function convert(access: ChipAccess, mux: number): Promise<number> {
  const config = ONCE | (mux << 12);
  await access.write(CONFIG, [config >> 8, config & 0xff]);
  await sleep(access.clock, CONVERSION_MS);
  for (let look = 0; look < LOOKS; look++) {
    const now = (await access.read(CONFIG, 2)).readUInt16BE();
    if (((now ^ config) & ~READY) !== 0) {
      // Somebody else uses the chip, or it was reset: what it converts is not what was asked.
      throw new DcsError('BAD_REPLY', `the ADS1115 at ${hex(access.address)} has other settings than asked`, {
        found: now.toString(16),
        expected: config.toString(16),
      });
    }
    if ((now & READY) !== 0) {
      return ((await access.read(CONVERSION, 2)).readInt16BE() * FULL_SCALE_V) / 32768;
    }
    await sleep(access.clock, 1);
  }
  throw new DcsError('BAD_REPLY', `the ADS1115 at ${hex(access.address)} does not finish converting`);
}
