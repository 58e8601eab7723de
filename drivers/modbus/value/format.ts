import type { Reading } from '../../../src/driver/contract.ts';
import type { PinKind, RawValue } from '../../../src/pin/pin.ts';
import type { NumberType } from './number-codec.ts';
import { numberFormat } from './number-format.ts';
import type { ByteOrder } from './order.ts';
import { bitFormat, bitsFormat, namedFormat, scaledFormat } from './part-format.ts';
import { rawFormat, stringFormat } from './text-format.ts';

export const valueTypes = [
  'bool',
  'int8',
  'uint8',
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
] as const satisfies readonly (NumberType | 'bool' | 'int8' | 'uint8' | 'string' | 'raw')[];
export type ValueType = (typeof valueTypes)[number];

/** How registers become a value and back. */
export interface Format {
  readonly kind: PinKind;
  /** Registers the value takes. */
  readonly words: number;
  /** It takes only these bits of its one register; the others are somebody else's. */
  readonly mask?: number;
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
  /** Only these bits of the register, lowest and highest. */
  readonly bits?: readonly [number, number] | undefined;
  /** Names of whole numbers. */
  readonly values?: Readonly<Record<string, string>> | undefined;
  /** Where the power of ten is, in registers from the value. */
  readonly scaleAt?: number | undefined;
  /** Raw whole numbers by which the device says 'no value'. */
  readonly invalid?: readonly (number | string)[] | undefined;
}

export function formatOf(spec: FormatSpec): Format {
  const plain = plainFormat(spec);
  const scaled = spec.scaleAt === undefined ? plain : scaledFormat(plain, spec.scaleAt);
  return spec.values === undefined ? scaled : namedFormat(scaled, spec.values);
}

function plainFormat(spec: FormatSpec): Format {
  const [low, high] = spec.bits ?? [0, 15];
  switch (spec.type) {
    case 'bool':
      return bitFormat(low, spec.order);
    case 'int8':
    case 'uint8':
      return bitsFormat(low, high, spec.type === 'int8', spec.order, spec.invalid);
    case 'int16':
    case 'uint16':
      if (spec.bits) return bitsFormat(low, high, spec.type === 'int16', spec.order, spec.invalid);
      return numberFormat(spec.type, spec.order, spec.invalid ?? []);
    case 'string':
      return stringFormat(spec.length ?? 2, spec.order);
    case 'raw':
      return rawFormat(spec.length ?? 1);
    default:
      return numberFormat(spec.type, spec.order, spec.invalid ?? []);
  }
}
