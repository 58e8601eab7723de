import { type Clock, systemClock, type Timer, type UnixSeconds } from '../clock/clock.ts';

/** A line without an end is shown after this long (ms) without a byte: a prompt waits for an answer. */
const PATIENCE_MS = 200;
const LONGEST = 4096;
const LF = 0x0a;
const CR = 0x0d;

/** Cuts bytes into lines for a person to read. Bounded: a line that has no end is cut. */
export class LineCutter {
  readonly #line: (bytes: Buffer, unix: UnixSeconds) => void;
  readonly #clock: Clock;
  #held = Buffer.alloc(0);
  /** When the first byte of the held ones came. */
  #since: UnixSeconds = 0;
  #timer: Timer | undefined;
  /** What was shown last ended in a carriage return: a line feed that follows belongs to it. */
  #returned = false;

  constructor(line: (bytes: Buffer, unix: UnixSeconds) => void, clock: Clock = systemClock) {
    this.#line = line;
    this.#clock = clock;
  }

  push(bytes: Buffer, unix: UnixSeconds): void {
    this.#timer?.cancel();
    if (this.#held.length === 0) this.#since = unix;
    let rest = Buffer.concat([this.#held, this.#returned && bytes[0] === LF ? bytes.subarray(1) : bytes]);
    this.#returned = false;
    for (let end = rest.indexOf(LF); end >= 0; end = rest.indexOf(LF)) {
      this.#line(rest.subarray(0, end > 0 && rest[end - 1] === CR ? end - 1 : end), this.#since);
      this.#since = unix;
      rest = rest.subarray(end + 1);
    }
    for (; rest.length >= LONGEST; rest = rest.subarray(LONGEST)) this.#line(rest.subarray(0, LONGEST), this.#since);
    this.#held = rest;
    if (rest.length > 0) this.#timer = this.#clock.after(PATIENCE_MS, () => this.end());
  }

  /** Shows what is left. */
  end(): void {
    this.#timer?.cancel();
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    if (rest.length === 0) return;
    this.#returned = rest.at(-1) === CR;
    this.#line(this.#returned ? rest.subarray(0, -1) : rest, this.#since);
  }
}
