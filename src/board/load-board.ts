import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import type { z } from 'zod';
import { DcsError, messageOf } from '../errors/errors.ts';
import { Board } from './board.ts';
import { type BoardData, boardSchema, headerSchema, pwmSchema } from './board-schema.ts';

/** The folder of boards, headers, HATs and device profiles that is shipped with the program. */
export function dataFolder(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  // The sources and the compiled files lie at different depths below the package's root.
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

/** Names of all boards, sorted. `folder` is where the data files are; tests give their own. */
export function listBoards(folder: string = dataFolder()): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort();
}

/** Reads a board, its headers and the lines of its PWM, and checks them. Undefined: no board has that name. Throws BAD_CONFIG on wrong data. */
export function loadBoard(name: string, folder: string = dataFolder()): Board | undefined {
  if (!listBoards(folder).includes(name)) return undefined;
  const data = readBoardData(name, folder);
  const headers = data.headers.map((header) => readData(join(folder, 'headers', `${header}.yaml`), headerSchema));
  const pwm = data.pwm && readData(join(folder, 'pwm-lines', `${data.pwm.lines}.yaml`), pwmSchema);
  return new Board(name, data, headers, pwm);
}

/** A board's own file without its headers: enough to tell which board a computer is. */
export function readBoardData(name: string, folder: string = dataFolder()): BoardData {
  return readData(join(folder, `${name}.yaml`), boardSchema);
}

/** Reads one YAML data file through its schema. */
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
