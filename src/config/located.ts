import type { Place } from './resolved.ts';

/** A value of the configuration that knows its place. */
export interface Located {
  /** Place of the value. */
  readonly at: Place;
  /** Place of its key; the place of the value for the root and for items of a list. */
  readonly keyAt: Place;
  /** Dotted path from the root: `pins.pump.range`. */
  readonly path: string;
  readonly node: Scalar | List | Section;
}

export interface Scalar {
  readonly kind: 'scalar';
  readonly value: boolean | number | string | null;
  /** As the user wrote it. */
  readonly text: string;
}
export interface List {
  readonly kind: 'list';
  readonly items: readonly Located[];
}
export interface Section {
  readonly kind: 'section';
  readonly entries: ReadonlyMap<string, Located>;
}

/** The value without its place, for a schema to check. */
export function toPlain({ node }: Located): unknown {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(toPlain);
  return Object.fromEntries([...node.entries].map(([key, value]) => [key, toPlain(value)]));
}

/** The entries of a section; none when the value is no section. */
export function entriesOf(located: Located | undefined): ReadonlyMap<string, Located> {
  return located?.node.kind === 'section' ? located.node.entries : new Map();
}

/** The text of a scalar that is text. */
export function textOf(located: Located | undefined): string | undefined {
  if (located?.node.kind !== 'scalar') return undefined;
  return typeof located.node.value === 'string' ? located.node.value : undefined;
}

/** `key:` without a value. */
export function isEmpty({ node }: Located): boolean {
  return node.kind === 'scalar' && node.value === null;
}

/** The last key of the path. */
export function lastKey({ path }: Located): string {
  return path.slice(path.lastIndexOf('.') + 1);
}

/** A section with other entries, at the same place. */
export function withEntries(located: Located, entries: ReadonlyMap<string, Located>): Located {
  return { ...located, node: { kind: 'section', entries } };
}

/** Keys of two layers: those of `top` win. A key of `top` without a value undoes the one of `base`. */
export function layered(
  base: ReadonlyMap<string, Located>,
  top: ReadonlyMap<string, Located>,
): ReadonlyMap<string, Located> {
  const all = new Map([...base, ...top]);
  for (const [key, value] of top) if (isEmpty(value) && base.has(key)) all.delete(key);
  return all;
}

/** The value as a person recognises it in an error. Of a section only the keys: one of its values may be a secret. */
export function displayText({ node }: Located): string {
  if (node.kind === 'scalar') return node.text === '' ? 'nothing' : node.text;
  const text =
    node.kind === 'list' ? `[${node.items.map(displayText).join(', ')}]` : `{ ${[...node.entries.keys()].join(', ')} }`;
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** The place of a key as an error about another place names it. */
export function placeText({ keyAt: { file, line }, path }: Located, seenFrom: Located): string {
  if (line === 0) return `at ${path}`;
  return file === seenFrom.keyAt.file ? `in line ${line}` : `in ${file}:${line}`;
}

/** Goes down a path as far as the configuration does. `whole` says that all of the path is there. */
export function descend(from: Located, path: readonly PropertyKey[]): { located: Located; whole: boolean } {
  let located = from;
  for (const step of path) {
    const next = child(located, step);
    if (next === undefined) return { located, whole: false };
    located = next;
  }
  return { located, whole: true };
}

function child({ node }: Located, step: PropertyKey): Located | undefined {
  if (node.kind === 'section') return node.entries.get(String(step));
  return node.kind === 'list' && typeof step === 'number' ? node.items[step] : undefined;
}
