import type { Located } from './located.ts';
import { entriesOf } from './located.ts';
import type { Problems } from './problems.ts';
import { nameSchema } from './schema.ts';

/** The entries of a part of the file that must be a section of keys. Absent or empty: none. */
export function sectionEntries(located: Located | undefined, problems: Problems): ReadonlyMap<string, Located> {
  if (located === undefined || isEmpty(located)) return new Map();
  if (located.node.kind === 'section') return entriesOf(located);
  problems.wrong(located, `${lastKey(located)} must be a section of keys`, { expected: 'name: { … } on each line' });
  return new Map();
}

/** `key:` with nothing behind it. */
export function isEmpty({ node }: Located): boolean {
  return node.kind === 'scalar' && node.value === null;
}

/** The key itself, without the path to it. */
export function lastKey({ path }: Located): string {
  return path.slice(path.lastIndexOf('.') + 1);
}

/** Checks the name a user gives to a port, a device or a pin. */
export function checkName(name: string, { keyAt, path }: Located, problems: Problems): void {
  const checked = nameSchema.safeParse(name);
  if (checked.success) return;
  problems.error(keyAt, path, checked.error.issues.map((issue) => issue.message).join(', '), { found: name });
}
