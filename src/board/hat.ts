import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { alias } from './board-schema.ts';
import { dataFolder, readData } from './load-board.ts';

/** A board on the header of a computer. */
const hatSchema = z.strictObject({
  title: z.string().min(1),
  header: z.string().min(1).describe('the header that it fits'),
  needs: z.array(alias).default([]).describe('buses of the computer that it uses'),
  lines: z
    .record(
      alias,
      z.strictObject({
        at: alias.describe('the line, by one of its names on the board'),
        keys: z
          .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
          .default({})
          .describe('pin keys that follow from the wiring'),
      }),
    )
    .default({}),
  chips: z
    .array(z.strictObject({ type: z.string(), bus: alias, address: z.int().min(0), title: z.string() }))
    .default([])
    .describe('chips on a bus, for the drivers of the bus and for people'),
});
export type HatData = z.infer<typeof hatSchema>;

export interface Hat extends HatData {
  readonly name: string;
  /** The file of its data. */
  readonly file: string;
}

/** Names of all HATs, sorted. */
export function listHats(folder: string = dataFolder()): string[] {
  const hats = join(folder, 'hats');
  if (!existsSync(hats)) return [];
  return readdirSync(hats)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort();
}

/** Reads and checks the data of a HAT. `undefined` when no HAT has that name. Throws BAD_CONFIG on wrong data. */
export function loadHat(name: string, folder: string = dataFolder()): Hat | undefined {
  if (!listHats(folder).includes(name)) return undefined;
  const file = join(folder, 'hats', `${name}.yaml`);
  return { ...readData(file, hatSchema), name, file };
}
