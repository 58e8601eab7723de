import { type Clock, type DurationMs, systemClock, type Timer } from '../../../src/clock/clock.ts';
import type { LineSettings } from '../../../src/driver/kit/schemas.ts';
import { type Request, readBytes, type TableSpan } from '../protocol/request.ts';

/** Above 19200 baud the standard fixes the silence between frames (Modbus over serial line 1.02, 2.5.1.1). */
const FIXED_GAP_BAUD = 19200;
const FIXED_GAP_MS = 1.75;

/** Durations that follow from the settings of a serial line. */
export interface LineTiming {
  /** Time of one character: start bit, data, parity, stop bits. */
  readonly characterMs: DurationMs;
  /** The silence that ends a frame. */
  readonly gapMs: DurationMs;
}

export function lineTiming(line: LineSettings): LineTiming {
  const bits = 1 + line.dataBits + (line.parity === 'none' ? 0 : 1) + line.stopBits;
  const characterMs = (1000 * bits) / line.baud;
  return { characterMs, gapMs: line.baud > FIXED_GAP_BAUD ? FIXED_GAP_MS : 3.5 * characterMs };
}

/** A stream without a baud rate: RTU or ASCII over TCP. */
export const noTiming: LineTiming = { characterMs: 0, gapMs: 0 };

/** Resolution of event loop timers; at 115200 baud eleven characters take one millisecond. */
const TIMER_GRAIN_MS = 1.2;

/**
 * Calls `action` once after `delay`, never early and at most some 50 µs late. It polls the clock on each turn of the event
 * loop for the last 1.2 ms; the loop stays free for everything else.
 */
export function afterExactly(clock: Clock, delay: DurationMs, action: () => void): Timer {
  // A manual clock does not move from turn to turn of the event loop.
  if (clock !== systemClock) return clock.after(delay, action);
  const due = clock.now() + delay;
  let over = false;
  let timer: Timer | undefined;
  const turn = () => {
    if (over) return;
    if (clock.now() < due) setImmediate(turn);
    else action();
  };
  if (delay > TIMER_GRAIN_MS) timer = clock.after(delay - TIMER_GRAIN_MS, turn);
  else setImmediate(turn);
  return {
    cancel: () => {
      over = true;
      timer?.cancel();
    },
  };
}

/** Bytes of a read without data. Request: unit, function, address, count, CRC. Reply: unit, function, count, CRC. */
const READ_OVERHEAD = 13;

/**
 * The shortest time of one read on a serial line: its characters, the silence of 3.5 characters before request and reply,
 * and the response delay of the device.
 */
export function readTime(span: TableSpan, line: LineTiming, responseMs: DurationMs): DurationMs {
  return (READ_OVERHEAD + readBytes(span)) * line.characterMs + 2 * line.gapMs + responseMs;
}

/** Number of unrequested registers that may be read along before a second request is cheaper. */
export function breakEvenGap(line: LineTiming, responseMs: DurationMs): number {
  return Math.floor((READ_OVERHEAD * line.characterMs + 2 * line.gapMs + responseMs) / (2 * line.characterMs));
}

/** Response delay that a plan assumes for an unknown device. */
export const DEFAULT_RESPONSE_MS = 5;
/** Over a network a round trip costs far more than the bytes of some dozens of registers. */
const NETWORK_GAP = 50;
const MAX_GAP = 124;

/** Number of registers worth reading along: the break-even of the line, or a fixed number over a network. */
export function readGap(line: LineTiming | undefined, responseMs: DurationMs = DEFAULT_RESPONSE_MS): number {
  return line ? Math.min(MAX_GAP, breakEvenGap(line, responseMs)) : NETWORK_GAP;
}

/** Number of round trips behind an estimate. It is their median, so that a few odd ones do not count. */
const SAMPLES = 16;
/** A new plan is worthwhile when the estimate has changed by this share and by this time. */
const MIN_CHANGE_SHARE = 0.15;
const MIN_CHANGE_MS = 0.3;

/**
 * Learns the response delay of each unit from reads on a serial line: the round trip without its characters and silences.
 * Delays of adapter and operating system are included on purpose, because a request saved saves them too.
 */
export class ResponseDelays {
  readonly #timing: (unit: number) => LineTiming;
  readonly #samples = new Map<number, number[]>();
  readonly #learned = new Map<number, DurationMs>();

  constructor(timing: (unit: number) => LineTiming) {
    this.#timing = timing;
  }

  timingOf(unit: number): LineTiming {
    return this.#timing(unit);
  }

  delayOf(unit: number): DurationMs {
    return this.#learned.get(unit) ?? DEFAULT_RESPONSE_MS;
  }

  /** A request was answered. Returns whether the unit's delay has changed so much that reads should be planned anew. */
  record(request: Request, tripMs: DurationMs): boolean {
    // Several pieces are several round trips.
    if (request.kind !== 'read' || request.pieces || request.unit === 0) return false;
    const { unit } = request;
    const samples = this.#samples.get(unit) ?? [];
    this.#samples.set(unit, samples);
    samples.push(Math.max(0, tripMs - readTime(request, this.#timing(unit), 0)));
    if (samples.length < SAMPLES) return false;
    const found = samples.sort((a, b) => a - b)[SAMPLES >> 1] ?? 0;
    this.#samples.delete(unit);
    const before = this.delayOf(unit);
    if (Math.abs(found - before) <= Math.max(MIN_CHANGE_MS, MIN_CHANGE_SHARE * before)) return false;
    this.#learned.set(unit, found);
    return true;
  }
}
