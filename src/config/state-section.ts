import { dirname, resolve } from 'node:path';
import { type ConfigContext, thisMachine } from './context.ts';
import type { Located } from './located.ts';
import type { Problems } from './problems.ts';
import { stateSchema } from './schema.ts';
import { check } from './schema-issues.ts';
import { isEmpty } from './section.ts';

/** Where a service of the system keeps what it has; whoever makes the folder wants it used. */
const USUAL_FOLDER = '/var/lib/dcs-io';

/** Reads `state:`, the folder for what outlives a restart. Absent: the usual one where there is one, else none. */
export function readState(
  located: Located | undefined,
  file: string,
  context: ConfigContext,
  problems: Problems,
): { state?: string } {
  if (located === undefined || isEmpty(located)) {
    return (context.machine ?? thisMachine).exists(USUAL_FOLDER) ? { state: USUAL_FOLDER } : {};
  }
  const checked = check(stateSchema, located, problems);
  if (checked === undefined || checked.value === 'none') return {};
  return { state: resolve(dirname(file), checked.value) };
}
