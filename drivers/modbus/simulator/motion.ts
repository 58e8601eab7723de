import type { DurationMs } from '../../../src/clock/clock.ts';

/** How a simulated value moves with time. */
export type Motion =
  | { readonly kind: 'sine'; readonly mean: number; readonly swing: number; readonly periodMs: DurationMs }
  /** Rises from `from` to `to` in a period and starts over. */
  | { readonly kind: 'ramp'; readonly from: number; readonly to: number; readonly periodMs: DurationMs }
  /** Counts one up every period, from 0. */
  | { readonly kind: 'counter'; readonly periodMs: DurationMs }
  /** Approaches what another register holds: after a period 63 % of the way. */
  | { readonly kind: 'follow'; readonly target: () => number; readonly periodMs: DurationMs };

/** A value that moves. Times are monotonic milliseconds since it was made. */
export class Moving {
  readonly #motion: Motion;
  #followed = 0;
  #at: DurationMs = 0;

  constructor(motion: Motion) {
    this.#motion = motion;
  }

  value(now: DurationMs): number {
    const motion = this.#motion;
    switch (motion.kind) {
      case 'sine':
        return motion.mean + motion.swing * Math.sin((2 * Math.PI * now) / motion.periodMs);
      case 'ramp':
        return motion.from + ((motion.to - motion.from) * (now % motion.periodMs)) / motion.periodMs;
      case 'counter':
        return Math.floor(now / motion.periodMs);
      case 'follow': {
        const share = 1 - Math.exp(-(now - this.#at) / motion.periodMs);
        this.#followed += (motion.target() - this.#followed) * share;
        this.#at = now;
        return this.#followed;
      }
    }
  }
}
