import { z } from 'zod';
import type { Driver } from '../driver/contract.ts';
import {
  boardSchema,
  busSchema,
  deviceKeys,
  driversSchema,
  guardianSchema,
  hatsSchema,
  pinSchema,
  stateSchema,
  webSchema,
} from './schema.ts';

/** A JSON Schema. */
export type JsonSchema = { readonly [key: string]: unknown };

/** The JSON Schema (draft 7) of the input of a zod schema: the text that a user may write. */
export function inputSchema(schema: z.ZodType): JsonSchema {
  const made: unknown = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', target: 'draft-7' });
  if (!isSchema(made)) return {};
  const { $schema: _dialect, ...rest } = made;
  return rest;
}

/** The keys that a user may write at a path of a schema, in any of its alternatives. */
export function keysAt(schema: z.ZodType, path: readonly PropertyKey[] = []): string[] {
  const found = new Set<string>();
  for (const at of path.reduce<JsonSchema[]>(stepInto, [inputSchema(schema)])) {
    for (const { properties } of alternatives(at)) if (isSchema(properties)) addAll(found, Object.keys(properties));
  }
  return [...found];
}

/** Number of steps of a path to the secret (`writeOnly` in its meta) at it or around it; `undefined` when there is none. */
export function secretDepth(schema: z.ZodType, path: readonly PropertyKey[]): number | undefined {
  const isSecret = (at: readonly JsonSchema[]) => at.flatMap(alternatives).some(({ writeOnly }) => writeOnly === true);
  const steps = path.map((_step, depth) => path.slice(0, depth));
  const depth = [...steps, path].findIndex((part) =>
    isSecret(part.reduce<JsonSchema[]>(stepInto, [inputSchema(schema)])),
  );
  return depth < 0 ? undefined : depth;
}

/** Whether secrets stand within the value at a path: what stands there instead may be one. */
export function holdsSecret(schema: z.ZodType, path: readonly PropertyKey[]): boolean {
  return JSON.stringify(path.reduce<JsonSchema[]>(stepInto, [inputSchema(schema)])).includes('"writeOnly":true');
}

/** A schema and its parts in anyOf, oneOf and allOf. */
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

/**
 * The JSON Schema (draft 7) of a configuration file, for editors. It is made from the schemas that check the file when it is
 * loaded, and more lenient: only `dcs-io check` knows which keys go together.
 */
export function jsonSchema(drivers: readonly Driver[]): JsonSchema {
  const pin = pinJsonSchema(drivers);
  const device = {
    type: 'object',
    description: 'a device at one address of a port; its pins are named <device>.<pin>',
    properties: {
      ...properties(pin),
      ...properties(inputSchema(z.strictObject(deviceKeys))),
      pins: namedEntries({ $ref: '#/definitions/pin' }, 'its own pins, and further keys of pins of the profile'),
    },
    required: ['port'],
    additionalProperties: false,
  };
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'dcs-io configuration',
    type: 'object',
    properties: {
      node: { type: ['string', 'number'], description: 'name of this agent on the bus; default: the host name' },
      board: nullable(inputSchema(boardSchema)),
      hats: nullable(inputSchema(hatsSchema)),
      bus: nullable(inputSchema(busSchema)),
      drivers: nullable(inputSchema(driversSchema)),
      ports: namedEntries({ $ref: '#/definitions/port' }, 'hardware to open, by a name of your own'),
      profiles: nullable({
        type: 'string',
        description: 'folder of your own device profiles, <driver>/<maker>/<model>.yaml',
      }),
      devices: namedEntries({ $ref: '#/definitions/device' }, 'devices on a port, by a name of your own'),
      pins: namedEntries({ $ref: '#/definitions/pin' }, 'pins, by the name they have on the bus'),
      servers: namedEntries({ anyOf: serverSchemas(drivers) }, 'servers that show pins to other systems'),
      web: nullable(inputSchema(webSchema)),
      actors: nullable({ type: 'array', items: { type: 'string' }, description: 'modules with actors of your own' }),
      state: nullable(inputSchema(stateSchema)),
      guardian: nullable(inputSchema(guardianSchema)),
    },
    additionalProperties: false,
    definitions: { port: portJsonSchema(drivers), device, pin },
  };
}

/** A port. Its driver decides about its further keys. */
function portJsonSchema(drivers: readonly Driver[]): JsonSchema {
  return {
    type: 'object',
    properties: { driver: { enum: drivers.map((driver) => driver.name), description: 'the kind of hardware' } },
    required: ['driver'],
    anyOf: drivers.map((driver) =>
      withProperty(inputSchema(driver.options), 'driver', { const: driver.name, description: driver.summary }),
    ),
  };
}

function serverSchemas(drivers: readonly Driver[]): JsonSchema[] {
  return drivers.flatMap(({ name, server }) =>
    server ? [withProperty(inputSchema(server.options), 'driver', { const: name, description: 'its protocol' })] : [],
  );
}

/** A pin, with the common keys and the keys of every driver. */
function pinJsonSchema(drivers: readonly Driver[]): JsonSchema {
  const merged = new Map<string, JsonSchema[]>();
  for (const schema of [inputSchema(pinSchema), ...drivers.map((driver) => inputSchema(driver.pin))]) {
    for (const part of alternatives(schema)) {
      for (const [key, property] of Object.entries(properties(part))) {
        const known = merged.get(key) ?? [];
        const text = JSON.stringify(property);
        if (!known.some((other) => JSON.stringify(other) === text)) merged.set(key, [...known, property]);
      }
    }
  }
  const all = [...merged].map(([key, list]): [string, JsonSchema] => {
    const [only] = list;
    // A key without a value undoes the one that the pin inherits from its device.
    return [key, nullable(list.length === 1 && only ? only : { anyOf: list })];
  });
  return { type: 'object', properties: Object.fromEntries(all), additionalProperties: false };
}

function withProperty(schema: JsonSchema, key: string, property: JsonSchema): JsonSchema {
  const inner = ['anyOf', 'oneOf', 'allOf'].flatMap((word) => {
    const list = schema[word];
    return Array.isArray(list) ? [[word, list.filter(isSchema).map((part) => withProperty(part, key, property))]] : [];
  });
  const own = isSchema(schema['properties']) ? { properties: { [key]: property, ...schema['properties'] } } : {};
  return { ...schema, ...own, ...Object.fromEntries(inner) };
}

function properties(schema: JsonSchema): Record<string, JsonSchema> {
  const found = schema['properties'];
  if (!isSchema(found)) return {};
  return Object.fromEntries(Object.entries(found).flatMap(([key, value]) => (isSchema(value) ? [[key, value]] : [])));
}

function namedEntries(entry: JsonSchema, description: string): JsonSchema {
  return { type: ['object', 'null'], additionalProperties: entry, description };
}

/** `key:` without a value means its default. */
function nullable({ description, ...schema }: JsonSchema): JsonSchema {
  return { description, anyOf: [schema, { type: 'null' }] };
}
