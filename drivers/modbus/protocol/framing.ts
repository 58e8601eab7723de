import {
  hasReadHeader,
  matchReply,
  type ReplyMatch,
  type ReplyTolerance,
  repeatsRequest,
  replyLength,
  STRICT,
} from './reply.ts';
import { encodePdu, functionOf, type Request } from './request.ts';

/** Result of a scan of the bytes received so far, for the requests that wait for a reply. */
export type ScanResult =
  /** A frame with a good checksum, of the unit and function of `request`: bytes `from` up to, without, `to`. */
  | {
      readonly kind: 'frame';
      readonly request: Request;
      /** The unit that it names. */
      readonly unit: number;
      readonly match: ReplyMatch;
      readonly from: number;
      readonly to: number;
    }
  /**
   * A complete reply with a bad checksum (`complete`), or an incomplete reply. `sure`: so many of its bytes fit that it
   * is hardly noise.
   */
  | { readonly kind: 'partial'; readonly request: Request; readonly complete: boolean; readonly sure: boolean }
  | { readonly kind: 'nothing' };

/** Framing of a serial bus: RTU or ASCII. */
export interface Framing {
  encode(unit: number, pdu: Buffer): Buffer;
  /** Number of bytes on the wire for a protocol data unit of this length. */
  size(pduLength: number): number;
  scan(bytes: Buffer, requests: readonly Request[], tolerates?: Tolerates): ScanResult;
}

/** Deviations that the replies of a unit may have. */
export type Tolerates = (unit: number) => ReplyTolerance;

const strictly: Tolerates = () => STRICT;

/** CRC-16 of Modbus over serial line 1.02, 6.2.2: polynomial 0xA001 reflected, start 0xFFFF. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  return crc;
});

export function crc16(bytes: Buffer, from = 0, to: number = bytes.length): number {
  let crc = 0xffff;
  for (let at = from; at < to; at++) crc = (crc >> 8) ^ (TABLE[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  return crc;
}

/** Longitudinal redundancy check (LRC) of ASCII mode: the sum of all bytes and the LRC is 0. */
export function lrc8(bytes: Buffer): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return -sum & 0xff;
}

/**
 * RTU frames: unit, protocol data unit, CRC (low byte first). The length of a reply follows from its request, so
 * silence is not needed to find the end of a frame. Noise, an echo or a foreign frame before the reply is skipped.
 */
export const rtu: Framing = {
  encode(unit, pdu) {
    const frame = Buffer.allocUnsafe(pdu.length + 3);
    frame[0] = unit;
    pdu.copy(frame, 1);
    frame.writeUInt16LE(crc16(frame, 0, pdu.length + 1), pdu.length + 1);
    return frame;
  },
  size: (pduLength) => pduLength + 3,
  scan(bytes, requests, tolerates = strictly) {
    let partial: ScanResult = { kind: 'nothing' };
    for (let at = 0; at < bytes.length; at++) {
      for (const request of requests) {
        const tolerance = tolerates(request.unit);
        if (bytes[at] !== request.unit && !tolerance.anyUnit) continue;
        const found = rtuFrameAt(bytes, at, request, tolerance);
        if (found.kind === 'frame') return found;
        if (found.kind === 'partial' && partial.kind === 'nothing') partial = found;
      }
    }
    return partial;
  },
};

function rtuFrameAt(bytes: Buffer, at: number, request: Request, tolerance: ReplyTolerance): ScanResult {
  const length = replyLength(request, bytes.subarray(at + 1));
  if (length === 'foreign' || length === undefined) return { kind: 'nothing' };
  if (length === 'open') return openEndedFrameAt(bytes, at, request);
  const sure = hasReadHeader(request, bytes.subarray(at + 1));
  const end = at + 1 + length;
  if (bytes.length < end + 2) return { kind: 'partial', request, complete: false, sure };
  const whole = at + 1 + encodePdu(request).length;
  const last = hasChecksum(bytes, at, end)
    ? end
    : repeatsRequest(request, bytes.subarray(at + 1)) && hasChecksum(bytes, at, whole)
      ? whole
      : undefined;
  if (last === undefined) return { kind: 'partial', request, complete: true, sure };
  return rtuFrame(bytes, at, last, request, tolerance);
}

/** A reply of unknown length: all bytes belong to it. Only silence can tell that it is complete. */
function openEndedFrameAt(bytes: Buffer, at: number, request: Request): ScanResult {
  const end = bytes.length - 2;
  if (end < at + 2 || !hasChecksum(bytes, at, end)) return { kind: 'partial', request, complete: false, sure: false };
  return rtuFrame(bytes, at, end, request, STRICT);
}

/** The frame in bytes `from` up to, without, `end`; its checksum follows. */
function rtuFrame(bytes: Buffer, from: number, end: number, request: Request, tolerance: ReplyTolerance): ScanResult {
  const match = matchReply(request, bytes.subarray(from + 1, end), tolerance);
  return { kind: 'frame', request, unit: bytes.readUInt8(from), match, from, to: end + 2 };
}

function hasChecksum(bytes: Buffer, from: number, end: number): boolean {
  return bytes.length >= end + 2 && crc16(bytes, from, end) === bytes.readUInt16LE(end);
}

const COLON = 0x3a;
const CR = 0x0d;
const LF = 0x0a;

/** ASCII frames: a colon, two hexadecimal digits a byte, the LRC, carriage return and line feed. */
export const ascii: Framing = {
  encode(unit, pdu) {
    const bytes = Buffer.concat([Buffer.from([unit]), pdu]);
    const digits = Buffer.concat([bytes, Buffer.from([lrc8(bytes)])]).toString('hex');
    return Buffer.from(`:${digits.toUpperCase()}\r\n`, 'latin1');
  },
  size: (pduLength) => 2 * (pduLength + 2) + 3,
  scan(bytes, requests, tolerates = strictly) {
    let partial: ScanResult = { kind: 'nothing' };
    for (let at = bytes.indexOf(COLON); at >= 0; at = bytes.indexOf(COLON, at + 1)) {
      const next = bytes.indexOf(COLON, at + 1);
      const end = bytes.indexOf(LF, at + 1);
      const whole = end >= 0 && (next < 0 || end < next);
      const found = asciiFrameAt(
        bytes.subarray(at + 1, whole ? end + 1 : next < 0 ? bytes.length : next),
        whole,
        requests,
        tolerates,
      );
      if (found.kind === 'frame') return { ...found, from: at, to: end + 1 };
      // A frame before another colon will not be completed any more.
      if (found.kind === 'partial' && partial.kind === 'nothing') partial = { ...found, complete: whole || next >= 0 };
    }
    return partial;
  },
};

function asciiFrameAt(text: Buffer, whole: boolean, requests: readonly Request[], tolerates: Tolerates): ScanResult {
  const digits = (whole ? text.subarray(0, -2) : text).toString('latin1');
  const bytes = Buffer.from(digits.slice(0, digits.length & ~1), 'hex');
  const [unit, fn] = bytes;
  if (unit === undefined || fn === undefined) return { kind: 'nothing' };
  const request = requests.find(
    (one) => (unit === one.unit || tolerates(one.unit).anyUnit) && (fn & 0x7f) === (functionOf(one) & 0x7f),
  );
  if (!request) return { kind: 'nothing' };
  const sound =
    whole && text.at(-2) === CR && /^([0-9A-F]{2})+$/i.test(digits) && bytes.length >= 3 && lrc8(bytes) === 0;
  if (!sound) return { kind: 'partial', request, complete: whole, sure: hasReadHeader(request, bytes.subarray(1)) };
  const match = matchReply(request, bytes.subarray(1, -1), tolerates(request.unit));
  return { kind: 'frame', request, unit, match, from: 0, to: 0 };
}
