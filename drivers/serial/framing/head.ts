import type { Clock, DurationMs, MonotonicMs } from '../../../src/clock/clock.ts';
import type { DropReason, Framer, FrameSink } from './framer.ts';

/** What the bytes held so far begin with. */
export type Verdict =
  | { readonly kind: 'more' }
  /** A frame: bytes `from` to `to` are its content, `length` bytes belong to it. */
  | { readonly kind: 'frame'; readonly from: number; readonly to: number; readonly length: number }
  /** No frame begins before byte `length`. */
  | { readonly kind: 'skip'; readonly why: DropReason; readonly length: number };

/**
 * Looks at the head of the bytes held. `scanned`: as many were there, and not enough, at the last look. What it says of
 * some bytes must stay true when more follow, but for `more`.
 */
export type Probe = (held: Buffer, scanned: number) => Verdict;

export const MORE: Verdict = { kind: 'more' };

export interface HeadLimits {
  /** Most bytes held; a probe must decide with this many. */
  readonly capacity: number;
  /** A frame whose rest does not come within this time is dropped when the next bytes come. */
  readonly gap: DurationMs;
}

/**
 * Frames recognised by how they begin: fixed length, a length in the header, a start and an end mark. A frame that
 * stays incomplete is given up after `gap`, so that one lost byte does not shift all that follows.
 */
export class HeadFramer implements Framer {
  readonly #probe: Probe;
  readonly #gap: DurationMs;
  readonly #clock: Clock;
  readonly #sink: FrameSink;
  readonly #held: Buffer;
  #length = 0;
  #scanned = 0;
  #last: MonotonicMs = 0;

  constructor(probe: Probe, limits: HeadLimits, clock: Clock, sink: FrameSink) {
    this.#probe = probe;
    this.#gap = limits.gap;
    this.#clock = clock;
    this.#sink = sink;
    this.#held = Buffer.allocUnsafe(limits.capacity);
  }

  push(chunk: Buffer): void {
    const now = this.#clock.now();
    if (this.#length > 0 && now - this.#last > this.#gap) this.#sink.dropped('incomplete', this.reset());
    this.#last = now;
    for (let at = 0; at < chunk.length; ) {
      const taken = chunk.copy(this.#held, this.#length, at);
      this.#length += taken;
      at += taken;
      this.#cut();
    }
  }

  reset(): number {
    const lost = this.#length;
    this.#length = 0;
    this.#scanned = 0;
    return lost;
  }

  #cut(): void {
    let start = 0;
    for (;;) {
      const verdict = this.#look(start);
      if (verdict.kind === 'more') break;
      if (verdict.kind === 'skip') this.#sink.dropped(verdict.why, verdict.length);
      else this.#sink.frame(Buffer.from(this.#held.subarray(start + verdict.from, start + verdict.to)));
      start += verdict.length;
      this.#scanned = 0;
    }
    this.#scanned = this.#length - start;
    if (start > 0) this.#held.copyWithin(0, start, this.#length);
    this.#length -= start;
  }

  #look(start: number): Verdict {
    if (start === this.#length) return MORE;
    const verdict = this.#probe(this.#held.subarray(start, this.#length), this.#scanned);
    if (verdict.kind !== 'more' || start > 0 || this.#length < this.#held.length) return verdict;
    return { kind: 'skip', why: 'overlong', length: this.#length };
  }
}

/**
 * Where a frame that begins with `start` can begin: 0 when the bytes do (as far as they go), else how many to skip. An
 * empty start begins everywhere.
 */
export function startAt(held: Buffer, start: Buffer): number {
  if (start.length === 0) return 0;
  const found = held.indexOf(start);
  if (found >= 0) return found;
  for (let at = Math.max(0, held.length - start.length + 1); at < held.length; at++) {
    if (held.subarray(at).equals(start.subarray(0, held.length - at))) return at;
  }
  return held.length;
}
