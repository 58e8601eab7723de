import type { z } from 'zod';
import { closestMatch } from './closest-match.ts';
import { keysAt } from './json-schema.ts';
import { descend, displayText, entriesOf, type Located, toPlain } from './located.ts';
import type { Problems } from './problems.ts';
import { nameSchema } from './schema.ts';

type Issue = z.core.$ZodIssue;

/**
 * Checks a located value with a schema. What is wrong goes to `problems`, each with the place of the key or value it is
 * about. `known` are keys of the same section that others read, and that a misspelt one may have meant.
 */
export function validate<T>(
  schema: z.ZodType<T>,
  located: Located,
  problems: Problems,
  known: readonly string[] = [],
): { readonly value: T } | undefined {
  const result = schema.safeParse(toPlain(located));
  if (result.success) return { value: result.data };
  const keys = (path: readonly PropertyKey[]) => [...keysAt(schema, path), ...(path.length === 0 ? known : [])];
  for (const issue of result.error.issues) report(issue, located, problems, keys);
  return undefined;
}

function report(
  issue: Issue,
  base: Located,
  problems: Problems,
  keys: (path: readonly PropertyKey[]) => readonly string[],
): void {
  const { located, whole } = descend(base, issue.path);
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) reportUnknownKey(located, key, problems, keys(issue.path));
    return;
  }
  if (issue.code === 'invalid_union' && issue.errors.length > 0 && isDefaultText(issue.message)) {
    const branch = closestBranch(issue.errors);
    if (branch) {
      for (const inner of branch) report({ ...inner, path: [...issue.path, ...inner.path] }, base, problems, keys);
      return;
    }
  }
  const name = String(issue.path.at(-1) ?? '');
  if (!whole) {
    const expected = expectation(issue);
    const own = isDefaultText(issue.message) ? undefined : issue.message;
    const message = issue.code === 'custom' ? issue.message : `${name} is missing`;
    // The value is not there: the section that should have it is what the user has to look at.
    problems.error(located.keyAt, located.path, message, {
      expected: issue.code === 'custom' ? undefined : (own ?? expected),
    });
    return;
  }
  if (!isDefaultText(issue.message)) {
    problems.invalid(located, issue.message);
    return;
  }
  const expected = expectation(issue);
  const words = issue.code === 'invalid_value' ? issue.values.map(String) : [];
  const text = located.node.kind === 'scalar' && typeof located.node.value === 'string' ? located.node.value : '';
  const message =
    words.length > 1 ? `there is no ${name} ${displayText(located)}` : `${name || 'this'} must be ${expected}`;
  problems.invalid(located, message, {
    expected,
    didYouMean: closestMatch(text, words),
  });
}

/** Says that a section has a key it cannot have. */
export function reportUnknownKey(section: Located, key: string, problems: Problems, known: readonly string[]): void {
  const entry = entriesOf(section).get(key) ?? section;
  const present = entriesOf(section);
  const free = [...new Set(known)].filter((word) => !present.has(word)).sort();
  problems.error(entry.keyAt, entry.path, `there is no key ${key} here`, {
    found: key,
    expected: free.length > 0 ? `one of ${wordList(free)}` : undefined,
    didYouMean: missingSpace(key, known) ?? closestMatch(key, free),
  });
}

/** `{gpio:GPIO17}` is one long key to YAML. */
function missingSpace(key: string, known: readonly string[]): string | undefined {
  const [, word = '', value = ''] = /^(\w+):(\S+)$/.exec(key) ?? [];
  return known.includes(word) ? `${word}: ${value}` : undefined;
}

/** Of the alternatives of a union, the one the user seems to have meant; undefined when they only differ in type. */
function closestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const deep = branches.filter((branch) => branch.every((issue) => issue.path.length > 0 || 'keys' in issue));
  const weight = (branch: readonly Issue[]) =>
    branch.reduce((sum, issue) => sum + ('keys' in issue ? 2 * issue.keys.length : 1), 0);
  return [...deep].sort((a, b) => weight(a) - weight(b))[0];
}

function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return TYPE_NAMES[issue.expected] ?? `of type ${issue.expected}`;
    case 'invalid_value':
      return issue.values.length === 1 ? String(issue.values[0]) : `one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return `${issue.inclusive === false ? 'above' : 'at least'} ${issue.minimum}${unitOf(issue.origin)}`;
    case 'too_big':
      return `${issue.inclusive === false ? 'below' : 'at most'} ${issue.maximum}${unitOf(issue.origin)}`;
    case 'invalid_format':
      return issue.pattern === undefined ? `a valid ${issue.format}` : `text that matches ${issue.pattern}`;
    case 'invalid_union': {
      const all = issue.errors.flat().map(expectation);
      return all.length === 0 ? 'one of the known kinds' : [...new Set(all)].join(' or ');
    }
    default:
      return lowerFirst(issue.message);
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list, like [a, b]',
  tuple: 'a list, like [a, b]',
  object: 'a section of keys',
  record: 'a section of keys',
};

function unitOf(origin: string): string {
  return origin === 'string' ? ' characters' : origin === 'array' ? ' items' : '';
}

/** zod's own wording, which is about types and not about plants. */
function isDefaultText(message: string): boolean {
  return /^(Invalid |Too (small|big)|Unrecognized )/.test(message);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** Says that something is not one of the things known by name. */
export function reportUnknownName(located: Located, what: string, known: readonly string[], problems: Problems): void {
  const word = located.node.kind === 'scalar' ? String(located.node.value) : '';
  problems.invalid(located, `there is no ${what} ${displayText(located)}`, {
    expected: known.length === 0 ? `a ${what}; none is defined` : `one of ${wordList(known)}`,
    didYouMean: closestMatch(word, known),
  });
}

function wordList(words: readonly string[]): string {
  const most = 24;
  return words.length <= most ? words.join(', ') : `${words.slice(0, most).join(', ')} and ${words.length - most} more`;
}

/** The entries of a part of the file that must be a section of keys. Absent or empty: none. */
export function sectionEntries(located: Located | undefined, problems: Problems): ReadonlyMap<string, Located> {
  if (located === undefined || isEmpty(located)) return new Map();
  if (located.node.kind === 'section') return entriesOf(located);
  problems.invalid(located, `${lastKey(located)} must be a section of keys`, { expected: 'name: { … } on each line' });
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
