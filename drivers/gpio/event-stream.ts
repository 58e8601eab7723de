import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Libc } from './libc.ts';
import { EVENT_BYTES } from './uapi.ts';

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
 * Events of a line request, waited for by Node's own event loop: no thread, no polling, one system call a handful of
 * edges. While JavaScript is busy they wait in the kernel, which keeps 1024 a request and numbers what it then drops.
 *
 * Node watches pipes and sockets only, by what a descriptor is when it is handed over. So it is handed the reading end of
 * a pipe, and the line request takes that descriptor's place before the loop first looks at it.
 */
export class EventStream {
  /** The descriptor of the line request from now on. */
  readonly fd: number;
  readonly #socket: Socket;
  readonly #sink: EventSink;
  #closed: Promise<void> | undefined;

  /** Owns the descriptor of a line request from now on, unless it throws (a SystemCallError). */
  constructor(libc: Libc, requestFd: number, sink: EventSink) {
    this.#sink = sink;
    const { reader, writer } = libc.pipe();
    this.fd = reader;
    const onread = { buffer: bytes, callback: (got: number) => this.#take(got) };
    const options = { fd: reader, readable: true, writable: false, onread };
    this.#socket = new Socket(options);
    this.#socket.once('error', (error) => this.#end(error));
    this.#socket.once('end', () => this.#end(new Error('no more events')));
    try {
      libc.setNonBlocking(requestFd);
      libc.replace(requestFd, reader);
    } catch (error) {
      void this.close();
      throw error;
    } finally {
      closeSync(writer);
    }
    closeSync(requestFd);
  }

  /** Tells nothing more, and gives the lines back. Resolves once the kernel has them. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      // After its end a socket closes by itself.
      if (this.#socket.closed) resolve();
      this.#socket.once('close', () => resolve());
      this.#socket.destroy();
    });
    return this.#closed;
  }

  /** True: go on reading. */
  #take(got: number): boolean {
    for (let at = 0; at + WORDS <= got / 4; at += WORDS) {
      if (this.#closed) return false;
      // struct gpio_v2_line_event: timestamp 0–1, id 2, offset 3, seqno 4, line_seqno 5.
      edge.nsLow = words[at] ?? 0;
      edge.nsHigh = words[at + 1] ?? 0;
      edge.rising = words[at + 2] === RISING;
      edge.offset = words[at + 3] ?? 0;
      edge.lineSeqno = words[at + 5] ?? 0;
      this.#sink.event(edge);
    }
    return !this.#closed;
  }

  #end(error: Error): void {
    if (!this.#closed) this.#sink.ended(error);
  }
}
