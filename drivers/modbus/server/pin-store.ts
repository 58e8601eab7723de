import type { ServedPins } from '../../../src/driver/contract.ts';
import { DcsError, type ErrorCode } from '../../../src/errors/errors.ts';
import type { RawValue } from '../../../src/pin/pin.ts';
import type { PinMap, Place } from './pin-map.ts';
import { DEVICE_FAILURE, ILLEGAL_ADDRESS, ILLEGAL_VALUE, SlaveException, type Store } from './store.ts';

const BUSY = 6;
/** 'Gateway target device failed to respond': the command was given and nobody knows what became of it. */
const NO_ANSWER = 11;

const EXCEPTIONS: Partial<Record<ErrorCode, number>> = {
  BAD_VALUE: ILLEGAL_VALUE,
  OUT_OF_RANGE: ILLEGAL_VALUE,
  BAD_COMMAND: ILLEGAL_VALUE,
  READ_ONLY: ILLEGAL_ADDRESS,
  NO_SUCH_PIN: ILLEGAL_ADDRESS,
  BUSY,
  TIMEOUT: NO_ANSWER,
  BAD_REPLY: NO_ANSWER,
};

/**
 * The agent's pins as a slave's tables. A pin whose value cannot be trusted is exception 4, never an old value; a block
 * must consist of whole values; a write is a command on the bus and is answered once the pin has answered.
 */
export class PinStore implements Store {
  readonly #map: PinMap;
  readonly #pins: ServedPins;

  constructor(map: PinMap, pins: ServedPins) {
    this.#map = map;
    this.#pins = pins;
  }

  readBits(_unit: number, table: 'coil' | 'discrete', first: number, count: number): boolean[] {
    return this.#places(table, first, count).map((place) => this.#read(place) === true);
  }

  readRegisters(_unit: number, table: 'holding' | 'input', first: number, count: number): Buffer {
    return Buffer.concat(
      this.#places(table, first, count).map((place) => {
        try {
          return place.format?.encode(toRegister(place, this.#read(place))) ?? Buffer.alloc(0);
        } catch (error) {
          // A value that its registers cannot hold is not given at all.
          throw error instanceof SlaveException ? error : new SlaveException(DEVICE_FAILURE);
        }
      }),
    );
  }

  async writeBits(_unit: number, first: number, bits: readonly boolean[]): Promise<void> {
    const places = this.#writable('coil', first, bits.length);
    for (const [index, { pin }] of places.entries()) await this.#command(pin, bits[index] === true);
  }

  /** All values are understood before the first is commanded; after that, the first refusal ends it. */
  async writeRegisters(_unit: number, first: number, data: Buffer): Promise<void> {
    const commands = this.#writable('holding', first, data.length / 2).map((place) => {
      const reading = place.format?.decode(data, 2 * (place.first - first));
      if (!reading?.ok) throw new SlaveException(ILLEGAL_VALUE);
      return { pin: place.pin, value: fromRegister(place, reading.value) };
    });
    for (const { pin, value } of commands) await this.#command(pin, value);
  }

  #read({ pin }: Place): RawValue {
    try {
      return this.#pins.read(pin);
    } catch {
      // Why it is not to be trusted is on the bus; the wire has a number only.
      throw new SlaveException(DEVICE_FAILURE);
    }
  }

  async #command(pin: string, value: RawValue): Promise<void> {
    try {
      await this.#pins.command(pin, value);
    } catch (error) {
      throw new SlaveException((error instanceof DcsError && EXCEPTIONS[error.code]) || DEVICE_FAILURE);
    }
  }

  #writable(table: 'coil' | 'holding', first: number, count: number): Place[] {
    const places = this.#places(table, first, count);
    if (places.some(({ writable }) => !writable)) throw new SlaveException(ILLEGAL_ADDRESS);
    return places;
  }

  /** The values that fill a run exactly: no hole, none cut. */
  #places(table: keyof PinMap, first: number, count: number): Place[] {
    const places = this.#map[table].filter((place) => place.first < first + count && place.first + place.count > first);
    let next = first;
    for (const place of places) {
      if (place.first !== next) throw new SlaveException(ILLEGAL_ADDRESS);
      next += place.count;
    }
    if (next !== first + count) throw new SlaveException(ILLEGAL_ADDRESS);
    return places;
  }
}

function toRegister({ scale, offset }: Place, value: RawValue): RawValue {
  if (typeof value === 'boolean') return value ? 1 : 0;
  return typeof value === 'number' && (scale !== 1 || offset !== 0) ? (value - offset) / scale : value;
}

function fromRegister({ scale, offset }: Place, value: RawValue): RawValue {
  // Products like 3 × 0.1 carry digits that nobody meant.
  return typeof value === 'number' && (scale !== 1 || offset !== 0)
    ? Number((value * scale + offset).toPrecision(12))
    : value;
}
