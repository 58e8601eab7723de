import { type Clock, type DurationMs, systemClock, type Timer } from '../../../src/clock/clock.ts';
import { type PlanLimits, standardLimits } from '../../../src/driver/kit/block-planner.ts';
import type { LineSettings } from '../../../src/driver/kit/schemas.ts';
import { isBitTable, type Request, type Span } from '../protocol/request.ts';

/** Above 19200 baud the standard fixes the silence between frames (Modbus over serial line 1.02, 2.5.1.1). */
const FIXED_GAP_BAUD = 19200;
const FIXED_GAP_MS = 1.75;

/** What a serial line's settings mean in time. */
export interface LineTiming {
  /** One character: start bit, data, parity, stop bits. */
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

/** Timers of the event loop are right to a millisecond, which at 115200 baud is the time of eleven characters. */
const TIMER_GRAIN_MS = 1.2;

/**
 * Calls `action` once after `delay`, right to some 50 µs: the last stretch is waited out turn by turn of the event
 * loop, which stays free for everything else. Never early.
 */
export function afterExactly(clock: Clock, delay: DurationMs, action: () => void): Timer {
  // A clock that is moved by hand has no turns to wait for.
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

/** Request of a read and of its reply without data: unit, function, address, count, CRC; unit, function, count, CRC. */
const READ_OVERHEAD = 13;

/**
 * The least time one read takes on a serial line: its characters, the silence of 3.5 characters before request and
 * reply, and what the device needs to think.
 */
export function readTime(span: Span, line: LineTiming, slaveMs: DurationMs): DurationMs {
  const data = isBitTable(span.table) ? Math.ceil(span.count / 8) : 2 * span.count;
  return (READ_OVERHEAD + data) * line.characterMs + 2 * line.gapMs + slaveMs;
}

/** How many registers may be read in vain before a second request would have been cheaper. */
export function breakEvenGap(line: LineTiming, slaveMs: DurationMs): number {
  return Math.floor((READ_OVERHEAD * line.characterMs + 2 * line.gapMs + slaveMs) / (2 * line.characterMs));
}

/** Slave time that a plan reckons with when nothing is known about the device. */
export const DEFAULT_RESPONSE_MS = 5;
/** Over a network a round trip costs far more than the bytes of some dozens of registers. */
const NETWORK_GAP = 50;

/** What is worth reading along: the user's word, or the break-even of the line. */
export function planLimits(
  maxGap: number | undefined,
  line: LineTiming | undefined,
  slaveMs: DurationMs = DEFAULT_RESPONSE_MS,
): PlanLimits {
  return standardLimits(maxGap ?? (line ? Math.min(124, breakEvenGap(line, slaveMs)) : NETWORK_GAP));
}

/** Round trips an estimate is made of; their median, so that a few odd ones do not count. */
const SAMPLES = 16;
/** A new plan is worth its while when the estimate has moved by this share, and by this time. */
const MIN_CHANGE_SHARE = 0.15;
const MIN_CHANGE_MS = 0.3;

/**
 * How long each unit thinks, learned from the reads on a serial line: what a round trip takes beyond its characters and
 * silences. Delays of adapter and operating system are in it, as they should: a request saved saves them too.
 */
export class ResponseDelays {
  readonly #timing: (unit: number) => LineTiming;
  readonly #samples = new Map<number, number[]>();
  readonly #learned = new Map<number, DurationMs>();

  constructor(timing: (unit: number) => LineTiming) {
    this.#timing = timing;
  }

  delayOf(unit: number): DurationMs {
    return this.#learned.get(unit) ?? DEFAULT_RESPONSE_MS;
  }

  /** A request was answered. Returns whether the unit's time is now known to be another, so that plans may change. */
  record(request: Request, tripMs: DurationMs): boolean {
    if (request.kind !== 'read' || request.unit === 0) return false;
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
