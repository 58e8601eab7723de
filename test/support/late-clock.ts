import type { DurationMs, MonotonicMs, Timer } from '../../src/clock/clock.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';

/** The clock of a process that does everything as late as the test says. */
export class LateClock extends ManualClock {
  lateMs: DurationMs = 0;
  /** What calls have taken so far, beside the time that the test lets pass. */
  spentMs: DurationMs = 0;

  override now(): MonotonicMs {
    return super.now() + this.spentMs;
  }

  override after(delay: DurationMs, action: () => void): Timer {
    return super.after(delay + this.lateMs, action);
  }
}
