import type { Framer, FrameSink } from './framer.ts';

/** RFC 1055. */
const END = 0xc0;
const ESC = 0xdb;
const ESC_END = 0xdc;
const ESC_ESC = 0xdd;

/** SLIP frames (RFC 1055), unescaped. Empty frames (an END at both sides) are no frames; a wrong escape spoils one. */
export class SlipFramer implements Framer {
  readonly #max: number;
  readonly #sink: FrameSink;
  readonly #held: Buffer;
  #length = 0;
  /** Bytes of the frame so far, also those no longer held. */
  #size = 0;
  #escaped = false;
  #damaged = false;

  constructor(max: number, sink: FrameSink) {
    this.#max = max;
    this.#sink = sink;
    this.#held = Buffer.allocUnsafe(max);
  }

  push(chunk: Buffer): void {
    for (const byte of chunk) {
      if (byte === END) this.#end();
      else if (this.#escaped) this.#unescape(byte);
      else if (byte === ESC) this.#escaped = true;
      else this.#add(byte);
    }
  }

  reset(): number {
    const lost = this.#size;
    this.#size = 0;
    this.#length = 0;
    this.#escaped = false;
    this.#damaged = false;
    return lost;
  }

  #unescape(byte: number): void {
    this.#escaped = false;
    if (byte !== ESC_END && byte !== ESC_ESC) this.#damaged = true;
    this.#add(byte === ESC_END ? END : ESC);
  }

  #add(byte: number): void {
    this.#size++;
    if (this.#length < this.#max) this.#held[this.#length++] = byte;
  }

  #end(): void {
    const damaged = this.#damaged || this.#escaped;
    const frame = Buffer.from(this.#held.subarray(0, this.#length));
    const size = this.reset();
    if (size > this.#max) this.#sink.dropped('overlong', size);
    else if (damaged) this.#sink.dropped('damaged', size);
    else if (size > 0) this.#sink.frame(frame);
  }
}

/** Bytes as one SLIP frame. */
export function slipEncode(bytes: Uint8Array): Buffer {
  const out = [END];
  for (const byte of bytes) {
    if (byte === END) out.push(ESC, ESC_END);
    else if (byte === ESC) out.push(ESC, ESC_ESC);
    else out.push(byte);
  }
  return Buffer.from([...out, END]);
}
