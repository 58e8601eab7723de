import { type Clock, type DurationMs, systemClock, type Timer } from '../../../src/clock/clock.ts';

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
