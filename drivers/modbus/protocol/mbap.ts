/** Modbus TCP's header: transaction id, protocol id (0), length of what follows, unit id. */
const HEADER = 7;
/** Bounds of the length field: unit and function at least, a PDU of 253 bytes at most. */
const MIN_LENGTH = 2;
const MAX_LENGTH = 254;

export interface MbapFrame {
  readonly id: number;
  readonly unit: number;
  readonly pdu: Buffer;
}

export function encodeMbap(id: number, unit: number, pdu: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(HEADER + pdu.length);
  frame.writeUInt16BE(id, 0);
  frame.writeUInt16BE(0, 2);
  frame.writeUInt16BE(pdu.length + 1, 4);
  frame[6] = unit;
  pdu.copy(frame, HEADER);
  return frame;
}

/** Cuts a byte stream into frames. It holds at most one incomplete frame (260 bytes). */
export class MbapReader {
  #rest: Buffer = Buffer.alloc(0);

  /** Whether a frame has begun and not ended. */
  get partial(): boolean {
    return this.#rest.length > 0;
  }

  /**
   * Gives every whole frame to `onFrame`, in order. Returns why the stream can no longer be trusted (the place where
   * the next frame begins is lost), or undefined.
   */
  push(chunk: Buffer, onFrame: (frame: MbapFrame) => void): string | undefined {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= 6) {
      const protocol = bytes.readUInt16BE(2);
      const length = bytes.readUInt16BE(4);
      if (protocol !== 0) return `protocol ${protocol} in place of 0`;
      if (length < MIN_LENGTH || length > MAX_LENGTH) return `a frame length of ${length}`;
      if (bytes.length < 6 + length) break;
      onFrame({ id: bytes.readUInt16BE(0), unit: bytes.readUInt8(6), pdu: bytes.subarray(HEADER, 6 + length) });
      bytes = bytes.subarray(6 + length);
    }
    // A copy: the rest must not keep a large chunk alive.
    this.#rest = Buffer.from(bytes);
    return undefined;
  }
}
