import type { Reading } from '../../../src/driver/contract.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import type { PinKind, RawValue } from '../../../src/pin/pin.ts';

/** Encoding of a value in registers. Its image is all registers from its first to its last, big-endian. */
export interface RegisterFormat {
  readonly kind: PinKind;
  /** Number of registers of the image. */
  readonly registers: number;
  /** The bits of the image that belong to the value; the other bits, or whole registers, belong to other values. */
  readonly own: Buffer;
  /** Decodes the value from the image at byte `at`. A failure when it holds no value. */
  decode(data: Buffer, at: number): Reading;
  /** Encodes a value as an image, 0 where `own` is 0. Throws BAD_VALUE or OUT_OF_RANGE; it never wraps or truncates. */
  encode(value: RawValue): Buffer;
}

/** A mask of whole registers. */
export function wholeRegisters(count: number): Buffer {
  return Buffer.alloc(2 * count, 0xff);
}

/** Error for a value of the wrong kind; nothing is sent. */
export function badValue(value: RawValue, expected: string): DcsError {
  return new DcsError('BAD_VALUE', `${JSON.stringify(value)} is not ${expected}`, { found: value, expected });
}

/** Error for a value that does not fit; nothing is sent. */
export function outOfRange(value: RawValue, expected: string): DcsError {
  return new DcsError('OUT_OF_RANGE', `${value} does not fit: ${expected}`, { found: value, expected });
}

/** Failure for registers without a value: the pin becomes bad, never 0. */
export function noValue(why: string, found: unknown): Reading {
  return { ok: false, error: new DcsError('BAD_REPLY', why, { found }) };
}
