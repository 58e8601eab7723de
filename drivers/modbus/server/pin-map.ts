import type { PinFacts } from '../../../src/driver/contract.ts';
import type { Table } from '../protocol/request.ts';
import { type Format, formatOf } from '../value/format.ts';
import type { EntryKeys, ServerOptions } from './options.ts';

/** One pin's place in a table. */
export interface Place {
  readonly pin: string;
  readonly first: number;
  readonly count: number;
  /** Undefined: it is one bit. */
  readonly format: Format | undefined;
  readonly scale: number;
  readonly offset: number;
  readonly writable: boolean;
}

export type PinMap = Readonly<Record<Table, readonly Place[]>>;

/** Where each pin is, in order of address; texts say what does not go together. */
export function mapPins(
  options: ServerOptions,
  facts: ReadonlyMap<string, PinFacts>,
): { readonly map: PinMap; readonly mistakes: readonly string[] } {
  const mistakes: string[] = [];
  const bits = (table: 'coil' | 'discrete', entries: Readonly<Record<string, string>> = {}) =>
    Object.entries(entries).map(([text, pin]): Place => {
      const fact = facts.get(pin);
      if (fact && fact.kind !== 'digital')
        mistakes.push(`${table} ${text}: ${pin} is ${fact.kind}; a ${table} is one bit`);
      const writable = table === 'coil' && fact?.direction === 'out' && !options.read_only;
      return { pin, first: Number(text), count: 1, format: undefined, scale: 1, offset: 0, writable };
    });
  const words = (table: 'holding' | 'input', entries: Readonly<Record<string, EntryKeys>> = {}) =>
    Object.entries(entries).flatMap(([text, entry]): Place[] => {
      const { pin, scale, offset } = entry;
      const fact = facts.get(pin);
      const format = formatFor(entry, fact);
      if (typeof format === 'string') {
        mistakes.push(`${table} ${text}: ${format}`);
        return [];
      }
      const writable = table === 'holding' && fact?.direction === 'out' && !options.read_only;
      return [{ pin, first: Number(text), count: format.words, format, scale, offset, writable }];
    });
  const map = {
    coil: sorted(bits('coil', options.coils)),
    discrete: sorted(bits('discrete', options.discrete)),
    holding: sorted(words('holding', options.holding)),
    input: sorted(words('input', options.input)),
  };
  for (const [table, places] of Object.entries(map)) {
    places.forEach(({ pin, first, count }, index) => {
      const next = places[index + 1];
      if (next && next.first < first + count)
        mistakes.push(`${table}: ${pin} and ${next.pin} share address ${next.first}`);
      if (first + count > 0x10000) mistakes.push(`${table} ${first}: ${pin} would end beyond 65535`);
    });
  }
  return { map, mistakes };
}

function sorted(places: readonly Place[]): Place[] {
  return [...places].sort((a, b) => a.first - b.first);
}

function formatFor({ pin, type, order = 'ABCD', length }: EntryKeys, fact: PinFacts | undefined): Format | string {
  const kind = fact?.kind ?? 'analog';
  const chosen = type ?? (kind === 'digital' ? 'uint16' : kind === 'counter' ? 'uint32' : 'float32');
  const text = chosen === 'string';
  if (chosen === 'bool' || chosen === 'raw' || chosen === 'int8' || chosen === 'uint8')
    return `${pin} cannot be shown as ${chosen}`;
  if (text !== (kind === 'text'))
    return `${pin} is ${kind}: ${kind === 'text' ? 'type: string with its length' : 'not a string'}`;
  if (text && length === undefined) return `${pin}: type string needs its length`;
  return formatOf({ type: chosen, order, length });
}
