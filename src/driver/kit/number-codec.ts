/** Encoding of a number in 16-bit registers, highest byte first. */
export interface NumberCodec {
  readonly words: number;
  /** Inclusive limits of the numbers that can be encoded. */
  readonly min: number | bigint;
  readonly max: number | bigint;
  /** Only whole numbers can be encoded. */
  readonly whole: boolean;
  /** The number; `undefined` when the bytes hold none (BCD digits above 9, a part above 9999). */
  decode(bytes: Buffer): number | bigint | undefined;
  /** Writes a number within the limits; it must be whole if `whole`. */
  encode(value: number | bigint, bytes: Buffer): void;
}

const U64_MAX = 2n ** 64n - 1n;
const I64_MAX = 2n ** 63n - 1n;
const FLOAT16_MAX = 65504;
const FLOAT32_MAX = 3.4028234663852886e38;

function whole(
  words: number,
  min: number,
  max: number,
  decode: (bytes: Buffer) => number | undefined,
  encode: (value: number, bytes: Buffer) => void,
): NumberCodec {
  return { words, min, max, whole: true, decode, encode: (value, bytes) => encode(Number(value), bytes) };
}

function float(
  words: number,
  max: number,
  decode: (bytes: Buffer) => number,
  encode: (value: number, bytes: Buffer) => void,
): NumberCodec {
  return { words, min: -max, max, whole: false, decode, encode: (value, bytes) => encode(Number(value), bytes) };
}

/** The codec of each number type. */
export const numberCodecs = {
  int16: whole(
    1,
    -0x8000,
    0x7fff,
    (b) => b.readInt16BE(0),
    (v, b) => b.writeInt16BE(v, 0),
  ),
  uint16: whole(
    1,
    0,
    0xffff,
    (b) => b.readUInt16BE(0),
    (v, b) => b.writeUInt16BE(v, 0),
  ),
  int32: whole(
    2,
    -0x8000_0000,
    0x7fff_ffff,
    (b) => b.readInt32BE(0),
    (v, b) => b.writeInt32BE(v, 0),
  ),
  uint32: whole(
    2,
    0,
    0xffff_ffff,
    (b) => b.readUInt32BE(0),
    (v, b) => b.writeUInt32BE(v, 0),
  ),
  int48: whole(
    3,
    -(2 ** 47),
    2 ** 47 - 1,
    (b) => b.readIntBE(0, 6),
    (v, b) => b.writeIntBE(v, 0, 6),
  ),
  uint48: whole(
    3,
    0,
    2 ** 48 - 1,
    (b) => b.readUIntBE(0, 6),
    (v, b) => b.writeUIntBE(v, 0, 6),
  ),
  int64: {
    words: 4,
    min: -(2n ** 63n),
    max: I64_MAX,
    whole: true,
    decode: (b) => b.readBigInt64BE(0),
    encode: (v, b) => void b.writeBigInt64BE(BigInt(v), 0),
  },
  uint64: {
    words: 4,
    min: 0n,
    max: U64_MAX,
    whole: true,
    decode: (b) => b.readBigUInt64BE(0),
    encode: (v, b) => void b.writeBigUInt64BE(BigInt(v), 0),
  },
  float16: float(
    1,
    FLOAT16_MAX,
    (b) => halfToNumber(b.readUInt16BE(0)),
    (v, b) => b.writeUInt16BE(numberToHalf(v), 0),
  ),
  float32: float(
    2,
    FLOAT32_MAX,
    (b) => b.readFloatBE(0),
    (v, b) => b.writeFloatBE(v, 0),
  ),
  float64: float(
    4,
    Number.MAX_VALUE,
    (b) => b.readDoubleBE(0),
    (v, b) => b.writeDoubleBE(v, 0),
  ),
  bcd16: bcd(1),
  bcd32: bcd(2),
  bcd48: bcd(3),
  bcd64: bcd(4),
  mod10k32: modulo10k(2),
  mod10k48: modulo10k(3),
  mod10k64: modulo10k(4),
} as const satisfies Record<string, NumberCodec>;

/** Name of a number type. */
export type NumberType = keyof typeof numberCodecs;

/** Four decimal digits a register. */
function bcd(words: number): NumberCodec {
  return {
    words,
    ...decimalLimits(0n, 10n ** BigInt(4 * words) - 1n),
    whole: true,
    decode(bytes) {
      const digits = bytes.toString('hex');
      if (!/^\d+$/.test(digits)) return undefined;
      return words > 3 ? BigInt(digits) : Number(digits);
    },
    encode: (value, bytes) => void bytes.write(String(value).padStart(4 * words, '0'), 'hex'),
  };
}

/** Modulo 10000: each register counts from -9999 to 9999 and the one above it counts the ten thousands. */
function modulo10k(words: number): NumberCodec {
  const limit = 10_000n ** BigInt(words) - 1n;
  return {
    words,
    ...decimalLimits(-limit, limit),
    whole: true,
    decode(bytes) {
      const parts = Array.from({ length: words }, (_, word) => bytes.readInt16BE(2 * word));
      if (parts.some((part) => Math.abs(part) > 9999)) return undefined;
      const sum = parts.reduce((total, part) => total * 10_000n + BigInt(part), 0n);
      return words > 3 ? sum : Number(sum);
    },
    encode(value, bytes) {
      let rest = BigInt(value);
      for (let word = words - 1; word >= 0; word--, rest /= 10_000n)
        bytes.writeInt16BE(Number(rest % 10_000n), 2 * word);
    },
  };
}

/** Limits as numbers where a double holds them exactly. */
function decimalLimits(min: bigint, max: bigint): { min: number | bigint; max: number | bigint } {
  return max <= BigInt(Number.MAX_SAFE_INTEGER) ? { min: Number(min), max: Number(max) } : { min, max };
}

/** IEEE 754 binary16. */
export function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest binary16, ties to even; for finite numbers within ±65504. */
export function numberToHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size < 2 ** -14) return sign | roundEven(size * 2 ** 24);
  let exponent = Math.floor(Math.log2(size));
  // log2 may round up to the next power of two.
  if (2 ** exponent > size) exponent--;
  // A fraction that rounds up to 1024 carries into the exponent by itself: the bits are adjacent.
  return sign | (((exponent + 15) << 10) + roundEven((size / 2 ** exponent - 1) * 1024));
}

function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Order of the bytes of a value, A being the highest. CDAB has the registers reversed, BADC the bytes within each
 * register, DCBA both; this holds for longer values too.
 */
export const byteOrders = ['ABCD', 'CDAB', 'BADC', 'DCBA'] as const;
/** Order of the bytes of a number over several registers; A is the most significant byte. */
export type ByteOrder = (typeof byteOrders)[number];

/**
 * Copies `words` registers from `from` at byte `at` into the order highest byte first, or back: every order is its own
 * inverse.
 */
export function reorder(from: Buffer, at: number, words: number, order: ByteOrder): Buffer {
  const out = Buffer.allocUnsafe(2 * words);
  const reverseWords = order === 'CDAB' || order === 'DCBA';
  const swapBytes = order === 'BADC' || order === 'DCBA';
  for (let word = 0; word < words; word++) {
    const source = at + 2 * (reverseWords ? words - 1 - word : word);
    out[2 * word] = from[source + (swapBytes ? 1 : 0)] ?? 0;
    out[2 * word + 1] = from[source + (swapBytes ? 0 : 1)] ?? 0;
  }
  return out;
}
