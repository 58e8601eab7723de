import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';
import { DcsError, messageOf } from '../errors/errors.ts';
import { Board } from './board.ts';
import { alias, type BoardData, boardSchema, headerSchema, pwmSchema } from './board-schema.ts';

/** The folder of boards, headers, HATs and device profiles of this package. */
export function dataFolder(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  // Sources and compiled files lie at different depths below the root of the package.
  for (let folder = start; ; folder = dirname(folder)) {
    const found = join(folder, 'boards');
    if (existsSync(join(found, 'headers'))) return found;
    if (dirname(folder) === folder) {
      throw new DcsError('BAD_CONFIG', 'the board files are missing from this installation', {
        found: start,
        expected: 'a folder named boards beside the program',
      });
    }
  }
}

/** Names of all boards, sorted. */
export function listBoards(folder: string = dataFolder()): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort();
}

/**
 * Reads and checks a board, its headers and the lines of its PWM. `undefined` when no board has that name. Throws BAD_CONFIG
 * on wrong data.
 */
export function loadBoard(name: string, folder: string = dataFolder()): Board | undefined {
  if (!listBoards(folder).includes(name)) return undefined;
  const data = readBoardData(name, folder);
  const headers = data.headers.map((header) => readData(join(folder, 'headers', `${header}.yaml`), headerSchema));
  const pwm = data.pwm && readData(join(folder, 'pwm-lines', `${data.pwm.lines}.yaml`), pwmSchema);
  return new Board(name, data, headers, pwm);
}

/** Reads the file of a board without its headers: enough to detect the board of a computer. */
export function readBoardData(name: string, folder: string = dataFolder()): BoardData {
  return readData(join(folder, `${name}.yaml`), boardSchema);
}

/** Reads a YAML data file and checks it with a schema. */
export function readData<T>(file: string, schema: z.ZodType<T>): T {
  let found: unknown;
  try {
    found = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new DcsError('BAD_CONFIG', `${file}: ${messageOf(error)}`, { cause: error });
  }
  const checked = schema.safeParse(found);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw new DcsError('BAD_CONFIG', `${file}: ${issue?.path.join('.')}: ${issue?.message}`, { cause: checked.error });
}

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
