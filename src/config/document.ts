import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  type YAMLMap,
} from 'yaml';
import type { Located } from './located.ts';
import type { Problems } from './problems.ts';
import type { Place } from './resolved.ts';

/** Upper limit of values: more than any plant needs, fewer than nested aliases can make of ten lines. */
const MAX_VALUES = 100_000;

/** The usual cause of an error of the YAML parser. */
const HINTS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'spaces',
  MULTILINE_IMPLICIT_KEY: 'a space after the colon of every key, like node: hall',
};

/**
 * Parses YAML 1.2 into values that know their places. Reports syntax errors and duplicate keys, and returns all that can be
 * read in spite of them, so that the rest of the file is checked in the same run.
 */
export function parseLocated(text: string, file: string, problems: Problems): Located | undefined {
  const document = parseDocument(text, { prettyErrors: false, uniqueKeys: false });
  const placeAt = placesIn(text, file);
  for (const error of document.errors) {
    problems.error(placeAt(error.pos[0]), '', `this is not valid YAML: ${lowerFirst(error.message)}`, {
      expected: HINTS[error.code],
    });
  }
  for (const warning of document.warnings) problems.warning(placeAt(warning.pos[0]), '', lowerFirst(warning.message));
  if (document.contents === null) return undefined;
  const start = placeAt(document.contents.range?.[0] ?? 0);
  return new Reader(document, placeAt, problems).read(document.contents, start, '');
}

class Reader {
  readonly #document: Document;
  readonly #placeAt: (offset: number) => Place;
  readonly #problems: Problems;
  readonly #ancestors = new Set<Node>();
  #values = 0;

  constructor(document: Document, placeAt: (offset: number) => Place, problems: Problems) {
    this.#document = document;
    this.#placeAt = placeAt;
    this.#problems = problems;
  }

  read(node: Node | null, keyAt: Place, path: string): Located {
    const at = node?.range ? this.#placeAt(node.range[0]) : keyAt;
    const empty: Located = { at, keyAt, path, node: { kind: 'scalar', value: null, text: '' } };
    if (node === null) return empty;
    if (isAlias(node)) return this.#readAlias(node, at, keyAt, path) ?? empty;
    if (++this.#values > MAX_VALUES) {
      if (this.#values === MAX_VALUES + 1) this.#problems.error(at, path, `more than ${MAX_VALUES} values`);
      return empty;
    }
    this.#ancestors.add(node);
    const located = this.#readPlain(node, at, keyAt, path) ?? empty;
    this.#ancestors.delete(node);
    return located;
  }

  #readPlain(node: Node, at: Place, keyAt: Place, path: string): Located | undefined {
    if (isScalar(node)) {
      const { value } = node;
      const known = typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string';
      const text = typeof value === 'string' ? JSON.stringify(value) : String(value ?? '');
      return { at, keyAt, path, node: { kind: 'scalar', value: known ? value : null, text } };
    }
    if (isSeq(node)) {
      const items = node.items.map((item, index) => {
        const inner = isNode(item) ? item : null;
        return this.read(inner, inner?.range ? this.#placeAt(inner.range[0]) : at, `${path}[${index}]`);
      });
      return { at, keyAt, path, node: { kind: 'list', items } };
    }
    if (!isMap(node)) return undefined;
    return { at, keyAt, path, node: { kind: 'section', entries: this.#readEntries(node, path) } };
  }

  #readEntries(map: YAMLMap, path: string): Map<string, Located> {
    const entries = new Map<string, Located>();
    const merged = new Map<string, Located>();
    for (const pair of map.items) {
      if (!isPair(pair)) continue;
      const { name, at } = this.#keyOf(pair, map, path);
      const value = this.read(isNode(pair.value) ? pair.value : null, at, path === '' ? name : `${path}.${name}`);
      const first = entries.get(name);
      if (name === '<<') this.#merge(value, merged);
      else if (first === undefined) entries.set(name, value);
      else {
        const message = `${name} is given twice; it already stands in line ${first.keyAt.line}`;
        this.#problems.error(at, value.path, message, { expected: 'each key once' });
      }
    }
    // A key of the map itself wins over one that << takes over.
    for (const [key, value] of merged) if (!entries.has(key)) entries.set(key, value);
    return entries;
  }

  #keyOf(pair: Pair, map: YAMLMap, path: string): { name: string; at: Place } {
    const { key } = pair;
    const at = this.#placeAt((isNode(key) ? key.range?.[0] : undefined) ?? map.range?.[0] ?? 0);
    if (isScalar(key)) return { name: key.source ?? String(key.value), at };
    this.#problems.error(at, path, 'a key must be a single word');
    return { name: '', at };
  }

  #merge({ node, at, path }: Located, into: Map<string, Located>): void {
    const sources = node.kind === 'list' ? node.items.map((item) => item.node) : [node];
    for (const source of sources) {
      if (source.kind === 'section') for (const [key, value] of source.entries) into.set(key, value);
      else this.#problems.error(at, path, '<< takes over the keys of a section, and this is none');
    }
  }

  #readAlias(alias: Alias, at: Place, keyAt: Place, path: string): Located | undefined {
    const target = alias.resolve(this.#document);
    if (target === undefined || this.#ancestors.has(target)) {
      const reason = target === undefined ? 'is not defined above' : 'contains itself';
      this.#problems.error(at, path, `the anchor &${alias.source} ${reason}`);
      return undefined;
    }
    return this.read(target, keyAt, path);
  }
}

/**
 * Gives every value of a plain object its key path as its place; line and column are 0. Reports values that a file cannot
 * hold (functions, dates) and objects that contain themselves. Keys whose value is `undefined` are left out.
 */
export function locateObject(value: unknown, name: string, problems: Problems): Located {
  const place = { file: name, line: 0, column: 0 };
  const ancestors = new Set<unknown>();
  const locate = (found: unknown, path: string): Located => {
    const node = ancestors.has(found) ? undefined : nodeOf(found, path);
    if (node) return { at: place, keyAt: place, path, node };
    problems.error(place, path, ancestors.has(found) ? 'this contains itself' : 'a configuration cannot hold this', {
      found: typeof found,
      expected: 'text, a number, true, false, null, a list or an object of these',
    });
    return { at: place, keyAt: place, path, node: { kind: 'scalar', value: null, text: '' } };
  };
  const nodeOf = (found: unknown, path: string): Located['node'] | undefined => {
    if (found === null || found === undefined) return { kind: 'scalar', value: null, text: '' };
    if (typeof found === 'boolean' || typeof found === 'number') {
      return { kind: 'scalar', value: found, text: String(found) };
    }
    if (typeof found === 'string') return { kind: 'scalar', value: found, text: JSON.stringify(found) };
    ancestors.add(found);
    const node = Array.isArray(found)
      ? { kind: 'list' as const, items: found.map((item, index) => locate(item, `${path}[${index}]`)) }
      : sectionOf(found, path);
    ancestors.delete(found);
    return node;
  };
  const sectionOf = (found: unknown, path: string): Located['node'] | undefined => {
    if (typeof found !== 'object' || found === null || !isPlainObject(found)) return undefined;
    const present = Object.entries(found).filter(([, entry]) => entry !== undefined);
    const entries = present.map(([key, entry]): [string, Located] => [
      key,
      locate(entry, path === '' ? key : `${path}.${key}`),
    ]);
    return { kind: 'section', entries: new Map(entries) };
  };
  return locate(value, '');
}

function isPlainObject(found: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(found);
  return prototype === null || prototype === Object.prototype;
}

/** Finds the place of an offset. The parser's own line counter is wrong after a quote that is not closed. */
function placesIn(text: string, file: string): (offset: number) => Place {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (offset) => {
    const within = Math.min(Math.max(0, offset), text.length);
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((starts[middle] ?? 0) <= within) low = middle;
      else high = middle - 1;
    }
    return { file, line: low + 1, column: within - (starts[low] ?? 0) + 1 };
  };
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
