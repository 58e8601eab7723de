import type { Clock, MonotonicMs, UnixSeconds } from '../../src/clock/clock.ts';

/** Turns a kernel timestamp, given as the two 32-bit halves of its nanoseconds, into wall-clock time. */
export type EventTime = (nsHigh: number, nsLow: number) => UnixSeconds;

const HIGH_SECONDS = 2 ** 32 / 1e9;

/**
 * For lines that stamp with CLOCK_REALTIME (Linux ≥ 5.11): the wall clock at the very edge. Nothing needs converting,
 * and a clock that is set later cannot falsify what was seen before.
 */
export const realtime: EventTime = (nsHigh, nsLow) => nsHigh * HIGH_SECONDS + nsLow / 1e9;

/**
 * For lines that stamp with CLOCK_MONOTONIC, because the time between edges matters or Linux 5.10 knows no other: the wall clock
 * of now, less the event's age.
 */
export function monotonic(clock: Clock): EventTime {
  return (nsHigh, nsLow) => {
    const [seconds, nanoseconds] = process.hrtime();
    return clock.unix() - (seconds + nanoseconds / 1e9 - (nsHigh * HIGH_SECONDS + nsLow / 1e9));
  };
}

/** The stamp itself in milliseconds, for the time between two of them. */
export function stampMs(nsHigh: number, nsLow: number): MonotonicMs {
  return nsHigh * HIGH_SECONDS * 1000 + nsLow / 1e6;
}
