import type { MonotonicMs, UnixSeconds } from '../../src/clock/clock.ts';
import type { PortContext } from '../../src/driver/contract.ts';
import type { LineEvents } from './backend.ts';

/**
 * What has been told about one input, and whether it can be all: the place where lost edges are noticed. Nothing is
 * lost silently: what the kernel or the wire swallowed is counted, and the level told at the end is the real one.
 */
export class LevelWatch {
  readonly #events: LineEvents;
  readonly #count: PortContext['count'];
  #level: boolean | undefined;
  /** The last inspection found another level than the one told. */
  #doubtful = false;
  #seqno = 0;
  /** Only with both edges does an edge say which level was before it, and a level which edge must have been. */
  readonly #bothEdges: boolean;

  constructor(events: LineEvents, count: PortContext['count'], bothEdges = true) {
    this.#events = events;
    this.#bothEdges = bothEdges;
    this.#count = count;
  }

  /** The level when the line was taken; the port tells it by itself. */
  begin(level: boolean): void {
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
    this.#told(rising);
    this.#events.edge?.({ rising, lost, at });
    this.#events.level(rising, sourceTime);
    return lost;
  }

  /** An interrupt without a number (sysfs), and the level found after it. */
  interrupt(level: boolean, at: MonotonicMs): void {
    // The level it left: at least two edges came, and what was between them is lost.
    const merged = level === this.#level;
    if (merged) this.#count('edges_merged', 2);
    this.#told(level);
    this.#events.edge?.({ rising: level, lost: merged ? 1 : 0, at });
    this.#events.level(level);
  }

  /** The level after a loss. */
  resync(level: boolean): void {
    if (!this.#bothEdges || level === this.#level) return;
    this.#told(level);
    this.#events.level(level);
  }

  /**
   * A level found by looking. One that differs from the one told in two looks, with no edge between them, is one nobody
   * told of. True: look again soon to be sure.
   */
  inspect(level: boolean): boolean {
    if (!this.#bothEdges) return false;
    const differs = level !== this.#level;
    if (!differs || !this.#doubtful) {
      this.#doubtful = differs;
      return differs;
    }
    this.#count('levels_missed');
    this.#told(level);
    this.#events.level(level);
    return false;
  }

  #told(level: boolean): void {
    this.#level = level;
    this.#doubtful = false;
  }
}
