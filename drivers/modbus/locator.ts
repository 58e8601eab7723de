import type { Clock, DurationMs } from '../../src/clock/clock.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { Task } from './schedule/task.ts';
import { walkModels } from './sunspec.ts';
import type { Watch } from './watch.ts';

const READ_TTL_MS = 10_000;
const LOCATE_AGAIN_MS: DurationMs = 3000;

export interface LocatorOf {
  readonly clock: Clock;
  readonly watches: ReadonlyMap<string, Watch>;
  run<Result>(task: Task<Result>): Promise<Result>;
  /** Some have been placed. */
  placed(): void;
  /** The port is closed or down. */
  ended(): boolean;
}

/** Finds where SunSpec points lie, by walking each unit's chain of models: now or, if it does not answer, later. */
export class Locator {
  readonly #of: LocatorOf;

  constructor(of: LocatorOf) {
    this.#of = of;
  }

  start(): void {
    for (const unit of new Set(this.#unplaced().map(({ span }) => span.unit))) this.#locate(unit);
  }

  #locate(unit: number): void {
    const { clock, run, placed, ended } = this.#of;
    const walk = run({ lane: 'demand', unit, ttlMs: READ_TTL_MS, work: (ask) => walkModels(ask, unit) });
    walk.then(
      (models) => {
        for (const watch of this.#unplaced(unit)) {
          const base = models.get(watch.channel.address.model ?? 0);
          if (base === undefined) watch.fail(unlocated(watch));
          else watch.place(base);
        }
        placed();
      },
      (thrown: unknown) => {
        if (ended()) return;
        for (const watch of this.#unplaced(unit)) watch.fail(toDcsError(thrown));
        clock.after(LOCATE_AGAIN_MS, () => {
          if (!ended()) this.#locate(unit);
        });
      },
    );
  }

  #unplaced(unit?: number): Watch[] {
    const all = [...this.#of.watches.values()].filter((watch) => !watch.placed);
    return unit === undefined ? all : all.filter(({ span }) => span.unit === unit);
  }
}

/** The device has no such model. */
export function unlocated({ channel }: Watch): DcsError {
  return new DcsError('NO_SUCH_CHANNEL', `the device has no SunSpec model ${channel.address.model}`);
}
