/** Header of Modbus TCP (MBAP): transaction id, protocol id (0), length of the rest, unit id. */
const HEADER = 7;
/** Bounds of the length field: at least unit and function, at most a PDU of 253 bytes and the unit. */
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

/** Splits a byte stream into frames. It holds at most one incomplete frame (260 bytes). */
export class MbapReader {
  #rest: Buffer = Buffer.alloc(0);

  /** Whether an incomplete frame is held. */
  get partial(): boolean {
    return this.#rest.length > 0;
  }

  /** What is wrong with an incomplete frame, for people: `its header announces 7 bytes, and 5 came`. */
  get partialText(): string {
    if (this.#rest.length < 6) return `only ${this.#rest.length} bytes came`;
    return `its header announces ${this.#rest.readUInt16BE(4)} bytes, and ${this.#rest.length - 6} came`;
  }

  /**
   * Passes every complete frame to `onFrame`, in order. Returns the reason when the start of the next frame can no
   * longer be found, else `undefined`.
   */
  push(chunk: Buffer, onFrame: (frame: MbapFrame) => void): string | undefined {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= 6) {
      const protocol = bytes.readUInt16BE(2);
      const length = bytes.readUInt16BE(4);
      if (protocol !== 0) return `protocol ${protocol} in place of 0 in a header`;
      if (length < MIN_LENGTH || length > MAX_LENGTH)
        return `a length of ${length} in place of ${MIN_LENGTH} to ${MAX_LENGTH} in a header`;
      if (bytes.length < 6 + length) break;
      onFrame({ id: bytes.readUInt16BE(0), unit: bytes.readUInt8(6), pdu: bytes.subarray(HEADER, 6 + length) });
      bytes = bytes.subarray(6 + length);
    }
    // A copy, because a view would keep a large chunk alive.
    this.#rest = Buffer.from(bytes);
    return undefined;
  }
}
