import { dirname, resolve } from 'node:path';
import { type ConfigContext, thisMachine } from './context.ts';
import { displayText, type Located, textOf } from './located.ts';
import type { Problems } from './problems.ts';
import { GUARDIAN_TIMEOUT_MS, guardianSchema, stateSchema } from './schema.ts';
import { isEmpty, validate } from './validation.ts';

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
  const checked = validate(stateSchema, located, problems);
  if (checked === undefined || checked.value === 'none') return {};
  return { state: resolve(dirname(file), checked.value) };
}

/** Reads `guardian:`, within how long outputs are safe after a crash or hang. Off: nobody sees to it. */
export function readGuardian(located: Located | undefined, problems: Problems): { guardianMs?: number } {
  if (located === undefined || isEmpty(located)) return { guardianMs: GUARDIAN_TIMEOUT_MS };
  const checked = validate(guardianSchema, located, problems);
  if (checked === undefined || typeof checked.value !== 'number') return {};
  return { guardianMs: checked.value };
}

/** Reads `profiles:`, the folder with the user's own device profiles. */
export function readProfileFolder(
  located: Located | undefined,
  file: string,
  context: ConfigContext,
  problems: Problems,
): string | undefined {
  if (located === undefined || isEmpty(located)) return undefined;
  const folder = resolve(dirname(file), textOf(located) ?? '');
  if (textOf(located) !== undefined && (context.machine ?? thisMachine).exists(folder)) return folder;
  problems.invalid(located, `there is no folder ${displayText(located)}`, {
    expected: `a folder of profiles, <driver>/<maker>/<model>.yaml; looked for ${folder}`,
  });
  return undefined;
}
