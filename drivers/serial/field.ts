/** How a number stands in a binary frame. */
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

/** Reads a number at a byte of a frame; undefined when the frame is too short or the number is none (NaN, infinite). */
export function readField(frame: Uint8Array, at: number, type: FieldType): number | undefined {
  const bytes = BYTES[type.replace(/\D/g, '')] ?? 1;
  if (at + bytes > frame.byteLength) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset + at, bytes);
  const little = type.endsWith('le');
  const value = readNumber(view, type.charAt(0), bytes, little);
  return Number.isFinite(value) ? value : undefined;
}

function readNumber(view: DataView, letter: string, bytes: number, little: boolean): number {
  if (letter === 'f') return bytes === 4 ? view.getFloat32(0, little) : view.getFloat64(0, little);
  const signed = letter === 'i';
  if (bytes === 1) return signed ? view.getInt8(0) : view.getUint8(0);
  if (bytes === 2) return signed ? view.getInt16(0, little) : view.getUint16(0, little);
  return signed ? view.getInt32(0, little) : view.getUint32(0, little);
}
