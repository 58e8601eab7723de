import { FdStream } from '../../src/linux/fd-stream.ts';
import { EVENT_BYTES, type LineLibc } from './uapi.ts';

/** One edge as the kernel recorded it. The object is reused: take what is needed before the next one. */
export interface EdgeEvent {
  offset: number;
  rising: boolean;
  /** Counts the events of this line since it was taken; a gap is a loss. */
  lineSeqno: number;
  /** The kernel's timestamp in two halves, nanoseconds; together beyond what a number holds exactly. */
  nsHigh: number;
  nsLow: number;
}

/** Who gets the events of a descriptor. */
export interface EventSink {
  /** The object is reused for the next event. */
  event(event: EdgeEvent): void;
  /** No more events will come: the kernel refuses to give any (its chip is gone). */
  ended(error: Error): void;
}

const WORDS = EVENT_BYTES / 4;
const RISING = 1;
/** Events taken from the kernel in one go. It hands out whole ones only. */
const EVENTS_PER_READ = 64;

// One for all streams: what is read is told before the next read begins.
const words = new Uint32Array(EVENTS_PER_READ * WORDS);
const bytes = new Uint8Array(words.buffer);
const edge: EdgeEvent = { offset: 0, rising: false, lineSeqno: 0, nsHigh: 0, nsLow: 0 };

/**
 * Edges of a line request. While JavaScript is busy they wait in the kernel, which keeps 1024 a request and numbers what it
 * then drops.
 */
export class EventStream {
  readonly #stream: FdStream;
  #closed = false;

  /** Owns the descriptor of a line request from now on, unless it throws (a SystemCallError). */
  constructor(libc: LineLibc, requestFd: number, sink: EventSink) {
    this.#stream = new FdStream(libc, requestFd, bytes, {
      data: (count) => this.#decode(count, sink),
      ended: (error) => sink.ended(error),
    });
  }

  /** The descriptor of the line request from now on. */
  get fd(): number {
    return this.#stream.fd;
  }

  /** Tells nothing more, and gives the lines back. Resolves once the kernel has them. */
  close(): Promise<void> {
    this.#closed = true;
    return this.#stream.close();
  }

  #decode(count: number, sink: EventSink): void {
    for (let at = 0; at + WORDS <= count / 4 && !this.#closed; at += WORDS) {
      // struct gpio_v2_line_event: timestamp 0–1, id 2, offset 3, seqno 4, line_seqno 5.
      edge.nsLow = words[at] ?? 0;
      edge.nsHigh = words[at + 1] ?? 0;
      edge.rising = words[at + 2] === RISING;
      edge.offset = words[at + 3] ?? 0;
      edge.lineSeqno = words[at + 5] ?? 0;
      sink.event(edge);
    }
  }
}
