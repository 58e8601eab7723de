import type { PinKind, RawValue } from '../../src/pin/pin.ts';

/** Type that a capture is read as. */
export const captureTypes = ['number', 'bool', 'text', 'hex', 'degrees'] as const;
export type CaptureType = (typeof captureTypes)[number];

export const kindOfType: Readonly<Record<CaptureType, PinKind>> = {
  number: 'analog',
  bool: 'digital',
  text: 'text',
  hex: 'analog',
  degrees: 'analog',
};

/** Notation of a capture, beyond its type. */
export interface CaptureStyle {
  readonly type: CaptureType;
  /** The character before the decimals. */
  readonly decimal: '.' | ',';
  /** Words for true and false; `undefined`: the usual ones. */
  readonly on?: readonly string[] | undefined;
  readonly off?: readonly string[] | undefined;
}

const NUMBER = /^\s*([+-]?)\s*(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$/;
/** Most numbers: Number() can parse them. */
const PLAIN = /^[+-]?\d[\d.]*$/;
const ON = ['1', 'true', 'on', 'yes', 'high'];
const OFF = ['0', 'false', 'off', 'no', 'low'];

/**
 * The value of a capture; `undefined` when it is none: an empty capture is no number, and neither is `12.` followed by
 * noise. Blanks may follow a sign, because scales write `-   12.5`.
 */
export function readCapture(capture: string | undefined, style: CaptureStyle): RawValue | undefined {
  if (capture === undefined) return undefined;
  if (style.type === 'text') return capture;
  if (style.type === 'bool') return readBool(capture, style);
  if (style.type === 'hex') return readHex(capture);
  if (style.type === 'degrees') return readDegrees(capture);
  return readNumber(capture, style.decimal);
}

function readNumber(text: string, decimal: '.' | ','): number | undefined {
  if (decimal === '.' && PLAIN.test(text)) {
    const plain = Number(text);
    if (Number.isFinite(plain)) return plain;
  }
  if (decimal === ',' && text.includes('.')) return undefined;
  const found = NUMBER.exec(decimal === ',' ? text.replace(',', '.') : text);
  if (!found) return undefined;
  const value = Number(`${found[1]}${found[2]}${found[3] ?? ''}`);
  return Number.isFinite(value) ? value : undefined;
}

function readBool(text: string, { on = ON, off = OFF }: CaptureStyle): boolean | undefined {
  const word = text.trim().toLowerCase();
  if (on.some((known) => known.toLowerCase() === word)) return true;
  return off.some((known) => known.toLowerCase() === word) ? false : undefined;
}

function readHex(text: string): number | undefined {
  const digits = /^\s*(?:0x)?([0-9a-f]{1,13})\s*$/i.exec(text)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

/** NMEA 0183: `4807.038,N` is 48 degrees 7.038 minutes north. */
function readDegrees(text: string): number | undefined {
  const found = /^(\d{1,3})(\d{2}(?:\.\d*)?),([NSEW])$/.exec(text);
  if (!found) return undefined;
  const minutes = Number(found[2]);
  const degrees = Number(found[1]) + minutes / 60;
  const limit = found[3] === 'N' || found[3] === 'S' ? 90 : 180;
  if (minutes >= 60 || degrees > limit) return undefined;
  return found[3] === 'S' || found[3] === 'W' ? -degrees : degrees;
}

/**
 * The time in `210719151135S` (S: summer, W: winter time of central Europe), Unix seconds. Without the letter its zone is
 * unknown, which is good enough to compare two times of one device. `undefined` when it is none.
 */
export function readTime(text: string): number | undefined {
  const found = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?([SW]?)$/.exec(text);
  if (!found) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found
    .slice(1, 7)
    .map((part) => Number(part ?? 0));
  const time = Date.UTC(2000 + year, month - 1, day, hour, minute, second) / 1000;
  const real = new Date(time * 1000);
  if (real.getUTCMonth() !== month - 1 || real.getUTCDate() !== day || hour > 23 || minute > 59) return undefined;
  return time - (found[7] === 'S' ? 7200 : found[7] === 'W' ? 3600 : 0);
}

/** Encoding of a number in a binary frame. */
export const fieldTypes = [
  'u8',
  'i8',
  'u16be',
  'u16le',
  'i16be',
  'i16le',
  'u32be',
  'u32le',
  'i32be',
  'i32le',
  'f32be',
  'f32le',
  'f64be',
  'f64le',
] as const;
export type FieldType = (typeof fieldTypes)[number];

const BYTES: Readonly<Record<string, number>> = { 8: 1, 16: 2, 32: 4, 64: 8 };

/** Reads a number at a byte of a frame. `undefined` when the frame is too short or the number is not finite. */
export function readField(frame: Uint8Array, at: number, type: FieldType): number | undefined {
  const bytes = BYTES[type.replace(/\D/g, '')] ?? 1;
  if (at + bytes > frame.byteLength) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset + at, bytes);
  const little = type.endsWith('le');
  const value = readBinary(view, type.charAt(0), bytes, little);
  return Number.isFinite(value) ? value : undefined;
}

function readBinary(view: DataView, letter: string, bytes: number, little: boolean): number {
  if (letter === 'f') return bytes === 4 ? view.getFloat32(0, little) : view.getFloat64(0, little);
  const signed = letter === 'i';
  if (bytes === 1) return signed ? view.getInt8(0) : view.getUint8(0);
  if (bytes === 2) return signed ? view.getInt16(0, little) : view.getUint16(0, little);
  return signed ? view.getInt32(0, little) : view.getUint32(0, little);
}
