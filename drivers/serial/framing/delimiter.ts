import type { Framer, FrameSink } from './framer.ts';

/**
 * Frames that end with a delimiter. A frame longer than `max` is dropped, counted once, and the next one begins after
 * the next delimiter: the memory held never exceeds `max` plus the delimiter.
 */
export class DelimiterFramer implements Framer {
  readonly #delimiter: Buffer;
  /** What is searched for: one byte alone is found faster. */
  readonly #mark: Buffer | number;
  readonly #max: number;
  readonly #sink: FrameSink;
  /** Bytes since the last delimiter that came in earlier chunks. */
  readonly #held: Buffer;
  #length = 0;
  /** Bytes already thrown away of a frame that is too long; 0: the frame is good so far. */
  #skipped = 0;

  constructor(delimiter: Buffer, max: number, sink: FrameSink) {
    this.#delimiter = delimiter;
    const [first = 0] = delimiter;
    this.#mark = delimiter.length === 1 ? first : delimiter;
    this.#max = max;
    this.#sink = sink;
    this.#held = Buffer.allocUnsafe(max + delimiter.length);
  }

  push(chunk: Buffer): void {
    let at = this.#length > 0 ? this.#complete(chunk) : 0;
    while (at < chunk.length) {
      const end = chunk.indexOf(this.#mark, at);
      if (end < 0) {
        this.#hold(chunk, at);
        return;
      }
      this.#close(chunk, at, end);
      at = end + this.#delimiter.length;
    }
  }

  reset(): number {
    const lost = this.#length + this.#skipped;
    this.#length = 0;
    this.#skipped = 0;
    return lost;
  }

  /** Appends to the held bytes until they hold a delimiter; gives how much of the chunk that took. */
  #complete(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length) {
      const from = Math.max(0, this.#length - this.#delimiter.length + 1);
      const taken = chunk.copy(this.#held, this.#length, at);
      const before = this.#length;
      this.#length += taken;
      const end = this.#held.subarray(0, this.#length).indexOf(this.#mark, from);
      if (end >= 0) {
        // A copy: the held bytes are written over by the next frame.
        this.#close(Buffer.from(this.#held.subarray(0, end)), 0, end);
        this.#length = 0;
        return at + end + this.#delimiter.length - before;
      }
      at += taken;
      if (this.#length === this.#held.length) this.#skip();
    }
    return at;
  }

  /** Keeps the beginning of a frame that ends in a later chunk. */
  #hold(chunk: Buffer, from: number): void {
    for (let at = from; at < chunk.length; ) {
      const taken = chunk.copy(this.#held, this.#length, at);
      this.#length += taken;
      at += taken;
      if (this.#length === this.#held.length) this.#skip();
    }
  }

  /** The frame is too long: forgets all of it but what may be the first part of a delimiter. */
  #skip(): void {
    const kept = this.#delimiter.length - 1;
    this.#skipped += this.#length - kept;
    this.#held.copyWithin(0, this.#length - kept, this.#length);
    this.#length = kept;
  }

  #close(bytes: Buffer, start: number, end: number): void {
    const length = end - start + this.#skipped;
    this.#skipped = 0;
    if (length > this.#max) this.#sink.dropped('overlong', length);
    else this.#sink.frame(bytes.subarray(start, end));
  }
}
