import type { Clock, DurationMs } from '../../src/clock/clock.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import type { PolledChannel } from './polled-channel.ts';
import type { ModbusTask, ModbusTransact } from './transport/transport.ts';

/** Addresses at which the chain of models may begin (SunSpec device information model specification, 6.3). */
const BASES = [40_000, 50_000, 0];
const MARK = 'SunS';
const LAST_MODEL = 0xffff;
/** A longer chain means a broken device. */
const MAX_MODELS = 64;
const WALK_TTL_MS = 10_000;
const RETRY_MS: DurationMs = 3000;

/**
 * Walks a unit's chain of SunSpec models: `SunS`, then id, length and as many registers of each model. Resolves with the
 * address of each model's id register; the first one when a model occurs twice. Rejects with NO_SUCH_CHANNEL when there is
 * no chain.
 */
export async function walkModels(transact: ModbusTransact, unit: number): Promise<Map<number, number>> {
  for (const base of BASES) {
    const mark = await readTwoRegisters(transact, unit, base);
    if (mark?.toString('latin1') === MARK) return await walkChain(transact, unit, base + 2);
  }
  throw new DcsError('NO_SUCH_CHANNEL', `unit ${unit} has no SunSpec models`, {
    expected: `'SunS' in the holding registers at ${BASES.join(', ')}`,
  });
}

async function walkChain(transact: ModbusTransact, unit: number, first: number): Promise<Map<number, number>> {
  const models = new Map<number, number>();
  for (let at = first, seen = 0; seen < MAX_MODELS && at <= 0xfffe; seen++) {
    const head = await readTwoRegisters(transact, unit, at);
    const id = head?.readUInt16BE(0) ?? LAST_MODEL;
    if (head === undefined || id === LAST_MODEL) break;
    if (!models.has(id)) models.set(id, at);
    at += 2 + head.readUInt16BE(2);
  }
  return models;
}

/** Two registers; `undefined` when the device has none there. */
async function readTwoRegisters(transact: ModbusTransact, unit: number, first: number): Promise<Buffer | undefined> {
  try {
    return await transact({ kind: 'read', unit, table: 'holding', first, count: 2 });
  } catch (error) {
    if (error instanceof DcsError && (error.code === 'NO_SUCH_CHANNEL' || error.code === 'DEVICE_REFUSED'))
      return undefined;
    throw error;
  }
}

/** The bus that SunSpec devices are on. */
export interface SunSpecBus {
  readonly clock: Clock;
  readonly channels: ReadonlyMap<string, PolledChannel>;
  run<Result>(task: ModbusTask<Result>): Promise<Result>;
  /** Called when the addresses of some channels have become known. */
  located(): void;
  /** Whether the port is closed or down. */
  ended(): boolean;
}

/** Finds the addresses of SunSpec points: walks each unit's chain of models, and tries again until the unit answers. */
export class SunSpecLocator {
  readonly #bus: SunSpecBus;

  constructor(bus: SunSpecBus) {
    this.#bus = bus;
  }

  start(): void {
    for (const unit of new Set(this.#unlocated().map(({ span }) => span.unit))) this.#locate(unit);
  }

  #locate(unit: number): void {
    const { clock, run, located, ended } = this.#bus;
    const walk = run({ lane: 'demand', unit, ttlMs: WALK_TTL_MS, work: (transact) => walkModels(transact, unit) });
    walk.then(
      (models) => {
        for (const polled of this.#unlocated(unit)) {
          const base = models.get(polled.channel.address.model ?? 0);
          if (base === undefined) polled.fail(noModelError(polled));
          else polled.locate(base);
        }
        located();
      },
      (thrown: unknown) => {
        if (ended()) return;
        for (const polled of this.#unlocated(unit)) polled.fail(toDcsError(thrown));
        clock.after(RETRY_MS, () => {
          if (!ended()) this.#locate(unit);
        });
      },
    );
  }

  #unlocated(unit?: number): PolledChannel[] {
    const all = [...this.#bus.channels.values()].filter((polled) => !polled.located);
    return unit === undefined ? all : all.filter(({ span }) => span.unit === unit);
  }
}

/** The device has no such model. */
export function noModelError({ channel }: PolledChannel): DcsError {
  return new DcsError('NO_SUCH_CHANNEL', `the device has no SunSpec model ${channel.address.model}`);
}
