/** Cuts a stream of bytes into frames. What it gives out depends on the bytes alone, not on how they were split. */
export interface Framer {
  /** Takes the next bytes. The buffer may be kept: its content must not change afterwards. */
  push(chunk: Buffer): void;
  /** Forgets a frame that is not complete yet; gives the number of bytes it held. Timers stop. */
  reset(): number;
}

/**
 * Why bytes were thrown away: a frame longer than `max`; one with a broken escape; one whose rest never came; bytes
 * between frames.
 */
export type DropReason = 'overlong' | 'damaged' | 'incomplete' | 'noise';

/** What a framer tells. Every byte ends up in a frame, in a delimiter, or in a drop. */
export interface FrameSink {
  /** A complete frame. */
  frame(bytes: Buffer): void;
  dropped(why: DropReason, bytes: number): void;
}
