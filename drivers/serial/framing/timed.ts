import type { Clock, DurationMs, Timer } from '../../../src/clock/clock.ts';
import type { Framer, FrameSink } from './framer.ts';

/**
 * Frames told apart by time: they end after `wait` without a byte (`from: 'last'`), or `wait` after their first byte
 * (`from: 'first'`). Time is that of arrival in this process: a busy process can see two frames as one.
 */
export class TimedFramer implements Framer {
  readonly #wait: DurationMs;
  readonly #from: 'first' | 'last';
  readonly #max: number;
  readonly #clock: Clock;
  readonly #sink: FrameSink;
  #held: Buffer[] = [];
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
    // What is too long is only counted.
    if (this.#length > this.#max) this.#held = [];
    else this.#held.push(chunk);
    if (this.#from === 'first' && this.#timer) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(this.#wait, () => this.#end());
  }

  reset(): number {
    this.#timer?.cancel();
    this.#timer = undefined;
    const lost = this.#length;
    this.#length = 0;
    this.#held = [];
    return lost;
  }

  #end(): void {
    const frame = Buffer.concat(this.#held);
    const length = this.reset();
    if (length > this.#max) this.#sink.dropped('overlong', length);
    else this.#sink.frame(frame);
  }
}

/** No framing: bytes are passed on as they come in. */
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
