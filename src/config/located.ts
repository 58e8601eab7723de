import type { Place } from './resolved.ts';

/** A value of the user's file that still knows where it stands. */
export interface Located {
  /** Where the value stands. */
  readonly at: Place;
  /** Where its key stands; for the root and for items of a list, the value. */
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

/** Turns the located value into a plain one, for a schema to check. */
export function toPlain({ node }: Located): unknown {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(toPlain);
  return Object.fromEntries([...node.entries].map(([key, value]) => [key, toPlain(value)]));
}

/** The entries of a section; none when it is something else. */
export function entriesOf(located: Located | undefined): ReadonlyMap<string, Located> {
  return located?.node.kind === 'section' ? located.node.entries : new Map();
}

/** The text of a scalar that is text. */
export function textOf(located: Located | undefined): string | undefined {
  if (located?.node.kind !== 'scalar') return undefined;
  return typeof located.node.value === 'string' ? located.node.value : undefined;
}

/** A section with other entries, at the same place. */
export function withEntries(located: Located, entries: ReadonlyMap<string, Located>): Located {
  return { ...located, node: { kind: 'section', entries } };
}

/** The value as a person would recognise it in an error. */
export function displayText(located: Located): string {
  const { node } = located;
  if (node.kind === 'scalar') return node.text === '' ? 'nothing' : node.text;
  const text = JSON.stringify(toPlain(located)) ?? '';
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** What stands at a path below, as far down as the file goes. `whole`: all of the path is there. */
export function descend(from: Located, path: readonly PropertyKey[]): { located: Located; whole: boolean } {
  let located = from;
  for (const step of path) {
    const { node } = located;
    const next =
      node.kind === 'section'
        ? node.entries.get(String(step))
        : node.kind === 'list' && typeof step === 'number'
          ? node.items[step]
          : undefined;
    if (next === undefined) return { located, whole: false };
    located = next;
  }
  return { located, whole: true };
}
