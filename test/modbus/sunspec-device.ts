import type { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';

/** A model of a simulated SunSpec device: its number, its length, and some of its registers, counted from its id. */
export interface SimulatedModel {
  readonly model: number;
  readonly length: number;
  readonly values?: Readonly<Record<number, number>>;
}

/** The common model, which comes first. */
export const common: SimulatedModel = { model: 1, length: 66 };

/** Fills a device's memory with a chain of models. Returns the addresses of their id registers. */
export function putChain(
  memory: SimulatedMemory,
  models: readonly SimulatedModel[],
  { base = 40_000, unit = 1 } = {},
): number[] {
  memory.put(unit, 'holding', base, 0x5375, 0x6e53);
  let at = base + 2;
  const places = models.map(({ model, length, values = {} }) => {
    const place = at;
    memory.put(unit, 'holding', at, model, length, ...Array.from({ length }, (_, index) => values[index + 2] ?? 0));
    at += 2 + length;
    return place;
  });
  memory.put(unit, 'holding', at, 0xffff, 0);
  return places;
}

/** Replaces everything in registers 40000 to 40999 and 50000 to 50999. */
export function clearChain(memory: SimulatedMemory, unit = 1): void {
  const zeros = Array.from({ length: 1000 }, () => 0);
  memory.put(unit, 'holding', 40_000, ...zeros);
  memory.put(unit, 'holding', 50_000, ...zeros);
}
