import { isSchema, type JsonSchema } from '../../src/config/json-schema.ts';
import { code, prose } from './markdown.ts';

export const keyHead = ['key', 'type', 'default', 'description'] as const;

/** The keys of an object and of the objects in it, one row each: `security.keys`, `users.NAME.role`. */
export function keyRows(schema: JsonSchema, before = ''): string[][] {
  return objectsIn(schema).flatMap((object) => {
    const required = listOf(object['required']);
    const own = entriesOf(object['properties']).flatMap(([key, property]) => [
      row(`${before}${key}`, property, required.includes(key)),
      ...keyRows(property, `${before}${key}.`),
    ]);
    const more = object['additionalProperties'];
    return isSchema(more) ? [...own, ...keyRows(more, `${before}${placeholder(object)}.`)] : own;
  });
}

/** The type of a key's value, in words. */
export function typeText(schema: JsonSchema): string {
  const { title, const: only, enum: words, type } = schema;
  const choices = alternatives(schema);
  if (typeof title === 'string') return title;
  if (only !== undefined) return code(String(only));
  if (Array.isArray(words)) return words.map((word) => code(String(word))).join(', ');
  if (Array.isArray(type))
    return typesOf(type)
      .map((one) => typeText({ ...schema, type: one }))
      .join(' or ');
  if (choices.length > 0) return [...new Set(choices.map(typeText))].join(' or ');
  if (type === 'boolean') return '`true`, `false`';
  if (type === 'integer' || type === 'number') return number(schema);
  if (type === 'array') return list(schema);
  if (type === 'object') return isSchema(schema['additionalProperties']) ? map(schema) : '{ … }';
  return type === 'string' ? 'text' : 'anything';
}

function row(key: string, schema: JsonSchema, required: boolean): string[] {
  const { default: found, description, examples } = schema;
  const [example] = Array.isArray(examples) ? examples : [];
  const text = typeof description === 'string' ? prose(description) : '';
  return [
    code(key),
    typeText(schema),
    found === undefined ? (required ? '*required*' : '') : written(found),
    example === undefined ? text : `${text} (${written(example)})`,
  ];
}

/** A value as a configuration has it. */
function written(value: unknown): string {
  if (typeof value === 'string') return code(value);
  if (isSchema(value) && Object.keys(value).length === 0) return '';
  return code(JSON.stringify(value).replaceAll('"', '').replaceAll(',', ', '));
}

function number({ type, minimum, maximum }: JsonSchema): string {
  const word = type === 'integer' ? 'whole number' : 'number';
  const low = typeof minimum === 'number' && minimum > Number.MIN_SAFE_INTEGER ? minimum : undefined;
  const high = typeof maximum === 'number' && maximum < Number.MAX_SAFE_INTEGER ? maximum : undefined;
  if (low !== undefined && high !== undefined) return `${word} ${low} to ${high}`;
  if (low !== undefined) return `${word} from ${low}`;
  return high === undefined ? word : `${word} to ${high}`;
}

function list({ items }: JsonSchema): string {
  if (Array.isArray(items)) return `[${items.filter(isSchema).map(typeText).join(', ')}]`;
  return isSchema(items) ? `list of ${typeText(items)}` : 'list';
}

function map(schema: JsonSchema): string {
  const more = schema['additionalProperties'];
  return `{ ${placeholder(schema)}: ${isSchema(more) ? typeText(more) : ''} }`;
}

/** The word for a name that the user chooses. */
function placeholder({ propertyNames }: JsonSchema): string {
  const pattern = isSchema(propertyNames) ? propertyNames['pattern'] : undefined;
  return typeof pattern === 'string' && pattern.includes('\\d') ? 'NUMBER' : 'NAME';
}

/** The objects with keys among a schema, its alternatives and the items of lists. */
function objectsIn(schema: JsonSchema): JsonSchema[] {
  const { items, type } = schema;
  const inner = [...alternatives(schema), ...(isSchema(items) ? [items] : [])].flatMap(objectsIn);
  return type === 'object' ? [schema, ...inner] : inner;
}

function alternatives(schema: JsonSchema): JsonSchema[] {
  return ['anyOf', 'oneOf', 'allOf'].flatMap((word) => {
    const found = schema[word];
    return Array.isArray(found) ? found.filter(isSchema).filter(({ type }) => type !== 'null') : [];
  });
}

function entriesOf(found: unknown): [string, JsonSchema][] {
  if (!isSchema(found)) return [];
  return Object.entries(found).flatMap(([key, value]): [string, JsonSchema][] =>
    isSchema(value) ? [[key, value]] : [],
  );
}

/** The types of a value that may have several, without null. */
function typesOf(types: readonly unknown[]): readonly unknown[] {
  return types.filter((type) => type !== 'null');
}

function listOf(found: unknown): readonly unknown[] {
  return Array.isArray(found) ? found : [];
}
