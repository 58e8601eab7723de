import { DcsError } from '../../../src/errors/errors.ts';
import type { RawValue } from '../../../src/pin/pin.ts';
import { type ChipAccess, hex } from '../bus.ts';
import type { Chip, ChipKind } from './chip.ts';

const STEPS = 4096;
/** Bits of the first byte: switched off, its output at ground by a resistor. */
const POWER_DOWN = 0x06;

/** Microchip MCP4725, one analog output. Datasheet DS22039D, chapter 6: fast mode, the EEPROM is not written. */
export const mcp4725: ChipKind = {
  title: 'Microchip MCP4725: one analog output, 0 to 1 of its supply, 12 bits',
  values: { out: { kind: 'analog', direction: 'out', uom: '' } },
  make: (access) => new Mcp4725(access),
};

class Mcp4725 implements Chip {
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
    const step = Math.round(share * (STEPS - 1));
    await this.#access.send([step >> 8, step & 0xff]);
    const shown = await this.#share();
    if (Math.round(shown * (STEPS - 1)) === step) return shown;
    throw new DcsError('BAD_REPLY', `the MCP4725 at ${hex(this.#access.address)} has another value than was written`, {
      found: shown,
      expected: String(value),
    });
  }

  /** What it puts out: switched off, it puts out nothing. */
  async #share(): Promise<number> {
    const data = await this.#access.receive(3);
    return (data.readUInt8(0) & POWER_DOWN) === 0 ? (data.readUInt16BE(1) >> 4) / (STEPS - 1) : 0;
  }
}
