import type { z } from 'zod';
import { closestMatch } from './closest-match.ts';
import { fittingKeys } from './fitting-keys.ts';
import { holdsSecret, keysAt, secretDepth } from './json-schema.ts';
import { descend, displayText, entriesOf, isEmpty, type Located, lastKey, textOf, toPlain } from './located.ts';
import type { Problems } from './problems.ts';
import { nameSchema } from './schema.ts';

type Issue = z.core.$ZodIssue;

/**
 * Checks a located value with a schema. Reports each mistake to `problems` at the place of its key or value. `known` are
 * keys of the same section that other readers take: a misspelt key may mean one of them. `fitting` returns the keys that
 * the section may have, given those of the schema.
 */
export function validate<T>(
  schema: z.ZodType<T>,
  located: Located,
  problems: Problems,
  known: readonly string[] = [],
  fitting = (keys: readonly string[]): readonly string[] => [...keys, ...known],
): { readonly value: T } | undefined {
  const plain = toPlain(located);
  const result = schema.safeParse(plain);
  if (result.success) return { value: result.data };
  const keys = (path: readonly PropertyKey[]): KnownKeys => {
    if (path.length > 0) return { known: keysAt(schema, path) };
    return { known: [...keysAt(schema), ...known], fitting: fitting(fittingKeys(schema, plain)) };
  };
  for (const issue of result.error.issues) report(issue, { schema, base: located, keys }, problems);
  return undefined;
}

/** The keys that a section may have in any case, and those that fit the keys it has; all where `fitting` is `undefined`. */
interface KnownKeys {
  readonly known: readonly string[];
  readonly fitting?: readonly string[];
}

/** A value that a schema refuses. */
interface Refused {
  readonly schema: z.ZodType;
  readonly base: Located;
  keys(path: readonly PropertyKey[]): KnownKeys;
}

function report(issue: Issue, refused: Refused, problems: Problems): void {
  const { schema, base, keys } = refused;
  const { located, whole } = descend(base, issue.path);
  const branch = meantBranch(issue);
  const depth = secretDepth(schema, issue.path);
  if (branch) {
    for (const inner of branch) report({ ...inner, path: [...issue.path, ...inner.path] }, refused, problems);
  } else if (depth !== undefined) reportSecret(issue, descend(base, issue.path.slice(0, depth)).located, problems);
  else if (issue.code === 'unrecognized_keys') {
    const { known, fitting } = keys(issue.path);
    for (const key of issue.keys) reportUnknownKey(located, key, problems, known, fitting);
  } else if (!whole) reportMissing(issue, located, problems);
  else if (issue.code === 'invalid_key') reportKey(issue, located, problems);
  else if (holdsSecret(schema, issue.path)) reportSecret(issue, located, problems);
  else reportValue(issue, located, problems);
}

/** Says what is wrong without the value: neither the log nor a terminal may show a key or a password. */
function reportSecret(issue: Issue, located: Located, problems: Problems): void {
  const { at, path } = located;
  if (!isDefaultText(issue.message)) problems.error(at, path, issue.message);
  else if (issue.code === 'unrecognized_keys')
    problems.error(at, path, `${lastKey(located)} has a key that is not known`);
  else problems.error(at, path, `${lastKey(located)} must be ${expectation(issue)}; what was found is not shown`);
}

/** Points at the section that lacks the value, because the value has no place. */
function reportMissing(issue: Issue, { keyAt, path }: Located, problems: Problems): void {
  if (issue.code === 'custom') {
    problems.error(keyAt, path, issue.message);
    return;
  }
  const expected = isDefaultText(issue.message) ? expectation(issue) : issue.message;
  problems.error(keyAt, path, `${nameOf(issue)} is missing`, { expected });
}

/** Reports a key that the user chose and that cannot be one: the name of a number that is no number. */
function reportKey(issue: Issue & { code: 'invalid_key' }, { keyAt, path }: Located, problems: Problems): void {
  const [mistake] = issue.issues;
  const expected = mistake && (isDefaultText(mistake.message) ? expectation(mistake) : mistake.message);
  problems.error(keyAt, path, `${nameOf(issue)} cannot stand here`, { found: nameOf(issue), expected });
}

function reportValue(issue: Issue, located: Located, problems: Problems): void {
  if (!isDefaultText(issue.message)) {
    problems.invalid(located, issue.message);
    return;
  }
  const name = nameOf(issue);
  const expected = expectation(issue);
  const words = issue.code === 'invalid_value' ? issue.values.map(String) : [];
  const message =
    words.length > 1 ? `there is no ${name} ${displayText(located)}` : `${name || 'this'} must be ${expected}`;
  problems.invalid(located, message, { expected, didYouMean: closestMatch(textOf(located) ?? '', words) });
}

/** The last key of an issue's path. */
function nameOf({ path }: Issue): string {
  return String(path.at(-1) ?? '');
}

/** Reports a key that its section cannot have. `fitting` are those of the known keys that it may have. */
export function reportUnknownKey(
  section: Located,
  key: string,
  problems: Problems,
  known: readonly string[],
  fitting = known,
): void {
  const entry = entriesOf(section).get(key) ?? section;
  const present = entriesOf(section);
  const free = (words: readonly string[]) => [...new Set(words)].filter((word) => !present.has(word));
  const fits = free(fitting).sort();
  problems.error(entry.keyAt, entry.path, `there is no key ${key} here`, {
    found: key,
    // All of them: who looks for a key does not know its name.
    expected: fits.length > 0 ? `one of ${fits.join(', ')}` : undefined,
    didYouMean: missingSpace(key, known) ?? closestMatch(key, free(known)),
  });
}

/** `{gpio:GPIO17}` is one long key to YAML. */
function missingSpace(key: string, known: readonly string[]): string | undefined {
  const [, word = '', value = ''] = /^(\w+):(\S+)$/.exec(key) ?? [];
  return known.includes(word) ? `${word}: ${value}` : undefined;
}

/** Of the alternatives of a union, the one that the user seems to mean. `undefined` when they only differ in type. */
function meantBranch(issue: Issue): readonly Issue[] | undefined {
  if (issue.code !== 'invalid_union' || !isDefaultText(issue.message)) return undefined;
  const deep = issue.errors.filter((branch) => branch.every((issue) => issue.path.length > 0 || 'keys' in issue));
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

/** The wording of zod itself, which speaks of types. */
function isDefaultText(message: string): boolean {
  return /^(Invalid |Too (small|big)|Unrecognized )/.test(message);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** Reports a name that is none of the known ones. `what` says what it should name. */
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

/** The entries of a part of the configuration that must be a section of keys; none when it is absent or empty. */
export function sectionEntries(located: Located | undefined, problems: Problems): ReadonlyMap<string, Located> {
  if (located === undefined || isEmpty(located)) return new Map();
  if (located.node.kind === 'section') return entriesOf(located);
  problems.invalid(located, `${lastKey(located)} must be a section of keys`, { expected: 'name: { … } on each line' });
  return new Map();
}

/** Checks the name a user gives to a port, a device or a pin. */
export function checkName(name: string, { keyAt, path }: Located, problems: Problems): void {
  const checked = nameSchema.safeParse(name);
  if (checked.success) return;
  problems.error(keyAt, path, checked.error.issues.map((issue) => issue.message).join(', '), { found: name });
}
