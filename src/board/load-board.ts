import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { z } from 'zod';
import { DcsError, messageOf } from '../errors/errors.ts';
import { Board } from './board.ts';
import { type BoardData, boardSchema, headerSchema, pwmSchema } from './board-schema.ts';
import { dataFolder } from './data-folder.ts';

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
