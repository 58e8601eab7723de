import type { Clock, UnixSeconds } from '../../src/clock/clock.ts';

/** Turns a kernel timestamp, given as the two 32-bit halves of its nanoseconds, into wall-clock time. */
export type EventTime = (nsHigh: number, nsLow: number) => UnixSeconds;

const HIGH_SECONDS = 2 ** 32 / 1e9;

/**
 * For lines that stamp with CLOCK_REALTIME (Linux ≥ 5.11): the wall clock at the very edge. Nothing needs converting,
 * and a clock that is set later cannot falsify what was seen before.
 */
export const realtime: EventTime = (nsHigh, nsLow) => nsHigh * HIGH_SECONDS + nsLow / 1e9;

/** For lines that can only stamp with CLOCK_MONOTONIC (Linux 5.10): the wall clock of now, less the event's age. */
export function monotonic(clock: Clock): EventTime {
  return (nsHigh, nsLow) => {
    const [seconds, nanoseconds] = process.hrtime();
    return clock.unix() - (seconds + nanoseconds / 1e9 - (nsHigh * HIGH_SECONDS + nsLow / 1e9));
  };
}
