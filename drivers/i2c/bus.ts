import type { Clock } from '../../src/clock/clock.ts';
import { SequentialQueue } from '../../src/driver/kit/sequential-queue.ts';
import { DcsError } from '../../src/errors/errors.ts';

/** An I2C bus: whole transfers with one chip at a time. It waits for a slow or stuck bus without holding up this process. */
export interface I2cBus {
  /** For messages: `/dev/i2c-1`. */
  readonly name: string;
  /**
   * Writes bytes, then reads `length` bytes after a repeated start. Either may be empty. Calls must not overlap. Rejects
   * with a DcsError: NO_DEVICE (no chip answers at that address), BAD_REPLY (it stopped answering midway), TIMEOUT (the
   * bus is stuck), BUSY (another master or driver has it), PORT_DOWN (the adapter is gone).
   */
  transfer(address: number, write: Uint8Array, length: number): Promise<Buffer>;
  /** Must not be called during a transfer. Idempotent. */
  close(): void;
}

/** A channel of a TCA9548A (or PCA9548A): eight buses behind one address. */
export interface MuxChannel {
  readonly address: number;
  readonly channel: number;
}

/** What chips are worked with. */
export interface ChipAccess {
  readonly address: number;
  readonly clock: Clock;
  /** Reads bytes beginning at a register. */
  read(register: number, length: number): Promise<Buffer>;
  write(register: number, bytes: readonly number[]): Promise<void>;
  /** Bytes without a register. */
  receive(length: number): Promise<Buffer>;
  send(bytes: readonly number[]): Promise<void>;
}

export function chipAccess(
  owner: BusOwner,
  { address, mux }: { readonly address: number; readonly mux?: MuxChannel | undefined },
  clock: Clock,
): ChipAccess {
  const transfer = (write: readonly number[], length: number) =>
    owner.transfer(mux, address, Uint8Array.from(write), length);
  return {
    address,
    clock,
    read: (register, length) => transfer([register], length),
    write: async (register, bytes) => void (await transfer([register, ...bytes], 0)),
    receive: (length) => transfer([], length),
    send: async (bytes) => void (await transfer(bytes, 0)),
  };
}

/** `0x20` */
export function hex(address: number): string {
  return `0x${address.toString(16).padStart(2, '0')}`;
}

/** What a kernel error of a transfer means, as linux/Documentation/i2c/fault-codes says. */
export function transferError(bus: string, address: number, code: string, cause?: unknown): DcsError {
  const chip = `the chip at ${hex(address)} on ${bus}`;
  const detail = { found: code, cause };
  switch (code) {
    case 'ENXIO':
    case 'EREMOTEIO':
      return new DcsError('NO_DEVICE', `no chip answers at ${hex(address)} on ${bus}`, {
        ...detail,
        expected: `a powered chip with that address; dcs-io scan i2c ${bus.replace(/\D+/, '')} shows those that answer`,
      });
    case 'ETIMEDOUT':
      return new DcsError('TIMEOUT', `${bus} is stuck, or ${chip} holds its clock`, detail);
    case 'EAGAIN':
      return new DcsError('BUSY', `another master took ${bus}`, detail);
    case 'EBUSY':
      return new DcsError('BUSY', `a kernel driver holds ${chip}`, detail);
    case 'ENODEV':
    case 'EBADF':
      return new DcsError('PORT_DOWN', `${bus} is gone`, detail);
    case 'EOPNOTSUPP':
    case 'EINVAL':
      return new DcsError('NOT_SUPPORTED', `${bus} cannot do what ${chip} needs`, detail);
    default:
      return new DcsError('BAD_REPLY', `${chip} did not answer to the end (${code})`, detail);
  }
}

/**
 * The one owner of a bus: its chips take turns, a transfer each, and only the chip that is meant is within reach. Chips
 * behind muxes may have the address of others: a mux that nobody uses just now is closed.
 */
export class BusOwner {
  readonly #bus: I2cBus;
  /** Muxes that may have a channel open. One never used since the bus was opened may, from earlier. */
  readonly #openMuxes: Set<number>;
  readonly #turns = new SequentialQueue();
  #closed: DcsError | undefined;

  constructor(bus: I2cBus, muxes: Iterable<number>) {
    this.#bus = bus;
    this.#openMuxes = new Set(muxes);
  }

  get name(): string {
    return this.#bus.name;
  }

  /** One transfer, in its turn. Rejects as I2cBus does; a mux that fails is named instead of the chip. */
  transfer(mux: MuxChannel | undefined, address: number, write: Uint8Array, length: number): Promise<Buffer> {
    return this.#turns.run(async () => {
      if (this.#closed) throw this.#closed;
      await this.#selectMux(mux);
      return await this.#bus.transfer(address, write, length);
    });
  }

  /** Closes the bus after the transfer under way; those that wait are rejected. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= new DcsError('PORT_DOWN', `${this.#bus.name} is closed`);
    return this.#turns.run(async () => this.#bus.close());
  }

  async #selectMux(mux: MuxChannel | undefined): Promise<void> {
    for (const other of this.#openMuxes) if (other !== mux?.address) await this.#closeMux(other);
    if (!mux) return;
    this.#openMuxes.add(mux.address);
    // Each time, although it may be open: a mux that was reset has closed its channels.
    await this.#bus.transfer(mux.address, Uint8Array.of(1 << mux.channel), 0);
  }

  async #closeMux(mux: number): Promise<void> {
    try {
      await this.#bus.transfer(mux, Uint8Array.of(0), 0);
    } catch (error) {
      // One that is not there connects nobody, and comes up with all channels closed.
      if (!(error instanceof DcsError) || error.code !== 'NO_DEVICE') throw error;
    }
    this.#openMuxes.delete(mux);
  }
}

/** What was found at an address. */
export interface ScannedChip {
  readonly address: number;
  /** `used`: a kernel driver holds it, so it is there but cannot be asked. */
  readonly state: 'answers' | 'used';
  /** Chips that commonly have this address; which one it is nobody can tell from an answer alone. */
  readonly guesses: readonly string[];
}

/** Addresses without a special meaning (I2C specification, table 4). */
export const FIRST_ADDRESS = 0x08;
export const LAST_ADDRESS = 0x77;

const COMMON_CHIPS: readonly (readonly [from: number, to: number, chip: string])[] = [
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
  for (let address = FIRST_ADDRESS; address <= LAST_ADDRESS; address++) {
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
  return COMMON_CHIPS.filter(([from, to]) => address >= from && address <= to).map(([, , chip]) => chip);
}
