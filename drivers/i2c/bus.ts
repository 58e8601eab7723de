import type { Clock } from '../../src/clock/clock.ts';
import { SequentialQueue } from '../../src/driver/kit/sequential-queue.ts';
import { DcsError } from '../../src/errors/errors.ts';

/** An I2C bus: whole transfers with one chip at a time. A slow or stuck bus does not block the event loop. */
export interface I2cBus {
  /** Name for messages: `/dev/i2c-1`. */
  readonly name: string;
  /**
   * Writes bytes, then reads `length` bytes after a repeated start. Either may be empty. Calls must not overlap. Rejects with a
   * DcsError: NO_DEVICE (no chip answers at that address), BAD_REPLY (the chip stopped answering), TIMEOUT (the bus is stuck),
   * BUSY (another master or driver has the bus), PORT_DOWN (the adapter is gone).
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

/** Transfers with one chip. */
export interface ChipAccess {
  readonly address: number;
  readonly clock: Clock;
  /** Reads bytes, beginning at a register. */
  read(register: number, length: number): Promise<Buffer>;
  write(register: number, bytes: readonly number[]): Promise<void>;
  /** Reads bytes from a chip without registers. */
  receive(length: number): Promise<Buffer>;
  send(bytes: readonly number[]): Promise<void>;
}

/**
 * Creates the transfers with a chip, also behind a mux. Each is repeated up to `retries()` times when noise may have ended it.
 * `taken` is called when the chip has taken written bytes, or may have taken them.
 */
export function chipAccess(
  owner: BusOwner,
  { address, mux }: { readonly address: number; readonly mux?: MuxChannel | undefined },
  clock: Clock,
  retries: () => number = () => 0,
  taken: () => void = () => undefined,
): ChipAccess {
  const attempt = async (write: readonly number[], length: number) => {
    let begun = false;
    const begin = () => {
      begun = true;
    };
    try {
      const data = await owner.transfer(mux, address, Uint8Array.from(write), length, begin);
      if (length === 0) taken();
      return data;
    } catch (error) {
      if (length === 0 && begun && mayHaveTaken(error)) taken();
      throw error;
    }
  };
  const transfer = async (write: readonly number[], length: number) => {
    for (let again = 0; ; again++) {
      try {
        return await attempt(write, length);
      } catch (error) {
        if (again >= retries() || !isPassing(error)) throw error;
      }
    }
  };
  return {
    address,
    clock,
    read: (register, length) => transfer([register], length),
    write: async (register, bytes) => void (await transfer([register, ...bytes], 0)),
    receive: (length) => transfer([], length),
    send: async (bytes) => void (await transfer(bytes, 0)),
  };
}

/** Whether the same transfer may succeed at once: a stuck bus and a missing adapter stay as they are. */
function isPassing(error: unknown): boolean {
  return error instanceof DcsError && (error.code === 'NO_DEVICE' || error.code === 'BAD_REPLY');
}

/** Whether a chip may have taken the bytes of a write that failed: not those that never reached it. */
function mayHaveTaken(error: unknown): boolean {
  if (!(error instanceof DcsError)) return true;
  const { code, found } = error;
  return code !== 'NO_DEVICE' && code !== 'NOT_SUPPORTED' && code !== 'PORT_DOWN' && found !== 'EBUSY';
}

/** Formats an address or register: `0x20`. */
export function hex(address: number): string {
  return `0x${address.toString(16).padStart(2, '0')}`;
}

/** Converts a kernel error of a transfer to a DcsError (linux/Documentation/i2c/fault-codes). */
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
      return new DcsError('BAD_REPLY', `${chip} stopped answering (${code})`, detail);
  }
}

/**
 * Runs the transfers of all chips of a bus one after the other. Chips behind muxes may have the same address as others, so all
 * muxes except the one in use are closed.
 */
export class BusOwner {
  readonly #bus: I2cBus;
  /** Muxes that may have an open channel: at first all, because of earlier users. */
  readonly #openMuxes: Set<number>;
  readonly #queue = new SequentialQueue();
  #closed: DcsError | undefined;

  constructor(bus: I2cBus, muxes: Iterable<number>) {
    this.#bus = bus;
    this.#openMuxes = new Set(muxes);
  }

  get name(): string {
    return this.#bus.name;
  }

  /**
   * Queues one transfer. Rejects as I2cBus does; when a mux fails, the error names it instead of the chip. Calls `begin` before
   * the first byte to the chip.
   */
  transfer(
    mux: MuxChannel | undefined,
    address: number,
    write: Uint8Array,
    length: number,
    begin?: () => void,
  ): Promise<Buffer> {
    return this.#queue.run(async () => {
      if (this.#closed) throw this.#closed;
      await this.#selectMux(mux);
      begin?.();
      return await this.#bus.transfer(address, write, length);
    });
  }

  /** Closes the bus after the present transfer; waiting ones reject. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= new DcsError('PORT_DOWN', `${this.#bus.name} is closed`);
    return this.#queue.run(async () => this.#bus.close());
  }

  async #selectMux(mux: MuxChannel | undefined): Promise<void> {
    for (const other of this.#openMuxes) if (other !== mux?.address) await this.#closeMux(other);
    if (!mux) return;
    this.#openMuxes.add(mux.address);
    // Before each transfer: a mux that was reset has closed its channels.
    await this.#bus.transfer(mux.address, Uint8Array.of(1 << mux.channel), 0);
  }

  async #closeMux(mux: number): Promise<void> {
    try {
      await this.#bus.transfer(mux, Uint8Array.of(0), 0);
    } catch (error) {
      // An absent mux connects no chip, and starts with all channels closed.
      if (!(error instanceof DcsError) || error.code !== 'NO_DEVICE') throw error;
    }
    this.#openMuxes.delete(mux);
  }
}

/** The result of scanning one address. */
export interface ScannedChip {
  readonly address: number;
  /** `used`: a kernel driver holds the chip, so it is there but cannot be asked. */
  readonly state: 'answers' | 'used';
  /** Chips that commonly have this address: an answer alone does not tell which one it is. */
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
 * Reads one byte from every address and lists those that answer. A read changes nothing in the chips named here, but it may in
 * others. Rejects with PORT_DOWN when the bus is gone, with TIMEOUT when it is stuck.
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
