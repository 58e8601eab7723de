import type { Clock, DurationMs, MonotonicMs } from '../../../src/clock/clock.ts';
import { anchored, type DropReason, type Framer, type FrameSink, MAX_END } from './framers.ts';

/** Result of a look at the start of the buffered bytes. */
export type ProbeResult =
  | { readonly kind: 'more' }
  /** A frame of `length` bytes; its content is the bytes from `from` up to, without, `to`. */
  | { readonly kind: 'frame'; readonly from: number; readonly to: number; readonly length: number }
  /** No frame begins before byte `length`. */
  | { readonly kind: 'skip'; readonly why: DropReason; readonly length: number };

/**
 * Examines the start of the buffered bytes. `scanned`: number of bytes that were not enough at the last look. Any
 * result but `more` must stay true when more bytes follow.
 */
export type Probe = (held: Buffer, scanned: number) => ProbeResult;

export const MORE: ProbeResult = { kind: 'more' };

export interface HeaderLimits {
  /** Most bytes buffered; a probe must decide with this many. */
  readonly capacity: number;
  /** A frame whose rest does not arrive within this time is dropped when the next bytes arrive. */
  readonly gap: DurationMs;
}

/**
 * Frames recognised by their beginning: fixed length, a length in the header, or a start and an end mark. An incomplete
 * frame is dropped after `gap`, so that one lost byte does not shift all later frames.
 */
export class HeaderFramer implements Framer {
  readonly #probe: Probe;
  readonly #gap: DurationMs;
  readonly #clock: Clock;
  readonly #sink: FrameSink;
  readonly #buffer: Buffer;
  #length = 0;
  #scanned = 0;
  #last: MonotonicMs = 0;

  constructor(probe: Probe, limits: HeaderLimits, clock: Clock, sink: FrameSink) {
    this.#probe = probe;
    this.#gap = limits.gap;
    this.#clock = clock;
    this.#sink = sink;
    this.#buffer = Buffer.allocUnsafe(limits.capacity);
  }

  push(chunk: Buffer): void {
    const now = this.#clock.now();
    if (this.#length > 0 && now - this.#last > this.#gap) this.#sink.dropped('incomplete', this.reset());
    this.#last = now;
    for (let at = 0; at < chunk.length; ) {
      const taken = chunk.copy(this.#buffer, this.#length, at);
      this.#length += taken;
      at += taken;
      this.#extractFrames();
    }
  }

  reset(): number {
    const lost = this.#length;
    this.#length = 0;
    this.#scanned = 0;
    return lost;
  }

  #extractFrames(): void {
    let start = 0;
    for (;;) {
      const verdict = this.#probeAt(start);
      if (verdict.kind === 'more') break;
      if (verdict.kind === 'skip') this.#sink.dropped(verdict.why, verdict.length);
      else this.#sink.frame(Buffer.from(this.#buffer.subarray(start + verdict.from, start + verdict.to)));
      start += verdict.length;
      this.#scanned = 0;
    }
    this.#scanned = this.#length - start;
    if (start > 0) this.#buffer.copyWithin(0, start, this.#length);
    this.#length -= start;
  }

  #probeAt(start: number): ProbeResult {
    if (start === this.#length) return MORE;
    const verdict = this.#probe(this.#buffer.subarray(start, this.#length), this.#scanned);
    if (verdict.kind !== 'more' || start > 0 || this.#length < this.#buffer.length) return verdict;
    return { kind: 'skip', why: 'overlong', length: this.#length };
  }
}

/**
 * Number of bytes before the first possible beginning of a frame, which begins with `start` or with the part of it
 * received so far. An empty start begins everywhere.
 */
export function findStart(held: Buffer, start: Buffer): number {
  if (start.length === 0) return 0;
  const found = held.indexOf(start);
  if (found >= 0) return found;
  for (let at = Math.max(0, held.length - start.length + 1); at < held.length; at++) {
    if (held.subarray(at).equals(start.subarray(0, held.length - at))) return at;
  }
  return held.length;
}

/** Encoding of a length in a header. */
export const lengthTypes = ['u8', 'u16be', 'u16le', 'u32be', 'u32le'] as const;
export type LengthType = (typeof lengthTypes)[number];

const SIZE: Readonly<Record<LengthType, number>> = { u8: 1, u16be: 2, u16le: 2, u32be: 4, u32le: 4 };

const noise = (length: number): ProbeResult => ({ kind: 'skip', why: 'noise', length });

/** Frames of `length` bytes, including the start mark. */
export function fixedLength(length: number, start: Buffer): Probe {
  return (held) => {
    const skip = findStart(held, start);
    if (skip > 0) return noise(skip);
    return held.length < length ? MORE : { kind: 'frame', from: 0, to: length, length };
  };
}

export interface LengthField {
  readonly type: LengthType;
  /** Bytes before the length. */
  readonly at: number;
  /** Bytes of the frame that the length does not count, without those before it and its own. May be negative. */
  readonly extra: number;
}

/** Frames with their length in the header. A frame includes its header. */
export function lengthPrefix(field: LengthField, start: Buffer, max: number): Probe {
  const header = field.at + SIZE[field.type];
  return (held) => {
    const skip = findStart(held, start);
    if (skip > 0) return noise(skip);
    if (held.length < header) return MORE;
    const length = header + readLength(held, field) + field.extra;
    // The length is impossible, so the frame begins elsewhere.
    if (length > max || length < header) return { kind: 'skip', why: length > max ? 'overlong' : 'damaged', length: 1 };
    return held.length < length ? MORE : { kind: 'frame', from: 0, to: length, length };
  };
}

function readLength(held: Buffer, { type, at }: LengthField): number {
  if (type === 'u8') return held.readUInt8(at);
  if (type === 'u16be') return held.readUInt16BE(at);
  if (type === 'u16le') return held.readUInt16LE(at);
  return type === 'u32be' ? held.readUInt32BE(at) : held.readUInt32LE(at);
}

/** The end mark of a frame. */
export interface EndMark {
  /** Most bytes of the mark. */
  readonly longest: number;
  /** Finds the first mark that begins at or after `base`; bytes before `from` have been searched already. */
  find(bytes: Buffer, base: number, from: number): { readonly at: number; readonly end: number } | undefined;
}

/**
 * Frames between a start and an end mark; the marks are removed unless `keep`. A second start before the end begins a new
 * frame. `max`: most bytes between the marks.
 */
export function startAndEnd(start: Buffer, mark: EndMark, max: number, keep: boolean): Probe {
  const base = start.length;
  const frameAt = (held: Buffer, scanned: number): ProbeResult => {
    const end = mark.find(held, base, Math.max(base, scanned));
    const again = held.indexOf(start, Math.max(base, scanned - base + 1));
    if (again >= 0 && (!end || again < end.at)) return { kind: 'skip', why: 'incomplete', length: again };
    const content = end ? end.at - base : held.length - base - mark.longest + 1;
    // Only the start is skipped; the bytes up to the next start are noise.
    if (content > max) return { kind: 'skip', why: 'overlong', length: base };
    if (!end) return MORE;
    return { kind: 'frame', from: keep ? 0 : base, to: keep ? end.end : end.at, length: end.end };
  };
  return (held, scanned) => {
    const skip = findStart(held, start);
    if (skip > 0) return noise(skip);
    return held.length < base ? MORE : frameAt(held, scanned);
  };
}

/** An end mark of fixed bytes. */
export function endBytes(mark: Buffer): EndMark {
  return {
    longest: mark.length,
    find(bytes, base, from) {
      const at = bytes.indexOf(mark, Math.max(base, from - mark.length + 1));
      return at < 0 ? undefined : { at, end: at + mark.length };
    },
  };
}

/** An end mark recognised by a regular expression. */
export function endPattern(pattern: RegExp): EndMark {
  const longest = MAX_END;
  const atEnd = anchored(pattern);
  return {
    longest,
    find(bytes, base, from) {
      for (let end = from + 1; end <= bytes.length; end++) {
        const window = Math.max(base, end - longest);
        const found = atEnd.exec(bytes.toString('latin1', window, end));
        if (found && found[0] !== '') return { at: window + found.index, end };
      }
      return undefined;
    },
  };
}
