import type { Clock, MonotonicMs, UnixSeconds } from '../../src/clock/clock.ts';
import type { PortContext } from '../../src/driver/contract.ts';
import { FdStream } from '../../src/linux/fd-stream.ts';
import type { LineEvents } from './backend.ts';
import { EVENT_BYTES, type LineLibc } from './uapi.ts';

/** Converts a kernel time stamp (two 32-bit halves of its nanoseconds) to wall-clock time. */
export type EventTime = (nsHigh: number, nsLow: number) => UnixSeconds;

const HIGH_SECONDS = 2 ** 32 / 1e9;

/**
 * For lines with CLOCK_REALTIME time stamps (Linux ≥ 5.11): the wall clock at the edge. Setting the clock later does not change
 * the times of earlier edges.
 */
export const realtime: EventTime = (nsHigh, nsLow) => nsHigh * HIGH_SECONDS + nsLow / 1e9;

/** Period of the check of the wall clock: it may be set. Linux slews both clocks alike, so otherwise their distance is constant. */
const LOOK_EVERY_S = 1;
/** The wall clock is read in whole milliseconds: a smaller difference does not mean that it was set. */
const TOLERANCE_S = 0.002;

/**
 * For lines with CLOCK_MONOTONIC time stamps: the time between edges is measured, or Linux 5.10 has no other. The distance to the
 * wall clock is measured to a millisecond and kept, so that the time between two edges stays exact.
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

/** Wall clock minus monotonic clock, s. An interruption between the two reads adds to it, so the least of three counts. */
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

/** A time stamp in milliseconds, for the time between two of them. */
export function stampMs(nsHigh: number, nsLow: number): MonotonicMs {
  return nsHigh * HIGH_SECONDS * 1000 + nsLow / 1e6;
}

/** One edge as the kernel recorded it. The object is reused for the next edge. */
export interface EdgeEvent {
  offset: number;
  rising: boolean;
  /** Number of the event since the line was requested; a gap means lost events. */
  lineSeqno: number;
  /** The kernel's time stamp, nanoseconds, in two halves: together more than a number holds exactly. */
  nsHigh: number;
  nsLow: number;
}

/** Receives the edges of a line request. */
export interface EdgeListener {
  /** The object is reused for the next event. */
  event(event: EdgeEvent): void;
  /** No more events will come: the chip is gone. */
  ended(error: Error): void;
}

const WORDS = EVENT_BYTES / 4;
const RISING = 1;
/** Events of one read. The kernel returns whole events only. */
const EVENTS_PER_READ = 64;

// One buffer for all streams: the events of a read are handled before the next read begins.
const words = new Uint32Array(EVENTS_PER_READ * WORDS);
const bytes = new Uint8Array(words.buffer);
const edge: EdgeEvent = { offset: 0, rising: false, lineSeqno: 0, nsHigh: 0, nsLow: 0 };

/**
 * The edges of a line request. While the event loop is busy they wait in the kernel, which keeps 1024 a request. Numbers tell how
 * many it dropped.
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

  /** Stops at once and releases the lines. Resolves once the kernel has them. */
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
 * Tracks the level of one input and detects lost edges: edges that the kernel dropped or that were too short for it are counted,
 * and the level is right in the end.
 */
export class LevelTracker {
  readonly #events: LineEvents;
  readonly #count: PortContext['count'];
  #level: boolean | undefined;
  /** The last check found another level than the one told. */
  #mismatchSeen = false;
  #seqno = 0;
  /** Only with both edges watched does an edge tell the level before it, and a level the edge before it. */
  readonly #bothEdges: boolean;

  constructor(events: LineEvents, count: PortContext['count'], bothEdges = true) {
    this.#events = events;
    this.#bothEdges = bothEdges;
    this.#count = count;
  }

  /** Sets the level at the time of the request; the port tells it. */
  start(level: boolean): void {
    this.#level = level;
  }

  /**
   * An edge with the kernel's number `seqno` (from 1, per line). Returns how many edges before it were dropped: the caller then
   * reads the level once it has handled all waiting edges.
   */
  edge(rising: boolean, seqno: number, sourceTime: UnixSeconds, at: MonotonicMs): number {
    const lost = (seqno - this.#seqno - 1) >>> 0;
    this.#seqno = seqno;
    if (lost > 0) this.#count('edges_lost', lost);
    // Two edges of one kind in a row: the level between them was too short for the kernel.
    else if (this.#bothEdges && rising === this.#level && seqno > 1) this.#count('edges_merged');
    this.#setLevel(rising);
    this.#events.edge?.({ rising, lost, at });
    this.#events.level(rising, sourceTime);
    return lost;
  }

  /** An interrupt without a number (sysfs), and the level read after it. */
  interrupt(level: boolean, at: MonotonicMs): void {
    // The level is the same as before: at least two edges came, and the level between them is lost.
    const merged = level === this.#level;
    if (merged) this.#count('edges_merged', 2);
    this.#setLevel(level);
    this.#events.edge?.({ rising: level, lost: merged ? 1 : 0, at });
    this.#events.level(level);
  }

  /** The level read after lost edges. */
  resync(level: boolean): void {
    if (!this.#bothEdges || level === this.#level) return;
    this.#setLevel(level);
    this.#events.level(level);
  }

  /**
   * A level found by a check. When two checks without an edge between them differ from the level told, an edge was missed.
   * Returns true when a second check should follow soon.
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
