import type { Clock } from '../../src/clock/clock.ts';
import { DcsError } from '../../src/errors/errors.ts';

/** An I2C bus: whole transactions with one chip at a time, nothing between their parts. */
export interface I2cBus {
  /** For messages: `/dev/i2c-1`. */
  readonly name: string;
  /**
   * Writes bytes, then reads `length` bytes after a repeated start. Either may be empty. Throws a DcsError: TIMEOUT (no
   * chip answers at that address), BAD_REPLY (it stopped answering midway), BUSY (another master or driver has it),
   * PORT_DOWN (the adapter is gone).
   */
  transfer(address: number, write: Uint8Array, length: number): Buffer;
  close(): void;
}

/** What chips are worked with. */
export interface ChipAccess {
  readonly address: number;
  readonly clock: Clock;
  /** Reads bytes beginning at a register. */
  read(register: number, length: number): Buffer;
  write(register: number, bytes: readonly number[]): void;
  /** Bytes without a register. */
  receive(length: number): Buffer;
  send(bytes: readonly number[]): void;
}

export function accessTo(bus: I2cBus, address: number, clock: Clock): ChipAccess {
  return {
    address,
    clock,
    read: (register, length) => bus.transfer(address, Uint8Array.of(register), length),
    write: (register, bytes) => void bus.transfer(address, Uint8Array.of(register, ...bytes), 0),
    receive: (length) => bus.transfer(address, new Uint8Array(0), length),
    send: (bytes) => void bus.transfer(address, Uint8Array.from(bytes), 0),
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
      return new DcsError('TIMEOUT', `no chip answers at ${hex(address)} on ${bus}`, {
        ...detail,
        expected: `a powered chip with that address; i2cdetect -y ${bus.replace(/\D+/, '')} shows those that answer`,
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
