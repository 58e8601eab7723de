import { DcsError } from '../../src/errors/errors.ts';
import type { Ask } from './schedule/task.ts';

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
export async function walkModels(ask: Ask, unit: number): Promise<Map<number, number>> {
  for (const base of BASES) {
    const mark = await readOr(ask, unit, base);
    if (mark?.toString('latin1') !== MARK) continue;
    const models = new Map<number, number>();
    for (let at = base + 2, seen = 0; seen < MAX_MODELS; seen++) {
      const head = await readOr(ask, unit, at);
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
async function readOr(ask: Ask, unit: number, first: number): Promise<Buffer | undefined> {
  try {
    return await ask({ kind: 'read', unit, table: 'holding', first, count: 2 });
  } catch (error) {
    if (error instanceof DcsError && (error.code === 'NO_SUCH_CHANNEL' || error.code === 'DEVICE_REFUSED'))
      return undefined;
    throw error;
  }
}
