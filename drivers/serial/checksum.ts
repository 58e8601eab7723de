import { z } from 'zod';

/** Checksums of one or two bytes. */
export const checksumTypes = ['xor8', 'sum8', 'sum8-negated', 'crc16-arc', 'crc16-modbus', 'crc16-xmodem'] as const;
export type ChecksumType = (typeof checksumTypes)[number];

export const checksumSchema = z
  .strictObject({
    type: z
      .enum(checksumTypes)
      .describe('xor8 (NMEA), sum8, sum8-negated (two’s complement), crc16-arc (DSMR), crc16-modbus, crc16-xmodem'),
    as: z
      .enum(['byte', 'le', 'be', 'hex'])
      .describe('how it stands in the frame: one byte, two bytes low or high first, or hexadecimal digits'),
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
  const at = frame.length - rule.after - width;
  const to = at - rule.before;
  if (to < rule.from) return false;
  const expected = read(frame, at, width, rule.as);
  return expected !== undefined && expected === checksumOf(frame.subarray(rule.from, to), rule.type);
}

function read(frame: Uint8Array, at: number, width: number, as: Checksum['as']): number | undefined {
  const bytes = Buffer.from(frame.subarray(at, at + width));
  if (as === 'byte') return bytes[0];
  if (as === 'le') return bytes.readUInt16LE(0);
  if (as === 'be') return bytes.readUInt16BE(0);
  const text = bytes.toString('latin1');
  return /^[0-9A-Fa-f]+$/.test(text) ? Number.parseInt(text, 16) : undefined;
}

export function checksumOf(bytes: Uint8Array, type: ChecksumType): number {
  if (type === 'xor8') return bytes.reduce((sum, byte) => sum ^ byte, 0);
  if (type === 'sum8') return bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0);
  if (type === 'sum8-negated') return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  if (type === 'crc16-xmodem') return crcMsbFirst(bytes);
  return crcLsbFirst(bytes, type === 'crc16-modbus' ? 0xffff : 0);
}

/** CRC-16 with the reflected polynomial 0xA001 (x¹⁶+x¹⁵+x²+1), low bit first. */
function crcLsbFirst(bytes: Uint8Array, initial: number): number {
  let crc = initial;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1;
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
