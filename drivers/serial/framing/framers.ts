import type { Clock, DurationMs, Timer } from '../../../src/clock/clock.ts';

/** Splits a byte stream into frames. The frames depend only on the bytes, not on how they arrive in chunks. */
export interface Framer {
  /** Takes the next bytes. The framer may keep the buffer, so its content must not change. */
  push(chunk: Buffer): void;
  /** Drops an incomplete frame and stops timers. Returns the number of bytes dropped. */
  reset(): number;
}

/**
 * Reason of a drop: a frame longer than `max`; a frame with a broken escape; a frame whose rest never arrived; bytes
 * between frames.
 */
export type DropReason = 'overlong' | 'damaged' | 'incomplete' | 'noise';

/** Events of a framer. Every byte is part of a frame, a delimiter or a drop. */
export interface FrameSink {
  /** A complete frame. */
  frame(bytes: Buffer): void;
  dropped(why: DropReason, bytes: number): void;
}

/**
 * Frames that end with a delimiter. A frame longer than `max` is dropped and counted once; the next frame begins after
 * the next delimiter. The framer holds at most `max` bytes plus the delimiter.
 */
export class DelimiterFramer implements Framer {
  readonly #delimiter: Buffer;
  /** The value to search for; a single byte is found faster. */
  readonly #needle: Buffer | number;
  readonly #max: number;
  readonly #sink: FrameSink;
  /** Bytes of the frame that arrived in earlier chunks. */
  readonly #buffer: Buffer;
  #length = 0;
  /** Bytes already dropped of a frame that is too long; 0 for a good frame. */
  #skipped = 0;

  constructor(delimiter: Buffer, max: number, sink: FrameSink) {
    this.#delimiter = delimiter;
    const [first = 0] = delimiter;
    this.#needle = delimiter.length === 1 ? first : delimiter;
    this.#max = max;
    this.#sink = sink;
    this.#buffer = Buffer.allocUnsafe(max + delimiter.length);
  }

  push(chunk: Buffer): void {
    let at = this.#length > 0 ? this.#finishBuffered(chunk) : 0;
    while (at < chunk.length) {
      const end = chunk.indexOf(this.#needle, at);
      if (end < 0) {
        this.#bufferRest(chunk, at);
        return;
      }
      this.#emit(chunk, at, end);
      at = end + this.#delimiter.length;
    }
  }

  reset(): number {
    const lost = this.#length + this.#skipped;
    this.#length = 0;
    this.#skipped = 0;
    return lost;
  }

  /** Appends to the buffer until it holds a delimiter. Returns the number of bytes used of the chunk. */
  #finishBuffered(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length) {
      const from = Math.max(0, this.#length - this.#delimiter.length + 1);
      const taken = chunk.copy(this.#buffer, this.#length, at);
      const before = this.#length;
      this.#length += taken;
      const end = this.#buffer.subarray(0, this.#length).indexOf(this.#needle, from);
      if (end >= 0) {
        // A copy, because the next frame overwrites the buffer.
        this.#emit(Buffer.from(this.#buffer.subarray(0, end)), 0, end);
        this.#length = 0;
        return at + end + this.#delimiter.length - before;
      }
      at += taken;
      if (this.#length === this.#buffer.length) this.#discard();
    }
    return at;
  }

  /** Buffers the beginning of a frame that ends in a later chunk. */
  #bufferRest(chunk: Buffer, from: number): void {
    for (let at = from; at < chunk.length; ) {
      const taken = chunk.copy(this.#buffer, this.#length, at);
      this.#length += taken;
      at += taken;
      if (this.#length === this.#buffer.length) this.#discard();
    }
  }

  /** The frame is too long: drops all of it but a possible first part of a delimiter. */
  #discard(): void {
    const kept = this.#delimiter.length - 1;
    this.#skipped += this.#length - kept;
    this.#buffer.copyWithin(0, this.#length - kept, this.#length);
    this.#length = kept;
  }

  #emit(bytes: Buffer, start: number, end: number): void {
    const length = end - start + this.#skipped;
    this.#skipped = 0;
    if (length > this.#max) this.#sink.dropped('overlong', length);
    else this.#sink.frame(bytes.subarray(start, end));
  }
}

/** Longest end mark (bytes) that a regular expression can recognise. This also bounds the time of the expression. */
export const MAX_END = 16;

/** The pattern, matching only at the end of the text. */
export function anchored(pattern: RegExp): RegExp {
  return new RegExp(`(?:${pattern.source})$`);
}

/**
 * Frames that end where a regular expression matches: at the first byte at which it matches some of the last MAX_END
 * bytes (one byte is one character). Matching after each byte makes the frames independent of the chunks.
 */
export class PatternFramer implements Framer {
  readonly #atEnd: RegExp;
  readonly #max: number;
  readonly #sink: FrameSink;
  readonly #buffer: Buffer;
  #length = 0;
  /** Bytes of the frame already dropped. */
  #skipped = 0;

  constructor(pattern: RegExp, max: number, sink: FrameSink) {
    this.#atEnd = anchored(pattern);
    this.#max = max;
    this.#sink = sink;
    this.#buffer = Buffer.allocUnsafe(max + 2 * MAX_END);
  }

  push(chunk: Buffer): void {
    for (const byte of chunk) {
      if (this.#length === this.#buffer.length) this.#discard();
      this.#buffer[this.#length++] = byte;
      const window = Math.max(0, this.#length - MAX_END);
      const found = this.#atEnd.exec(this.#buffer.toString('latin1', window, this.#length));
      if (found && found[0] !== '') this.#emit(window + found.index);
    }
  }

  reset(): number {
    const lost = this.#length + this.#skipped;
    this.#length = 0;
    this.#skipped = 0;
    return lost;
  }

  #discard(): void {
    this.#skipped += this.#length - MAX_END;
    this.#buffer.copyWithin(0, this.#length - MAX_END, this.#length);
    this.#length = MAX_END;
  }

  #emit(at: number): void {
    const size = at + this.#skipped;
    if (size > this.#max) this.#sink.dropped('overlong', size);
    else this.#sink.frame(Buffer.from(this.#buffer.subarray(0, at)));
    this.reset();
  }
}

/** RFC 1055. */
const END = 0xc0;
const ESC = 0xdb;
const ESC_END = 0xdc;
const ESC_ESC = 0xdd;

/** SLIP frames (RFC 1055), unescaped. Empty frames are skipped; a frame with a wrong escape is dropped. */
export class SlipFramer implements Framer {
  readonly #max: number;
  readonly #sink: FrameSink;
  readonly #buffer: Buffer;
  #length = 0;
  /** Bytes of the frame so far, including those no longer held. */
  #size = 0;
  #escaped = false;
  #damaged = false;

  constructor(max: number, sink: FrameSink) {
    this.#max = max;
    this.#sink = sink;
    this.#buffer = Buffer.allocUnsafe(max);
  }

  push(chunk: Buffer): void {
    for (const byte of chunk) {
      if (byte === END) this.#emit();
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
    if (this.#length < this.#max) this.#buffer[this.#length++] = byte;
  }

  #emit(): void {
    const damaged = this.#damaged || this.#escaped;
    const frame = Buffer.from(this.#buffer.subarray(0, this.#length));
    const size = this.reset();
    if (size > this.#max) this.#sink.dropped('overlong', size);
    else if (damaged) this.#sink.dropped('damaged', size);
    else if (size > 0) this.#sink.frame(frame);
  }
}

/** Encodes bytes as one SLIP frame. */
export function slipEncode(bytes: Uint8Array): Buffer {
  const out = [END];
  for (const byte of bytes) {
    if (byte === END) out.push(ESC, ESC_END);
    else if (byte === ESC) out.push(ESC, ESC_ESC);
    else out.push(byte);
  }
  return Buffer.from([...out, END]);
}

/**
 * Frames that end by time: `wait` after the last byte (`from: 'last'`), or `wait` after their first byte (`from:
 * 'first'`). It is the time of arrival in this process, so a busy process can take two frames for one.
 */
export class TimedFramer implements Framer {
  readonly #wait: DurationMs;
  readonly #from: 'first' | 'last';
  readonly #max: number;
  readonly #clock: Clock;
  readonly #sink: FrameSink;
  #chunks: Buffer[] = [];
  #length = 0;
  #timer: Timer | undefined;

  constructor(wait: DurationMs, from: 'first' | 'last', max: number, clock: Clock, sink: FrameSink) {
    this.#wait = wait;
    this.#from = from;
    this.#max = max;
    this.#clock = clock;
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    this.#length += chunk.length;
    // Bytes of a frame that is too long are only counted.
    if (this.#length > this.#max) this.#chunks = [];
    else this.#chunks.push(chunk);
    if (this.#from === 'first' && this.#timer) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(this.#wait, () => this.#emit());
  }

  reset(): number {
    this.#timer?.cancel();
    this.#timer = undefined;
    const lost = this.#length;
    this.#length = 0;
    this.#chunks = [];
    return lost;
  }

  #emit(): void {
    const frame = Buffer.concat(this.#chunks);
    const length = this.reset();
    if (length > this.#max) this.#sink.dropped('overlong', length);
    else this.#sink.frame(frame);
  }
}

/** No framing: each chunk is a frame. */
export class RawFramer implements Framer {
  readonly #sink: FrameSink;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    this.#sink.frame(chunk);
  }

  reset(): number {
    return 0;
  }
}
