import { DcsError } from '../../src/errors/errors.ts';
import type { I2cBus } from './bus.ts';

/** What was found at an address. */
export interface ScannedChip {
  readonly address: number;
  /** `used`: a kernel driver holds it, so it is there but cannot be asked. */
  readonly state: 'answers' | 'used';
  /** Chips that commonly have this address; which one it is nobody can tell from an answer alone. */
  readonly guesses: readonly string[];
}

/** Addresses without a special meaning (I2C specification, table 4). */
export const FIRST = 0x08;
export const LAST = 0x77;

const USUAL: readonly (readonly [from: number, to: number, chip: string])[] = [
  [0x20, 0x27, 'MCP23017, MCP23008 or PCF8574'],
  [0x38, 0x3f, 'PCF8574A'],
  [0x3c, 0x3d, 'SSD1306 display'],
  [0x40, 0x4f, 'INA219'],
  [0x40, 0x40, 'PCA9685 or HTU21D'],
  [0x44, 0x45, 'SHT3x'],
  [0x48, 0x4b, 'ADS1115, LM75 or TMP102'],
  [0x50, 0x57, 'EEPROM'],
  [0x60, 0x63, 'MCP4725'],
  [0x68, 0x68, 'DS3231 or another clock'],
  [0x68, 0x6f, 'MCP3424'],
  [0x70, 0x77, 'TCA9548A'],
  [0x76, 0x77, 'BME280 or BMP280'],
];

/**
 * Asks every address for one byte and lists those that answer. A read changes nothing in the chips named here, but a
 * chip whose reading has effects will have them. Throws PORT_DOWN when the bus goes, TIMEOUT when it is stuck.
 */
export async function scanBus(bus: Pick<I2cBus, 'transfer'>): Promise<ScannedChip[]> {
  const found: ScannedChip[] = [];
  for (let address = FIRST; address <= LAST; address++) {
    const state = await stateOf(bus, address);
    if (state) found.push({ address, state, guesses: guessesFor(address) });
  }
  return found;
}

async function stateOf(bus: Pick<I2cBus, 'transfer'>, address: number): Promise<ScannedChip['state'] | undefined> {
  try {
    await bus.transfer(address, new Uint8Array(0), 1);
    return 'answers';
  } catch (error) {
    if (!(error instanceof DcsError) || error.code === 'PORT_DOWN' || error.found === 'ETIMEDOUT') throw error;
    return error.found === 'EBUSY' ? 'used' : undefined;
  }
}

function guessesFor(address: number): string[] {
  return USUAL.filter(([from, to]) => address >= from && address <= to).map(([, , chip]) => chip);
}
