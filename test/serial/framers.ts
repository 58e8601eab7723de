import type { Framer, FrameSink } from '../../drivers/serial/framing/framers.ts';
import { optionsSchema } from '../../drivers/serial/options.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';

export type FramerMaker = (sink: FrameSink) => Framer;

/** The framer that a `framing:` as a user writes it gives. */
export function framing(text: unknown, clock = new ManualClock()): FramerMaker {
  const { framing: found } = optionsSchema.parse({ path: '/dev/ttyS0', framing: text });
  return (sink) => found.make(clock, sink);
}

export interface Cut {
  readonly frames: string[];
  /** What was dropped: reason and bytes. */
  readonly dropped: string[];
  /** Bytes between frames. */
  noise: number;
}

/** Collects what a framer tells; frames as latin1 text. */
export function collector(): { sink: FrameSink; cut: Cut } {
  const cut: Cut = { frames: [], dropped: [], noise: 0 };
  return {
    cut,
    sink: {
      frame: (bytes) => cut.frames.push(Buffer.from(bytes).toString('latin1')),
      dropped: (why, bytes) => {
        if (why === 'noise') cut.noise += bytes;
        else cut.dropped.push(`${why} ${bytes}`);
      },
    },
  };
}

/** What a framer makes of bytes that come in these pieces. */
export function run(make: FramerMaker, pieces: readonly Buffer[]): Cut {
  const { sink, cut } = collector();
  const framer = make(sink);
  // Copies: a framer may keep a view, but must not need its neighbours.
  for (const piece of pieces) framer.push(Buffer.from(piece));
  return cut;
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
