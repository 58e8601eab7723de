/** What a slave has: the four tables of each unit it is. Every method may throw a SlaveException, or reject with one. */
export interface Store {
  readBits(unit: number, table: 'coil' | 'discrete', first: number, count: number): Answer<readonly boolean[]>;
  /** Big-endian words. */
  readRegisters(unit: number, table: 'holding' | 'input', first: number, count: number): Answer<Buffer>;
  writeBits(unit: number, first: number, bits: readonly boolean[]): Answer<void>;
  writeRegisters(unit: number, first: number, data: Buffer): Answer<void>;
  /** Texts of 'read device identification': vendor, product code, revision. */
  identity?(unit: number): readonly string[];
}

type Answer<T> = T | Promise<T>;

/** Exception codes a slave gives (Modbus application protocol 1.1b3, section 7). */
export const ILLEGAL_FUNCTION = 1;
export const ILLEGAL_ADDRESS = 2;
export const ILLEGAL_VALUE = 3;
export const DEVICE_FAILURE = 4;

/** A slave's refusal. `exception` goes on the wire. */
export class SlaveException extends Error {
  readonly exception: number;

  constructor(exception: number) {
    super(`exception ${exception}`);
    this.exception = exception;
  }
}
