import { sleep } from '../../../src/clock/clock.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import { type ChipAccess, hex } from '../bus.ts';
import { type ChipKind, measured, oneShot } from './chip.ts';

/** Written: start one conversion. Read: it is not done yet. */
const BUSY = 0x80;
/** One conversion at a time, 16 bits (15 a second), gain 1. */
const ONCE_16_BITS = 0x08;
/** Steps of 62.5 µV: ±2.048 V. */
const STEP_V = 2.048 / 32768;
/** 1/15 s, with the tenth that the chip's clock may be off. */
const CONVERSION_MS = 74;
const LOOKS = 5;
const LOOK_AGAIN_MS = 5;

const CHANNELS: Readonly<Record<string, number>> = { ch1: 0, ch2: 1, ch3: 2, ch4: 3 };

/** Microchip MCP3424 (MCP3421 to MCP3423 have fewer channels). Datasheet DS22088, chapter 5. */
export const mcp3424: ChipKind = {
  title: 'Microchip MCP3424: four differential analog inputs, ±2.048 V, 16 bits',
  values: Object.fromEntries(Object.keys(CHANNELS).map((name) => [name, measured('V')])),
  make: (access) => oneShot((name) => convert(access, CHANNELS[name] ?? 0)),
};

async function convert(access: ChipAccess, channel: number): Promise<number> {
  const { clock, address } = access;
  const config = ONCE_16_BITS | (channel << 5);
  await access.send([BUSY | config]);
  await sleep(clock, CONVERSION_MS);
  for (let look = 0; look < LOOKS; look++) {
    const data = await access.receive(3);
    const now = data.readUInt8(2);
    if ((now & ~BUSY) !== config) {
      throw new DcsError('BAD_REPLY', `the MCP3424 at ${hex(address)} has other settings than asked`, {
        found: hex(now),
        expected: hex(config),
      });
    }
    if ((now & BUSY) === 0) return data.readInt16BE() * STEP_V;
    await sleep(clock, LOOK_AGAIN_MS);
  }
  throw new DcsError('BAD_REPLY', `the MCP3424 at ${hex(address)} does not finish converting`);
}
