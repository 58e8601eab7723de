import { dirname, resolve } from 'node:path';
import { type ConfigContext, thisMachine } from './context.ts';
import type { Located } from './located.ts';
import type { Problems } from './problems.ts';
import { GUARDIAN_WITHIN_MS, guardianSchema, stateSchema } from './schema.ts';
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

/** Reads `guardian:`, within how long outputs are safe after a crash or hang. Off: nobody sees to it. */
export function readGuardian(located: Located | undefined, problems: Problems): { guardianMs?: number } {
  if (located === undefined || isEmpty(located)) return { guardianMs: GUARDIAN_WITHIN_MS };
  const checked = check(guardianSchema, located, problems);
  if (checked === undefined || typeof checked.value !== 'number') return {};
  return { guardianMs: checked.value };
}
