import { z } from 'zod';

/** Checksums of one or two bytes. */
export const checksumTypes = [
  'xor8',
  'sum8',
  'sum8-negated',
  'crc16-arc',
  'crc16-modbus',
  'crc16-xmodem',
  'crc16-x25',
] as const;
export type ChecksumType = (typeof checksumTypes)[number];

export const checksumSchema = z
  .strictObject({
    type: z
      .enum(checksumTypes)
      .describe(
        'xor8 (NMEA), sum8, sum8-negated (two’s complement), crc16-arc (DSMR), crc16-modbus, crc16-xmodem, crc16-x25 (HDLC)',
      ),
    as: z
      .enum(['byte', 'le', 'be', 'hex'])
      .describe(
        'how it stands in the frame: one byte, two bytes low or high first, or hexadecimal digits (leading zeros may be missing)',
      ),
    from: z.int().min(0).max(64).default(0).describe('first byte of the frame that counts'),
    before: z
      .int()
      .min(0)
      .max(64)
      .default(0)
      .describe('bytes between those that count and the checksum (the * of NMEA)'),
    after: z.int().min(0).max(64).default(0).describe('bytes of the frame after the checksum'),
  })
  .refine(({ type, as }) => as === 'hex' || (as === 'byte') === type.includes('8'), {
    message: 'a checksum of one byte is a byte or hex, one of two bytes is le, be or hex',
    path: ['as'],
  });
export type Checksum = z.infer<typeof checksumSchema>;

/** Returns whether the checksum of a frame is present and right. */
export function checksumHolds(frame: Uint8Array, rule: Checksum): boolean {
  const wide = !rule.type.includes('8');
  const width = rule.as === 'hex' ? (wide ? 4 : 2) : wide ? 2 : 1;
  const end = frame.length - rule.after;
  const found = read(Buffer.from(frame.subarray(Math.max(0, end - width), Math.max(0, end))), width, rule.as);
  const to = end - (found?.width ?? 0) - rule.before;
  if (!found || to < rule.from) return false;
  return found.value === checksumOf(frame.subarray(rule.from, to), rule.type);
}

/** The checksum at the end of these bytes, and the number of bytes it takes. Some devices leave leading zeros out. */
function read(
  bytes: Buffer,
  width: number,
  as: Checksum['as'],
): { readonly value: number; readonly width: number } | undefined {
  if (as === 'hex') {
    const digits = /[0-9A-Fa-f]+$/.exec(bytes.toString('latin1'))?.[0];
    return digits === undefined ? undefined : { value: Number.parseInt(digits, 16), width: digits.length };
  }
  if (bytes.length < width) return undefined;
  const value = as === 'byte' ? bytes.readUInt8(0) : as === 'le' ? bytes.readUInt16LE(0) : bytes.readUInt16BE(0);
  return { value, width };
}

export function checksumOf(bytes: Uint8Array, type: ChecksumType): number {
  if (type === 'xor8') return bytes.reduce((sum, byte) => sum ^ byte, 0);
  if (type === 'sum8') return bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0);
  if (type === 'sum8-negated') return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  if (type === 'crc16-xmodem') return crcMsbFirst(bytes);
  if (type === 'crc16-x25') return crcLsbFirst(bytes, 0xffff, 0x8408) ^ 0xffff;
  return crcLsbFirst(bytes, type === 'crc16-modbus' ? 0xffff : 0, 0xa001);
}

/** CRC-16, low bit first. Reflected polynomials: 0xA001 (x¹⁶+x¹⁵+x²+1), 0x8408 (x¹⁶+x¹²+x⁵+1). */
function crcLsbFirst(bytes: Uint8Array, initial: number, polynomial: number): number {
  let crc = initial;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
  }
  return crc;
}

/** CRC-16 with the polynomial 0x1021, high bit first, starting at 0. */
function crcMsbFirst(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc;
}
