import { z } from 'zod';
import type { DurationMs } from '../../src/clock/clock.ts';
import { durationSchema } from '../../src/driver/kit/schemas.ts';
import type { RegisterFormat } from './formats/format.ts';
import { isBitTable, type Table } from './protocol/request.ts';
import { type FormatSpec, formatOf, type Levels } from './register-format.ts';

const place = (what: string) =>
  z.int().min(0).max(0xffff).optional().describe(`${what} with the value, counted from 0`);

/** Where an output is read, if not as it is written. */
export const readSchema = z.union([
  z.literal(false).describe('the address is never read'),
  z.strictObject({
    coil: place('the coil'),
    discrete: place('the discrete input'),
    holding: place('the holding register'),
    input: place('the input register'),
    bit: z.int().min(0).max(15).optional().describe('the bit of the register that is 1 while the output is on'),
    on: z.int().optional().describe('what the register holds while the output is on'),
    off: z.int().optional().describe('what the register holds while the output is off'),
    delay: durationSchema
      .refine((delay) => delay <= 10_000, { error: 'at most 10s: the answer to the command waits' })
      .prefault('0ms')
      .describe('time after a write until it shows the new value, at most 10s'),
  }),
]);
export type ReadKeys = z.output<typeof readSchema>;

/** The place where an output is read. */
export interface ReadPlace {
  readonly table: Table;
  readonly first: number;
  /** `undefined` for coils and discrete inputs. */
  readonly spec: FormatSpec | undefined;
  /** Time after a write until it shows the new value. */
  readonly delayMs: DurationMs;
}

/** The place where an output is written. */
export interface WritePlace extends FormatSpec {
  readonly table: Table;
  readonly first: number;
}

/** Returns the place that the keys name, or the mistake in them. */
export function readPlaceOf(keys: Exclude<ReadKeys, false>, written: WritePlace): ReadPlace | string {
  const tables = (['coil', 'discrete', 'holding', 'input'] as const).filter((one) => keys[one] !== undefined);
  if (tables.length > 1) return `only one of ${tables.join(', ')}`;
  const [table = written.table] = tables;
  const spec = readSpecOf(keys, written, table);
  if (typeof spec === 'string') return spec;
  return { table, first: keys[table] ?? written.first, spec, delayMs: keys.delay };
}

const WHOLE_REGISTER: FormatSpec = { type: 'uint16', order: 'ABCD' };

/** The format of the registers; `undefined` for coils and discrete inputs. A text is the mistake in the keys. */
function readSpecOf(
  { bit, on, off }: Exclude<ReadKeys, false>,
  written: WritePlace,
  table: Table,
): FormatSpec | undefined | string {
  const levels = levelsOf(on, off);
  if (typeof levels === 'string') return levels;
  if (bit !== undefined && levels) return 'a bit, or values for on and off';
  const digital = isBitTable(written.table) || formatOf(written).kind === 'digital';
  const stated = bit !== undefined || levels !== undefined;
  if (stated && !digital) return 'only an output that is on or off has a bit, or on and off';
  if (!isBitTable(table)) return registerSpec(bit, levels, written, table);
  if (stated) return `a ${table} is one bit and has no bit, on and off`;
  return digital ? undefined : `a ${table} shows only on or off`;
}

function registerSpec(
  bit: number | undefined,
  levels: Levels | undefined,
  written: WritePlace,
  table: Table,
): FormatSpec | string {
  const ofBit = isBitTable(written.table);
  if (bit !== undefined) return { type: 'bool', order: written.order, bits: [bit, bit] };
  if (levels) return { ...(ofBit ? WHOLE_REGISTER : written), values: undefined, levels };
  return ofBit ? `what the ${table} register holds: bit, or on and off` : written;
}

function levelsOf(on: number | undefined, off: number | undefined): Levels | undefined | string {
  if (on === undefined && off === undefined) return undefined;
  if (on === undefined || off === undefined) return 'on and off go together';
  return on === off ? 'on and off are the same value' : { on, off };
}

/** The format of the registers that an output is read from. */
export function readFormat({ spec }: ReadPlace): RegisterFormat | undefined {
  return spec && formatOf(spec);
}
