import { DcsError } from '../../src/errors/errors.ts';
import type { ModbusTransact } from './transport/transport.ts';

/** Addresses at which the chain of models may begin (SunSpec device information model specification, 6.3). */
export const BASES = [40_000, 50_000, 0];
const MARK = 'SunS';
const LAST_MODEL = 0xffff;
/** Registers of a model's head: its id, and the number of registers that follow. */
export const HEAD_REGISTERS = 2;
/** A longer chain means a broken device. */
const MAX_MODELS = 64;

/** Where a device has a model. */
export interface ModelPlace {
  readonly model: number;
  /** Address of its id register. */
  readonly at: number;
  /** Number of registers behind id and length. */
  readonly length: number;
}

/** One way to ask a unit. */
export interface ChainReader {
  readonly unit: number;
  readonly transact: ModbusTransact;
  /** Sends a request that the unit may ignore although it is there: silence says nothing about the unit. */
  readonly probe: ModbusTransact;
  /** Waits until the unit may be asked again after a request without answer. Resolves with whether another try makes sense. */
  tryAgain(): Promise<boolean>;
  /** Whether a last request may follow the one that got no answer. */
  mayAsk(): boolean;
}

/**
 * Walks the chain of SunSpec models of one unit: `SunS`, then id, length and as many registers of each model. It remembers
 * only where to look first: where the chain began last time.
 */
export class ChainWalker {
  /** The base of the last chain first, bases that were silent last. */
  #bases: readonly number[] = BASES;
  #found = false;

  /**
   * Resolves with the models in their order. Ends early when `enough` says so. Rejects with NO_SUCH_CHANNEL when there is no
   * chain, and with TIMEOUT when the unit is silent: some devices do not answer at all at a base that they do not have, so
   * the next walk begins with another one.
   */
  async walk(reader: ChainReader, enough: (models: readonly ModelPlace[]) => boolean): Promise<ModelPlace[]> {
    for (const base of [...this.#bases]) {
      const others = this.#bases.filter((other) => other !== base);
      let mark: Buffer | undefined;
      try {
        mark = await (this.#found
          ? readPatiently(reader, base)
          : readHead({ ...reader, transact: reader.probe }, base));
      } catch (error) {
        if (isSilence(error)) this.#bases = [...others, base];
        this.#found = false;
        throw error;
      }
      this.#found = mark?.toString('latin1') === MARK;
      if (!this.#found) continue;
      this.#bases = [base, ...others];
      return await walkFrom(reader, base, enough);
    }
    throw new DcsError('NO_SUCH_CHANNEL', `unit ${reader.unit} has no SunSpec models`, {
      expected: `'SunS' in the holding registers at ${BASES.join(', ')}`,
    });
  }
}

async function walkFrom(
  reader: ChainReader,
  base: number,
  enough: (models: readonly ModelPlace[]) => boolean,
): Promise<ModelPlace[]> {
  const models: ModelPlace[] = [];
  for (let at = base + 2; models.length < MAX_MODELS && at <= 0xfffe && !enough(models); ) {
    const head = await readNext(reader, at, base);
    const id = head?.readUInt16BE(0) ?? LAST_MODEL;
    // No model has the number 0: these registers have been erased, or not been filled yet.
    if (head === undefined || id === LAST_MODEL || id === 0) break;
    const length = head.readUInt16BE(2);
    models.push({ model: id, at, length });
    at += HEAD_REGISTERS + length;
  }
  return models;
}

/**
 * Two registers of the chain; `undefined` at its end. A device whose chain has no end mark may be silent behind the last model:
 * it is still there when `SunS` can be read, which is asked after each silence so that the unit does not count as lost.
 */
async function readNext(reader: ChainReader, at: number, base: number): Promise<Buffer | undefined> {
  for (;;) {
    try {
      return await readHead(reader, at);
    } catch (error) {
      if (!isSilence(error)) throw error;
      if (await mustBeEnd(reader, base, error)) return undefined;
    }
  }
}

/** Whether the chain ends where the unit is silent; otherwise it is worth another try. Rejects when the unit is not there. */
async function mustBeEnd(reader: ChainReader, base: number, silence: unknown): Promise<boolean> {
  const again = await reader.tryAgain();
  if (!again && !reader.mayAsk()) throw silence;
  const mark = await (again ? readPatiently(reader, base) : readHead(reader, base));
  if (mark?.toString('latin1') !== MARK) throw silence;
  return !again;
}

/** Reads as `readHead` does; some lost replies do not end the walk. */
async function readPatiently(reader: ChainReader, first: number): Promise<Buffer | undefined> {
  for (;;) {
    try {
      return await readHead(reader, first);
    } catch (error) {
      if (!isSilence(error) || !(await reader.tryAgain())) throw error;
    }
  }
}

/** Two registers; `undefined` when the device has none there. */
export async function readHead(
  { unit, transact }: Pick<ChainReader, 'unit' | 'transact'>,
  first: number,
): Promise<Buffer | undefined> {
  try {
    return await transact({ kind: 'read', unit, table: 'holding', first, count: HEAD_REGISTERS });
  } catch (error) {
    if (error instanceof DcsError && (error.code === 'NO_SUCH_CHANNEL' || error.code === 'DEVICE_REFUSED'))
      return undefined;
    throw error;
  }
}

function isSilence(error: unknown): boolean {
  return error instanceof DcsError && error.code === 'TIMEOUT';
}

/** Returns the error of a head that is not that of the expected model; `undefined` when it is. */
export function headMistake(place: ModelPlace, head: Buffer | undefined): DcsError | undefined {
  const [id, length] = [head?.readUInt16BE(0), head?.readUInt16BE(2)];
  if (id === place.model && length === place.length) return undefined;
  return new DcsError(
    'BAD_REPLY',
    `the device's SunSpec models have moved: model ${place.model} is not at ${place.at} any more; they are looked for again`,
    {
      found: head ? `id ${id}, length ${length}` : 'no such address',
      expected: `id ${place.model}, length ${place.length}`,
    },
  );
}
