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
    if (key in present) return true;
    const errors = samples(key).map((value) => schema.safeParse({ ...present, [key]: value }).error);
    // A wrong type says nothing about the key, because the values are only samples.
    const isForbidden = errors.some((error) => error?.issues.some(({ code }) => code === 'custom'));
    return !isForbidden || errors.includes(undefined);
  });
}

/** Values that a schema describes; none for text and for sections with keys, which have rules of their own. */
function samplesOf(schema: JsonSchema): readonly unknown[] {
  const { const: only, enum: words, anyOf, type, minimum, items, additionalProperties: named } = schema;
  if (only !== undefined) return [only];
  if (Array.isArray(words)) return words;
  if (Array.isArray(anyOf)) return anyOf.filter(isSchema).flatMap(samplesOf);
  const types = [type].flat();
  if (isSchema(named)) return [{ 0: named['type'] === 'string' ? 'x' : samplesOf(named)[0] }];
  if (types.includes('boolean')) return [true];
  if (types.includes('array')) {
    return [
      [items]
        .flat()
        .filter(isSchema)
        .map((item) => samplesOf(item)[0]),
    ];
  }
  const isNumber = types.includes('integer') || types.includes('number');
  return isNumber ? [typeof minimum === 'number' ? Math.max(0, minimum) : 0] : [];
}

function isSection(found: unknown): found is Readonly<Record<string, unknown>> {
  return typeof found === 'object' && found !== null && !Array.isArray(found);
}
