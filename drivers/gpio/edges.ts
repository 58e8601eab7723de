import type { Clock, MonotonicMs, UnixSeconds } from '../../src/clock/clock.ts';
import type { PortContext } from '../../src/driver/contract.ts';
import { FdStream } from '../../src/linux/fd-stream.ts';
import type { LineEvents } from './backend.ts';
import { EVENT_BYTES, type LineLibc } from './uapi.ts';

/** Turns a kernel timestamp, given as the two 32-bit halves of its nanoseconds, into wall-clock time. */
export type EventTime = (nsHigh: number, nsLow: number) => UnixSeconds;

const HIGH_SECONDS = 2 ** 32 / 1e9;

/**
 * For lines that stamp with CLOCK_REALTIME (Linux ≥ 5.11): the wall clock at the very edge. Nothing needs converting,
 * and a clock that is set later cannot falsify what was seen before.
 */
export const realtime: EventTime = (nsHigh, nsLow) => nsHigh * HIGH_SECONDS + nsLow / 1e9;

/** How often the wall clock is looked at: it may be set. Linux slews both clocks alike, so else they keep their distance. */
const LOOK_EVERY_S = 1;
/** The wall clock is told in whole milliseconds: what is off by no more has not been set. */
const TOLERANCE_S = 0.002;

/**
 * For lines that stamp with CLOCK_MONOTONIC, because the time between edges matters or Linux 5.10 knows no other. The
 * distance to the wall clock is known to a millisecond and kept, so that the time between two edges stays the kernel's.
 */
export function monotonic(clock: Clock): EventTime {
  let ahead = distance(clock);
  let lookAt = monotonicSeconds() + LOOK_EVERY_S;
  return (nsHigh, nsLow) => {
    const stamp = nsHigh * HIGH_SECONDS + nsLow / 1e9;
    if (stamp >= lookAt) {
      const found = distance(clock);
      if (Math.abs(found - ahead) > TOLERANCE_S) ahead = found;
      lookAt = stamp + LOOK_EVERY_S;
    }
    return stamp + ahead;
  };
}

/** How far the wall clock is ahead, s. A look that was interrupted says too much, so the least of three is nearest. */
function distance(clock: Clock): number {
  const looks = [0, 1, 2].map(() => {
    const monotonicNow = monotonicSeconds();
    return clock.unix() - monotonicNow;
  });
  return Math.min(...looks);
}

function monotonicSeconds(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds + nanoseconds / 1e9;
}

/** The stamp itself in milliseconds, for the time between two of them. */
export function stampMs(nsHigh: number, nsLow: number): MonotonicMs {
  return nsHigh * HIGH_SECONDS * 1000 + nsLow / 1e6;
}

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
export interface EdgeListener {
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
export class EdgeStream {
  readonly #stream: FdStream;
  #closed = false;

  /** Owns the descriptor of a line request from now on, unless it throws (a SystemCallError). */
  constructor(libc: LineLibc, requestFd: number, sink: EdgeListener) {
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

  #decode(count: number, sink: EdgeListener): void {
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

/**
 * What has been told about one input, and whether it can be all: the place where lost edges are noticed. Nothing is
 * lost silently: what the kernel or the wire swallowed is counted, and the level told at the end is the real one.
 */
export class LevelTracker {
  readonly #events: LineEvents;
  readonly #count: PortContext['count'];
  #level: boolean | undefined;
  /** The last inspection found another level than the one told. */
  #mismatchSeen = false;
  #seqno = 0;
  /** Only with both edges does an edge say which level was before it, and a level which edge must have been. */
  readonly #bothEdges: boolean;

  constructor(events: LineEvents, count: PortContext['count'], bothEdges = true) {
    this.#events = events;
    this.#bothEdges = bothEdges;
    this.#count = count;
  }

  /** The level when the line was taken; the port tells it by itself. */
  start(level: boolean): void {
    this.#level = level;
  }

  /**
   * An edge the kernel numbered `seqno` (from 1, per line). Returns how many before it were dropped: then the caller
   * looks again once it has told all it has.
   */
  edge(rising: boolean, seqno: number, sourceTime: UnixSeconds, at: MonotonicMs): number {
    const lost = (seqno - this.#seqno - 1) >>> 0;
    this.#seqno = seqno;
    if (lost > 0) this.#count('edges_lost', lost);
    // Two edges of one kind in a row: the one between them came and went before the kernel looked.
    else if (this.#bothEdges && rising === this.#level && seqno > 1) this.#count('edges_merged');
    this.#setLevel(rising);
    this.#events.edge?.({ rising, lost, at });
    this.#events.level(rising, sourceTime);
    return lost;
  }

  /** An interrupt without a number (sysfs), and the level found after it. */
  interrupt(level: boolean, at: MonotonicMs): void {
    // The level it left: at least two edges came, and what was between them is lost.
    const merged = level === this.#level;
    if (merged) this.#count('edges_merged', 2);
    this.#setLevel(level);
    this.#events.edge?.({ rising: level, lost: merged ? 1 : 0, at });
    this.#events.level(level);
  }

  /** The level after a loss. */
  resync(level: boolean): void {
    if (!this.#bothEdges || level === this.#level) return;
    this.#setLevel(level);
    this.#events.level(level);
  }

  /**
   * A level found by looking. One that differs from the one told in two looks, with no edge between them, is one nobody
   * told of. True: look again soon to be sure.
   */
  inspect(level: boolean): boolean {
    if (!this.#bothEdges) return false;
    const differs = level !== this.#level;
    if (!differs || !this.#mismatchSeen) {
      this.#mismatchSeen = differs;
      return differs;
    }
    this.#count('levels_missed');
    this.#setLevel(level);
    this.#events.level(level);
    return false;
  }

  #setLevel(level: boolean): void {
    this.#level = level;
    this.#mismatchSeen = false;
  }
}
