import type { DurationMs, Timer } from '../../src/clock/clock.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';

/** The clock of a process that does everything as late as the test says. */
export class LateClock extends ManualClock {
  lateMs: DurationMs = 0;

  override after(delay: DurationMs, action: () => void): Timer {
    return super.after(delay + this.lateMs, action);
  }
}
