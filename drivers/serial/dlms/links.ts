import { checksumOf } from '../checksum.ts';
import { MORE, type Probe, type ProbeResult } from '../framing/header-framer.ts';

/** Flag of an HDLC frame, first byte of an M-Bus long frame, tag of a bare general-glo-ciphering APDU. */
const HDLC_FLAG = 0x7e;
const MBUS_START = 0x68;
const MBUS_STOP = 0x16;
export const CIPHERED_TAG = 0xdb;

/** Number of bytes of an M-Bus long frame beside those that its length counts: start, length twice, start; sum, stop. */
const MBUS_EXTRA = 6;
/** M-Bus: control, address, control information, source and destination; the bytes after them are the data. */
const MBUS_HEADER = 9;

/**
 * Recognises what DLMS meters push: HDLC frames (IEC 62056-46), M-Bus long frames (EN 13757-2), and general-glo-ciphering
 * APDUs without a link layer (Luxembourg's P1).
 */
export function dlmsProbe(max: number): Probe {
  return (held) => {
    const skip = held.findIndex((byte) => byte === HDLC_FLAG || byte === MBUS_START || byte === CIPHERED_TAG);
    if (skip !== 0) return { kind: 'skip', why: 'noise', length: skip < 0 ? held.length : skip };
    const length = frameLength(held);
    if (length === 'more') return MORE;
    if (length === 'none') return { kind: 'skip', why: 'noise', length: 1 };
    if (length > max) return { kind: 'skip', why: 'overlong', length: 1 };
    if (held.length < length) return MORE;
    const damage: ProbeResult = { kind: 'skip', why: 'damaged', length: 1 };
    return frameHolds(held.subarray(0, length)) ? { kind: 'frame', from: 0, to: length, length } : damage;
  };
}

/** The length that the header of a frame states. `none` when no frame begins like that. */
function frameLength(held: Buffer): number | 'more' | 'none' {
  const [first, second, third, fourth] = held;
  if (first === HDLC_FLAG) {
    if (second === undefined) return 'more';
    // Format type 3. Two flags in a row end one frame and begin the next.
    if ((second & 0xf0) !== 0xa0) return 'none';
    return third === undefined ? 'more' : (((second & 0x07) << 8) | third) + 2;
  }
  if (first === MBUS_START) {
    if (fourth === undefined) return 'more';
    return second === third && fourth === MBUS_START && (second ?? 0) > MBUS_HEADER - 4
      ? (second ?? 0) + MBUS_EXTRA
      : 'none';
  }
  return cipheredLength(held);
}

/** Length of a general-glo-ciphering APDU: tag, system title of eight bytes, content, each with its length. */
function cipheredLength(held: Buffer): number | 'more' | 'none' {
  if (held.length > 1 && held[1] !== 8) return 'none';
  if (held.length < 13) return 'more';
  const content = lengthAt(held, 10);
  return content === undefined ? 'none' : content.from + content.length;
}

/** A length in BER: one byte, or 0x81 and 0x82 before one or two bytes. `from`: the first byte after it. */
export function lengthAt(bytes: Buffer, at: number): { readonly length: number; readonly from: number } | undefined {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return { length: first, from: at + 1 };
  if (first === 0x81 && at + 1 < bytes.length) return { length: bytes.readUInt8(at + 1), from: at + 2 };
  if (first === 0x82 && at + 2 < bytes.length) return { length: bytes.readUInt16BE(at + 1), from: at + 3 };
  return undefined;
}

/** Returns whether the checksum and the end of a complete frame are right. A bare APDU has none: its tag protects it. */
function frameHolds(frame: Buffer): boolean {
  const end = frame.length - 1;
  if (frame[0] === HDLC_FLAG)
    return (
      frame[end] === HDLC_FLAG && checksumOf(frame.subarray(1, end - 2), 'crc16-x25') === frame.readUInt16LE(end - 2)
    );
  if (frame[0] === MBUS_START)
    return frame[end] === MBUS_STOP && checksumOf(frame.subarray(4, end - 1), 'sum8') === frame[end - 1];
  return true;
}

/** A part of an APDU, and whether it is the first and the last one. */
export interface Segment {
  readonly data: Buffer;
  readonly first: boolean;
  readonly last: boolean;
}

/** The data of a frame. `undefined` when the frame carries none. */
export function segmentOf(frame: Buffer, continued: boolean): Segment | undefined {
  if (frame[0] === MBUS_START) {
    const info = frame.readUInt8(6);
    // The lower half counts the segments, the next bit marks the last one.
    return { data: frame.subarray(MBUS_HEADER, -2), first: (info & 0x0f) === 0, last: (info & 0x10) !== 0 };
  }
  if (frame[0] !== HDLC_FLAG) return { data: frame, first: true, last: true };
  const control = addressEnd(frame, addressEnd(frame, 3));
  // Control, header checksum.
  const information = frame.subarray(control + 3, -3);
  if (information.length === 0) return undefined;
  const llc = information[0] === 0xe6 && (information[1] === 0xe6 || information[1] === 0xe7);
  return {
    data: llc ? information.subarray(3) : information,
    first: llc || !continued,
    last: (frame.readUInt8(1) & 0x08) === 0,
  };
}

/** The byte after an HDLC address: its last byte has the lowest bit set. */
function addressEnd(frame: Buffer, from: number): number {
  let at = from;
  while (at < frame.length && at < from + 4 && ((frame[at] ?? 1) & 1) === 0) at++;
  return at + 1;
}
