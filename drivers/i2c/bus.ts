import type { Clock } from '../../src/clock/clock.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { BusOwner } from './owner.ts';

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

export function accessTo(
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
