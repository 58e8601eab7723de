import type { z } from 'zod';
import { alternatives, inputSchema, isSchema, type JsonSchema, keysAt } from './json-schema.ts';

/**
 * The keys of a schema that a section may still get. A key that some rule of the schema forbids beside the keys of `section`
 * is left out. All keys when the section itself is wrong.
 */
export function fittingKeys(schema: z.ZodType, section: unknown): readonly string[] {
  const keys = keysAt(schema);
  if (!isSection(section)) return keys;
  const present = Object.fromEntries(Object.entries(section).filter(([key]) => keys.includes(key)));
  if (!schema.safeParse(present).success) return keys;
  const properties = alternatives(inputSchema(schema)).flatMap(({ properties }) =>
    isSchema(properties) ? [properties] : [],
  );
  const samples = (key: string) => properties.flatMap((known) => (isSchema(known[key]) ? samplesOf(known[key]) : []));
  return keys.filter((key) => {
    const tries = key in present ? [] : samples(key);
    return tries.length === 0 || tries.some((value) => !isForbidden(schema, { ...present, [key]: value }));
  });
}

/** Returns whether a rule forbids a section. Wrong types say nothing: its values are only samples. */
function isForbidden(schema: z.ZodType, section: object): boolean {
  const { error } = schema.safeParse(section);
  return error?.issues.some(({ code }) => code === 'custom') ?? false;
}

/** Values that a schema describes. */
function samplesOf(schema: JsonSchema): readonly unknown[] {
  const { const: only, enum: words, anyOf, type, minimum, items } = schema;
  if (only !== undefined) return [only];
  if (Array.isArray(words)) return words;
  if (Array.isArray(anyOf)) return anyOf.filter(isSchema).flatMap(samplesOf);
  switch (type) {
    case 'boolean':
      return [true];
    case 'integer':
    case 'number':
      return [typeof minimum === 'number' ? Math.max(0, minimum) : 0];
    case 'array':
      return [(Array.isArray(items) ? items : [items]).filter(isSchema).map((item) => samplesOf(item)[0])];
    case 'object':
      return [{}];
    default:
      return [];
  }
}

function isSection(found: unknown): found is Readonly<Record<string, unknown>> {
  return typeof found === 'object' && found !== null && !Array.isArray(found);
}
