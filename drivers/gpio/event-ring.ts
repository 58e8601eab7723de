import { EVENT_BYTES } from './uapi.ts';

/** One edge as the kernel recorded it. The object is reused: take what is needed before the next one. */
export interface EdgeEvent {
  /** Which watched descriptor it came from. */
  token: number;
  offset: number;
  rising: boolean;
  /** Counts the events of this line since it was taken; a gap is a loss. */
  lineSeqno: number;
  /** The kernel's timestamp in two halves, nanoseconds; together beyond what a number holds exactly. */
  nsHigh: number;
  nsLow: number;
}

/** Words of the ring's head, shared by both threads. */
const WRITTEN = 0;
const READ = 1;
const NOTIFIED = 2;
const STARVED = 3;
const HEAD_BYTES = 64;
const WORDS = EVENT_BYTES / 4;
/** gpio_v2_line_event: timestamp 0–1, id 2, offset 3, seqno 4, line_seqno 5, then padding, where the token goes. */
const TOKEN_WORD = 6;
const RISING = 1;

/** Events the ring holds; with the kernel's own 1024 a request that is seconds of the fastest lines. */
export const RING_EVENTS = 16_384;

export function createRingMemory(events: number = RING_EVENTS): SharedArrayBuffer {
  return new SharedArrayBuffer(HEAD_BYTES + events * EVENT_BYTES);
}

/**
 * Carries the kernel's events from the polling thread to the main one without copying or serialising. One writer, one
 * reader. A full ring makes the writer leave events in the kernel, which numbers what it then drops: nothing vanishes
 * uncounted.
 */
export class EventRing {
  readonly #head: Int32Array;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #capacity: number;
  readonly #event: EdgeEvent = { token: 0, offset: 0, rising: false, lineSeqno: 0, nsHigh: 0, nsLow: 0 };

  constructor(memory: SharedArrayBuffer) {
    this.#head = new Int32Array(memory, 0, HEAD_BYTES / 4);
    this.#words = new Uint32Array(memory, HEAD_BYTES);
    this.#bytes = new Uint8Array(memory, HEAD_BYTES);
    this.#capacity = this.#bytes.length / EVENT_BYTES;
  }

  /** Writer: the free bytes at the writing place that are in one piece; empty when the ring is full. */
  space(): Uint8Array {
    const written = Atomics.load(this.#head, WRITTEN) >>> 0;
    const used = (written - Atomics.load(this.#head, READ)) >>> 0;
    const at = written % this.#capacity;
    const count = Math.min(this.#capacity - used, this.#capacity - at);
    return this.#bytes.subarray(at * EVENT_BYTES, (at + count) * EVENT_BYTES);
  }

  /** Writer: `bytes` of space() have been filled from the descriptor `token`. True when the reader must be woken. */
  wrote(bytes: number, token: number): boolean {
    const written = Atomics.load(this.#head, WRITTEN) >>> 0;
    const count = Math.floor(bytes / EVENT_BYTES);
    for (let n = 0; n < count; n++) this.#words[((written + n) % this.#capacity) * WORDS + TOKEN_WORD] = token;
    Atomics.store(this.#head, WRITTEN, (written + count) | 0);
    return Atomics.exchange(this.#head, NOTIFIED, 1) === 0;
  }

  /** Writer: found no space; the reader is to say when there is some. */
  starve(): void {
    Atomics.store(this.#head, STARVED, 1);
  }

  /** Reader: hands over up to `limit` events, and says whether there are more. */
  drain(limit: number, take: (event: EdgeEvent) => void): boolean {
    Atomics.store(this.#head, NOTIFIED, 0);
    let read = Atomics.load(this.#head, READ) >>> 0;
    const written = Atomics.load(this.#head, WRITTEN) >>> 0;
    const count = Math.min(limit, (written - read) >>> 0);
    for (let n = 0; n < count; n++) {
      this.#decode((read % this.#capacity) * WORDS);
      read = (read + 1) >>> 0;
      // Given free one by one: a listener that takes long must not make the kernel drop.
      Atomics.store(this.#head, READ, read | 0);
      take(this.#event);
    }
    return read !== Atomics.load(this.#head, WRITTEN) >>> 0;
  }

  /** Reader: whether the writer waits for space, and now may go on. */
  fed(): boolean {
    return Atomics.exchange(this.#head, STARVED, 0) === 1;
  }

  #decode(at: number): void {
    const words = this.#words;
    const event = this.#event;
    event.nsLow = words[at] ?? 0;
    event.nsHigh = words[at + 1] ?? 0;
    event.rising = words[at + 2] === RISING;
    event.offset = words[at + 3] ?? 0;
    event.lineSeqno = words[at + 5] ?? 0;
    event.token = words[at + TOKEN_WORD] ?? 0;
  }
}
