/** Cuts a stream of bytes into frames. What it gives out depends on the bytes alone, not on how they were split. */
export interface Framer {
  /** Takes the next bytes. The buffer may be kept: its content must not change afterwards. */
  push(chunk: Buffer): void;
  /** Forgets a frame that is not complete yet; gives the number of bytes it held. */
  reset(): number;
}

/** What a framer tells. Every byte ends up in a frame, in a delimiter, or in a drop. */
export interface FrameSink {
  /** A complete frame, without its delimiters. */
  frame(bytes: Uint8Array): void;
  /** A frame that cannot be right was thrown away; `bytes` of it at least. */
  dropped(why: 'overlong' | 'damaged', bytes: number): void;
}
