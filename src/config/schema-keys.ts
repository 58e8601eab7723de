import { z } from 'zod';

/** A JSON Schema object as far as this code looks into it. */
export type JsonSchema = { readonly [key: string]: unknown };

/** The JSON Schema (draft 7) of what a user may write for a zod schema. */
export function inputSchema(schema: z.ZodType): JsonSchema {
  const made: unknown = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', target: 'draft-7' });
  if (!isSchema(made)) return {};
  const { $schema: _dialect, ...rest } = made;
  return rest;
}

/** The keys a user may write at a path of a schema, alternatives included. */
export function keysAt(schema: z.ZodType, path: readonly PropertyKey[] = []): string[] {
  const found = new Set<string>();
  for (const at of path.reduce<JsonSchema[]>(stepInto, [inputSchema(schema)])) {
    for (const { properties } of alternatives(at)) if (isSchema(properties)) addAll(found, Object.keys(properties));
  }
  return [...found];
}

/** A schema and all it is made of by anyOf, oneOf and allOf. */
export function alternatives(schema: JsonSchema): JsonSchema[] {
  const inner = ['anyOf', 'oneOf', 'allOf'].flatMap((word) => {
    const list = schema[word];
    return Array.isArray(list) ? list.filter(isSchema).flatMap(alternatives) : [];
  });
  return [schema, ...inner];
}

export function isSchema(found: unknown): found is JsonSchema {
  return typeof found === 'object' && found !== null && !Array.isArray(found);
}

function stepInto(schemas: JsonSchema[], step: PropertyKey): JsonSchema[] {
  return schemas.flatMap(alternatives).flatMap(({ properties, items, additionalProperties }) => {
    const property = isSchema(properties) ? properties[String(step)] : undefined;
    const item = Array.isArray(items) ? items[Number(step)] : items;
    return [property, typeof step === 'number' ? item : additionalProperties].filter(isSchema);
  });
}

function addAll(into: Set<string>, words: readonly string[]): void {
  for (const word of words) into.add(word);
}
