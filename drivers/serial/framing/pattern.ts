import type { Framer, FrameSink } from './framer.ts';

/** Longest end mark (bytes) a regular expression can recognise. It also bounds the time the expression can take. */
export const MAX_END = 16;

/** The pattern, matching only where the text ends. */
export function anchored(pattern: RegExp): RegExp {
  return new RegExp(`(?:${pattern.source})$`);
}

/**
 * Frames that end where a regular expression says: at the first byte at which it matches some of the last MAX_END bytes
 * up to it (one byte is one character). Looking byte by byte makes it the same however the bytes were split.
 */
export class PatternFramer implements Framer {
  readonly #atEnd: RegExp;
  readonly #max: number;
  readonly #sink: FrameSink;
  readonly #held: Buffer;
  #length = 0;
  /** Bytes of the frame thrown away already. */
  #skipped = 0;

  constructor(pattern: RegExp, max: number, sink: FrameSink) {
    this.#atEnd = anchored(pattern);
    this.#max = max;
    this.#sink = sink;
    this.#held = Buffer.allocUnsafe(max + 2 * MAX_END);
  }

  push(chunk: Buffer): void {
    for (const byte of chunk) {
      if (this.#length === this.#held.length) this.#skip();
      this.#held[this.#length++] = byte;
      const window = Math.max(0, this.#length - MAX_END);
      const found = this.#atEnd.exec(this.#held.toString('latin1', window, this.#length));
      if (found && found[0] !== '') this.#end(window + found.index);
    }
  }

  reset(): number {
    const lost = this.#length + this.#skipped;
    this.#length = 0;
    this.#skipped = 0;
    return lost;
  }

  #skip(): void {
    this.#skipped += this.#length - MAX_END;
    this.#held.copyWithin(0, this.#length - MAX_END, this.#length);
    this.#length = MAX_END;
  }

  #end(at: number): void {
    const size = at + this.#skipped;
    if (size > this.#max) this.#sink.dropped('overlong', size);
    else this.#sink.frame(Buffer.from(this.#held.subarray(0, at)));
    this.reset();
  }
}
