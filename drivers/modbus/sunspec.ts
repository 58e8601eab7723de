import type { Clock, DurationMs } from '../../src/clock/clock.ts';
import type { Task, Transact } from '../../src/driver/kit/task-queue.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { PolledChannel } from './polled-channel.ts';

/** Where the chain of models may begin (SunSpec device information model specification, 6.3): 0-based on the wire. */
const BASES = [40_000, 50_000, 0];
const MARK = 'SunS';
const LAST_MODEL = 0xffff;
/** A chain longer than this is a broken device. */
const MAX_MODELS = 64;

/**
 * Walks a unit's chain of SunSpec models: `SunS`, then id, length and as many registers of each model. Resolves with the
 * address of each model's first register, its id; where a model occurs twice, the first. Rejects with NO_SUCH_CHANNEL
 * when there is no chain.
 */
export async function walkModels(ask: Transact, unit: number): Promise<Map<number, number>> {
  for (const base of BASES) {
    const mark = await readTwoRegisters(ask, unit, base);
    if (mark?.toString('latin1') !== MARK) continue;
    const models = new Map<number, number>();
    for (let at = base + 2, seen = 0; seen < MAX_MODELS; seen++) {
      const head = await readTwoRegisters(ask, unit, at);
      const id = head?.readUInt16BE(0) ?? LAST_MODEL;
      if (head === undefined || id === LAST_MODEL) break;
      if (!models.has(id)) models.set(id, at);
      at += 2 + head.readUInt16BE(2);
      if (at > 0xfffe) break;
    }
    return models;
  }
  throw new DcsError('NO_SUCH_CHANNEL', `unit ${unit} has no SunSpec models`, {
    expected: `'SunS' in the holding registers at ${BASES.join(', ')}`,
  });
}

/** Two registers; undefined when the device has none there. */
async function readTwoRegisters(ask: Transact, unit: number, first: number): Promise<Buffer | undefined> {
  try {
    return await ask({ kind: 'read', unit, table: 'holding', first, count: 2 });
  } catch (error) {
    if (error instanceof DcsError && (error.code === 'NO_SUCH_CHANNEL' || error.code === 'DEVICE_REFUSED'))
      return undefined;
    throw error;
  }
}

const READ_TTL_MS = 10_000;
const RETRY_MS: DurationMs = 3000;

export interface SunSpecBus {
  readonly clock: Clock;
  readonly watches: ReadonlyMap<string, PolledChannel>;
  run<Result>(task: Task<Result>): Promise<Result>;
  /** Some have been placed. */
  located(): void;
  /** The port is closed or down. */
  ended(): boolean;
}

/** Finds where SunSpec points lie, by walking each unit's chain of models: now or, if it does not answer, later. */
export class SunSpecLocator {
  readonly #bus: SunSpecBus;

  constructor(of: SunSpecBus) {
    this.#bus = of;
  }

  start(): void {
    for (const unit of new Set(this.#unlocated().map(({ span }) => span.unit))) this.#locate(unit);
  }

  #locate(unit: number): void {
    const { clock, run, located: placed, ended } = this.#bus;
    const walk = run({ lane: 'demand', unit, ttlMs: READ_TTL_MS, work: (ask) => walkModels(ask, unit) });
    walk.then(
      (models) => {
        for (const watch of this.#unlocated(unit)) {
          const base = models.get(watch.channel.address.model ?? 0);
          if (base === undefined) watch.fail(noModelError(watch));
          else watch.locate(base);
        }
        placed();
      },
      (thrown: unknown) => {
        if (ended()) return;
        for (const watch of this.#unlocated(unit)) watch.fail(toDcsError(thrown));
        clock.after(RETRY_MS, () => {
          if (!ended()) this.#locate(unit);
        });
      },
    );
  }

  #unlocated(unit?: number): PolledChannel[] {
    const all = [...this.#bus.watches.values()].filter((watch) => !watch.located);
    return unit === undefined ? all : all.filter(({ span }) => span.unit === unit);
  }
}

/** The device has no such model. */
export function noModelError({ channel }: PolledChannel): DcsError {
  return new DcsError('NO_SUCH_CHANNEL', `the device has no SunSpec model ${channel.address.model}`);
}
