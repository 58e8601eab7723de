import { dirname, resolve } from 'node:path';
import { type ConfigContext, thisMachine } from './context.ts';
import { type Located, shown, textOf } from './located.ts';
import type { Problems } from './problems.ts';
import { isEmpty } from './section.ts';

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
  problems.wrong(located, `there is no folder ${shown(located)}`, {
    expected: `a folder of profiles, <driver>/<maker>/<model>.yaml; looked for ${folder}`,
  });
  return undefined;
}
