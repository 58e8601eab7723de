import type { Framer, FrameSink } from '../../drivers/serial/framing/framer.ts';

export type FramerMaker = (sink: FrameSink) => Framer;

/** What a framer makes of bytes that come in these pieces: frames as latin1 text, and the sizes of what it dropped. */
export function run(make: FramerMaker, pieces: readonly Buffer[]): { frames: string[]; dropped: number[] } {
  const frames: string[] = [];
  const dropped: number[] = [];
  const framer = make({
    frame: (bytes) => frames.push(Buffer.from(bytes).toString('latin1')),
    dropped: (_why, bytes) => dropped.push(bytes),
  });
  for (const piece of pieces) framer.push(Buffer.from(piece));
  return { frames, dropped };
}

/** The bytes in two pieces, cut at every place, and one by one. */
export function* everySplit(bytes: Buffer): Generator<Buffer[]> {
  for (let at = 0; at <= bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
  yield [...bytes].map((byte) => Buffer.from([byte]));
}

/** The bytes in pieces of the given lengths, the rest at the end. */
export function cutAnyhow(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (const length of lengths) {
    pieces.push(bytes.subarray(at, at + length));
    at = Math.min(bytes.length, at + length);
  }
  pieces.push(bytes.subarray(at));
  return pieces;
}
