import type { Clock, MonotonicMs, UnixSeconds } from '../../src/clock/clock.ts';

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
