import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DcsError } from '../errors/errors.ts';

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
