import type { Reading } from '../../../src/driver/driver.ts';
import type { PinKind, RawValue } from '../../../src/pin/pin.ts';
import type { NumberType } from './number-codec.ts';
import { numberFormat } from './number-format.ts';
import type { ByteOrder } from './order.ts';
import { rawFormat, stringFormat } from './text-format.ts';

export const valueTypes = [
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'float16',
  'float32',
  'float64',
  'bcd16',
  'bcd32',
  'string',
  'raw',
] as const satisfies readonly (NumberType | 'string' | 'raw')[];
export type ValueType = (typeof valueTypes)[number];

/** How registers become a value and back. */
export interface Format {
  readonly kind: PinKind;
  /** Registers the value takes. */
  readonly words: number;
  /** The value that begins at byte `at` of big-endian registers. A failure when they hold none. */
  decode(data: Buffer, at: number): Reading;
  /** The registers of a value, big-endian. Throws BAD_VALUE or OUT_OF_RANGE; it never wraps or cuts. */
  encode(value: RawValue): Buffer;
}

export interface FormatSpec {
  readonly type: ValueType;
  readonly order: ByteOrder;
  /** Strings: characters. Raw: registers. */
  readonly length?: number | undefined;
  /** Raw whole numbers by which the device says 'no value'. */
  readonly invalid?: readonly (number | string)[] | undefined;
}

export function formatOf(spec: FormatSpec): Format {
  switch (spec.type) {
    case 'string':
      return stringFormat(spec.length ?? 2, spec.order);
    case 'raw':
      return rawFormat(spec.length ?? 1);
    default:
      return numberFormat(spec.type, spec.order, spec.invalid ?? []);
  }
}
