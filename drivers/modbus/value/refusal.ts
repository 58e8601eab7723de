import type { Reading } from '../../../src/driver/contract.ts';
import { DcsError } from '../../../src/errors/errors.ts';
import type { RawValue } from '../../../src/pin/pin.ts';

/** A value of the wrong kind. Nothing is sent. */
export function badValue(value: RawValue, expected: string): DcsError {
  return new DcsError('BAD_VALUE', `${JSON.stringify(value)} is not ${expected}`, { found: value, expected });
}

/** A value that does not fit. Nothing is sent. */
export function outOfRange(value: RawValue, expected: string): DcsError {
  return new DcsError('OUT_OF_RANGE', `${value} does not fit: ${expected}`, { found: value, expected });
}

/** Registers that hold no value: the pin becomes bad, never 0. */
export function noValue(why: string, found: unknown): Reading {
  return { ok: false, error: new DcsError('BAD_REPLY', why, { found }) };
}
